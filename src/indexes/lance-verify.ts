/**
 * Whether a Lance table agrees with itself, by its counts and by a sample of its rows.
 */

import type { LanceTable } from '../domain/lance-table.ts'
import type { VerifyFault } from '../domain/search.ts'
import type { VerifyReport } from './index-api.ts'

const SAMPLE_ROWS = 1000
const SAMPLE_SEED = 0x7e51f7
const VECTORS = { metadata: false, vector: true, text: false }
const NOTHING = { metadata: false, vector: false, text: false }

/** Rows of a page while ids are looked through; and the rows of a table that is looked through whole. */
const PAGE = 1000
const WHOLE_MAX = 20_000

export async function verifyTable(table: LanceTable, dimension: number): Promise<VerifyReport> {
  const { count, version } = await table.count(null)
  const { rows } = await table.stats()
  const now = await table.count(null)
  const faults: VerifyFault[] = []
  // Between two looks it may have been written to; then the counts say nothing.
  if (now.version === version && rows !== count) {
    faults.push({ what: 'row count', detail: `${rows} rows are stored, ${count} are found.` })
  }
  faults.push(...(await sampleFaults(table, dimension)))
  if (count <= WHOLE_MAX) faults.push(...(await orderFaults(table, now.version)))
  return { clean: faults.length === 0, faults, logRecords: 0, livePoints: now.count }
}

/** Sampled rows are found by their ids, once each, with the vectors that they have. */
async function sampleFaults(table: LanceTable, dimension: number): Promise<VerifyFault[]> {
  const { ids, vectors } = await table.sample(SAMPLE_ROWS, SAMPLE_SEED)
  const faults: VerifyFault[] = []
  if (vectors.length !== ids.length * dimension) {
    const detail = `${ids.length} rows hold ${vectors.length} numbers, not ${dimension} each.`
    faults.push({ what: 'dimension', detail })
  }
  if (!vectors.every(Number.isFinite)) {
    faults.push({ what: 'vector', detail: 'A sampled vector has a number that is not finite.' })
  }
  const twice = ids.filter((id, i) => ids.indexOf(id) !== i)
  for (const id of twice) faults.push({ what: 'id', detail: `Two rows have the id "${id}".` })
  const { points } = await table.fetch(ids, VECTORS, null)
  for (const [i, id] of ids.entries()) {
    // It may have been deleted or written again since the sample was taken; an odd length was not.
    const found = points[i]?.vector ?? null
    if (found === null || found.length === dimension) continue
    faults.push({ what: 'vector', detail: `The vector of "${id}" has ${found.length} numbers.` })
  }
  return faults
}

/** Each id is there once: the pages of a version ascend, and hold as many rows as it has. */
async function orderFaults(table: LanceTable, asOf: number): Promise<VerifyFault[]> {
  let after: string | null = null
  let seen = 0
  for (;;) {
    const page = { after, limit: PAGE, filter: null, include: NOTHING, asOf }
    const { points, done } = await table.scroll(page)
    for (const { id } of points) {
      if (id === after) return [{ what: 'id', detail: `Two rows have the id "${id}".` }]
      after = id
      seen += 1
    }
    if (done) break
  }
  const { count, version } = await table.count(null)
  if (version !== asOf || count === seen) return []
  return [{ what: 'row count', detail: `Pages hold ${seen} of ${count} rows.` }]
}
