/**
 * Runs a live query again, exactly and through the graphs at several ef, over one snapshot.
 *
 * The probes run in the turn that takes the snapshot; the exact scan follows in short steps over what
 * was live then. The table is held meanwhile, so that a row that dies still has its vector.
 */

import type {
  RecallSample,
  SampledHits,
  SampledProbe,
  SampleRequest,
} from '../domain/recall-sample.ts'
import { TopK } from '../engines/top-k.ts'
import { search, searchableOf, type Searched } from './searcher.ts'
import { inSteps } from '../lib/steps.ts'

/** Rows between two looks at the clock. */
const BLOCK_ROWS = 256

/** @param searchedIn what a search of a generation goes over. */
export async function sampleRecall(
  searchedIn: (generation: number | null) => Searched,
  { query, probes }: SampleRequest,
  lsn: number,
): Promise<RecallSample> {
  const startMs = performance.now()
  const { table, metadata, graph } = searchedIn(null)
  const { target } = query
  if (!('vector' in target)) throw new TypeError('a sampled query has a vector')
  const { slots, count } = searchableOf({ table, metadata }, query.filter)
  const mask = slots.clone()
  const { slots: rows, searchablePoints: livePoints } = table
  const found = probes.map((probe): SampledProbe => {
    const asked = { ...query, target, ef: probe.ef, exact: false }
    const before = process.cpuUsage()
    const { hits } = search(searchedIn(probe.generation), asked, lsn)
    const { user, system } = process.cpuUsage(before)
    const distances = hits.map((hit) => hit.distance)
    return { ...probe, ids: hits.map(({ id }) => id), distances, cpuUs: user + system }
  })
  let workMs = performance.now() - startMs
  table.hold()
  try {
    const prepared = table.vectors.prepare(target.vector)
    const top = new TopK()
    top.reset(query.k)
    await inSteps(Math.ceil(rows / BLOCK_ROWS), (block) => {
      const from = block * BLOCK_ROWS
      const fromMs = performance.now()
      table.vectors.scan(prepared, mask.words, { from, to: Math.min(rows, from + BLOCK_ROWS) }, top)
      workMs += performance.now() - fromMs
    })
    const { numbers, distances } = top.drain()
    const truth: SampledHits = { ids: numbers.map((slot) => table.id(slot)), distances }
    const { generation } = graph
    const workUs = Math.round(workMs * 1000)
    return { truth, probes: found, generation, lsn, livePoints, matching: count, workUs }
  } finally {
    table.release()
  }
}
