/**
 * Checks a shard against itself, slot by slot beside serving, and repairs what only it can: points
 * that the graph does not find are searched exactly from then on.
 */

import type { VerifyFault } from '../domain/search.ts'
import { invariant } from '../lib/invariant.ts'
import { parseMetadata } from './metadata-index.ts'
import type { Searched } from './searcher.ts'
import { inSteps } from '../lib/steps.ts'
import { faultsOfSlot } from './table-faults.ts'

/** Points that look for themselves through the graph. */
const SAMPLE_MAX = 1000
/** Candidates of such a search: a point that needs more is as good as lost. */
const FIND_EF_MIN = 200
/** Share of points that a healthy graph may not find. */
const LOST_SHARE_MAX = 0.001
/** Faults told: the first ones say what is wrong. */
const FAULTS_MAX = 100

export async function verifyShard(shard: Searched): Promise<VerifyFault[]> {
  const { table, graph } = shard
  const faults: VerifyFault[] = []
  const add = (what: string, details: readonly string[]): void => {
    for (const detail of details) if (faults.length < FAULTS_MAX) faults.push({ what, detail })
  }
  await inSteps(table.slots, (slot) => {
    const details = faultsOfSlot(table, slot)
    if (details.length > 0) add('point table', [`slot ${slot}: ${details.join(', ')}`])
    if (!postingsAgree(shard, slot)) add('metadata index', [`slot ${slot} is not found by a field`])
  })
  const live = table.live.count()
  if (live !== table.livePoints) add('point table', [`${live} live slots, ${table.livePoints} ids`])
  const searchable = table.searchable.count()
  if (searchable !== table.searchablePoints) {
    add('point table', [`${searchable} searchable slots, ${table.searchablePoints} counted`])
  }
  const kept = table.kept.count()
  if (kept !== table.keptVersions) {
    add('point table', [`${kept} kept slots, ${table.keptVersions} counted`])
  }
  add('graph', graph.faults())
  add('findability', await checkFindability(shard))
  return faults
}

function postingsAgree({ table, metadata }: Searched, slot: number): boolean {
  if (!table.live.has(slot) && !table.kept.has(slot)) return true
  return metadata.agrees(slot, parseMetadata(table.metadata(slot)))
}

/** Samples first; looks for every point where the sample says that too many are lost. */
async function checkFindability(shard: Searched): Promise<string[]> {
  const sample = await findLost(shard, SAMPLE_MAX)
  for (const slot of sample.lost) shard.graph.addStray(slot)
  if (sample.lost.length <= sample.checked * LOST_SHARE_MAX) return []
  const all = await findLost(shard, Infinity)
  for (const slot of all.lost) shard.graph.addStray(slot)
  const lost = all.lost.length + sample.lost.length
  return [
    `the graph did not find ${lost} of its points by themselves; they are searched exactly now`,
  ]
}

interface Lost {
  /** Live slots that were live and in the graph when they were not found. */
  readonly lost: readonly number[]
  readonly checked: number
}

/** Up to about `max` points, evenly spread, each searched for by its own vector. */
async function findLost({ table, graph }: Searched, max: number): Promise<Lost> {
  const slots: number[] = []
  const { searchable } = table
  for (let slot = searchable.next(0); slot !== -1; slot = searchable.next(slot + 1)) {
    if (graph.labelOf(slot) !== -1 && !graph.strays.has(slot)) slots.push(slot)
  }
  const stride = Math.max(1, Math.ceil(slots.length / max))
  const count = Math.ceil(slots.length / stride)
  const ef = Math.max(graph.config.efSearch ?? 0, FIND_EF_MIN)
  const lost: number[] = []
  await inSteps(count, (n) => {
    const slot = slots[n * stride]
    invariant(slot !== undefined, 'the sample lies within the slots')
    // A write may have ended its life since.
    if (!table.live.has(slot)) return
    if (!findsItself({ table, graph }, slot, ef)) lost.push(slot)
  })
  return { lost, checked: count }
}

/** A copy of it does as well, and under the inner product whatever is nearer than itself. */
function findsItself(
  { table, graph }: Pick<Searched, 'table' | 'graph'>,
  slot: number,
  ef: number,
): boolean {
  const vector = table.vectors.view(slot)
  const [nearest] = graph.search(vector, 1, ef)
  if (nearest === undefined) return false
  if (nearest === slot) return true
  const prepared = table.vectors.prepare(vector)
  const own = table.vectors.distance(prepared, slot)
  return table.vectors.distance(prepared, nearest) <= own + 1e-6 * (1 + Math.abs(own))
}
