/**
 * Whether a Lance table agrees with itself: by its counts, all of its ids, and a sample of its rows.
 */

import type { LanceTable } from '../domain/lance-table.ts'
import type { VerifyFault } from '../domain/search.ts'
import type { VerifyReport } from './index-api.ts'

const SAMPLE_ROWS = 1000
const SAMPLE_SEED = 0x7e51f7
const VECTORS = { metadata: false, vector: true, text: false }

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
  for (const id of await table.repeated()) {
    faults.push({ what: 'id', detail: `Several rows have the id "${id}".` })
  }
  return { clean: faults.length === 0, faults, logRecords: 0, livePoints: now.count }
}

/** Sampled rows are found by their ids, with the vectors that they have. */
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
  const { points } = await table.fetch(ids, VECTORS, null)
  for (const [i, id] of ids.entries()) {
    // It may have been deleted or written again since the sample was taken; an odd length was not.
    const found = points[i]?.vector ?? null
    if (found === null || found.length === dimension) continue
    faults.push({ what: 'vector', detail: `The vector of "${id}" has ${found.length} numbers.` })
  }
  return faults
}
