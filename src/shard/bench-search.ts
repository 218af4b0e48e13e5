/**
 * Searches over a workbench: the truth by scans, and what graphs find at which cost.
 *
 * Cost is CPU time of this process, which neighbours on the machine disturb least, and is measured
 * over the very search that serves. (That of the thread moves in ticks of milliseconds on Linux; that
 * of the process is exact, and nothing else runs in it.)
 */

import { countHits } from '../domain/recall-sample.ts'
import {
  decodeQueries,
  type Compared,
  type CompareRequest,
  type Measured,
  type MeasureRequest,
  type QueryRows,
  type Side,
  type TrueNeighbors,
  type TruthRequest,
} from '../domain/workbench.ts'
import { TopK } from '../engines/top-k.ts'
import { invariant } from '../lib/invariant.ts'
import { search, type NeighbourQuery, type Searched } from './searcher.ts'
import { inSteps } from '../lib/steps.ts'
import type { Workbench } from './workbench.ts'

/** Queries whose CPU time is read as one: a clock is read twice for each block. */
const BLOCK_QUERIES = 25
/** Searches before time is read: code and caches get warm. */
const WARM_UP_QUERIES = 200
/** Times that each query is run: the middle of the blocks is then a steady number. */
const PASSES = 3
const NOTHING = { metadata: false, vector: false, text: false }

export async function findTruth(
  bench: Workbench,
  { queries, k }: TruthRequest,
  onProgress: (fraction: number) => void,
): Promise<TrueNeighbors[]> {
  const all: TrueNeighbors[] = []
  const rows = decodeQueries(queries)
  await inSteps(queries.count, (i) => {
    all.push(nearest(bench, rowOf(rows, i, bench.dimension), k, queries.selfIds[i] ?? null))
    if (i % 20 === 0) onProgress(i / queries.count)
  })
  return all
}

function nearest(
  bench: Workbench,
  vector: Float32Array,
  k: number,
  self: string | null,
): TrueNeighbors {
  const top = new TopK()
  const found: { id: string; distance: number }[] = []
  for (const { vectors, searchable, slots, ...table } of bench.tables.map(viewOf)) {
    top.reset(k + 1)
    vectors.scan(vectors.prepare(vector), searchable.words, { from: 0, to: slots }, top)
    const { numbers, distances } = top.drain()
    for (const [i, slot] of numbers.entries()) {
      found.push({ id: table.id(slot), distance: distances[i] ?? Infinity })
    }
  }
  const others = found.filter(({ id }) => id !== self).sort((a, b) => a.distance - b.distance)
  const kept = others.slice(0, k)
  return { ids: kept.map(({ id }) => id), distances: kept.map(({ distance }) => distance) }
}

function viewOf(table: Workbench['tables'][number]): Pick<
  Workbench['tables'][number],
  'vectors' | 'searchable' | 'slots'
> & {
  readonly id: (slot: number) => string
} {
  const { vectors, searchable, slots } = table
  return { vectors, searchable, slots, id: (slot) => table.id(slot) }
}

/** Measures every ef over the same queries, block by block in turn, so that drift hits all alike. */
export async function measure(
  bench: Workbench,
  { graphId, efs, queries, truth, k }: MeasureRequest,
  onProgress: (fraction: number) => void,
): Promise<Measured[]> {
  const shards = bench.searched({ graphId })
  const asked = queriesOf(queries, bench.dimension, k)
  const seen = efs.map((ef) => ({
    ef,
    hits: [] as number[],
    blockCpuUs: [] as number[],
    latencyUs: [] as number[],
  }))
  warmUp(shards, asked, Math.max(...efs))
  const blocks = Math.ceil(asked.length / BLOCK_QUERIES)
  const steps = blocks * efs.length * PASSES
  await inSteps(steps, (step) => {
    const one = seen[step % efs.length]
    invariant(one !== undefined, 'an ef that was asked for')
    const block = Math.floor(step / efs.length) % blocks
    const from = block * BLOCK_QUERIES
    const part = asked.slice(from, from + BLOCK_QUERIES)
    const before = process.cpuUsage()
    const found = part.map((query) => {
      const startedMs = performance.now()
      const distances = run(shards, query, one.ef)
      one.latencyUs.push((performance.now() - startedMs) * 1000)
      return distances
    })
    one.blockCpuUs.push(cpuSince(before) / part.length)
    if (step < blocks * efs.length) {
      for (const [i, distances] of found.entries()) {
        one.hits.push(countHits(distances, truth[from + i] ?? []))
      }
    }
    onProgress(step / steps)
  })
  return seen
}

/** Runs both sides over the same queries in the order A B B A, B A A B …, and reads their CPU time. */
export async function compare(
  bench: Workbench,
  { sides, queries, k, blocks }: CompareRequest,
  onProgress: (fraction: number) => void,
): Promise<Compared> {
  const asked = queriesOf(queries, bench.dimension, k)
  const [a, b] = sides
  const cpuUs: [number, number][] = []
  const quickestUs = new Map(sides.map((side) => [side, new Map<number, number>()]))
  for (const { graphId, ef } of sides) warmUp(bench.searched({ graphId }), asked, ef)
  await inSteps(blocks, (block) => {
    const part = Array.from({ length: BLOCK_QUERIES }, (_, i) => {
      return (block * BLOCK_QUERIES + i) % asked.length
    })
    const order = block % 2 === 0 ? [a, b, b, a] : [b, a, a, b]
    const spent = new Map<Side, number>([
      [a, 0],
      [b, 0],
    ])
    for (const side of order) {
      const shards = bench.searched(side)
      const before = process.cpuUsage()
      const took = quickestUs.get(side)
      for (const i of part) {
        const query = asked[i]
        invariant(query !== undefined && took !== undefined, 'there are queries and sides')
        const startedMs = performance.now()
        run(shards, query, side.ef)
        const us = (performance.now() - startedMs) * 1000
        took.set(i, Math.min(took.get(i) ?? Infinity, us))
      }
      spent.set(side, (spent.get(side) ?? 0) + cpuSince(before))
    }
    const searches = 2 * part.length
    cpuUs.push([(spent.get(a) ?? 0) / searches, (spent.get(b) ?? 0) / searches])
    onProgress(block / blocks)
  })
  const latencies = (side: Side): number[] => [...(quickestUs.get(side)?.values() ?? [])]
  return { cpuUs, quickestUs: [latencies(a), latencies(b)] }
}

interface AskedQuery {
  readonly query: Omit<NeighbourQuery, 'ef'>
  readonly self: string | null
  readonly k: number
}

function queriesOf(queries: QueryRows, dimension: number, k: number): AskedQuery[] {
  const rows = decodeQueries(queries)
  return queries.selfIds.map((self, i) => ({
    query: {
      target: { vector: rowOf(rows, i, dimension) },
      k: self === null ? k : k + 1,
      ...{ exact: false, filter: null, include: NOTHING },
    },
    ...{ self, k },
  }))
}

/** Distances of the k nearest that were found, ascending. */
function run(shards: readonly Searched[], { query, self, k }: AskedQuery, ef: number): number[] {
  const found: number[] = []
  for (const shard of shards) {
    for (const { id, distance } of search(shard, { ...query, ef }, 0).hits) {
      if (id !== self) found.push(distance)
    }
  }
  if (shards.length > 1) found.sort((a, b) => a - b)
  return found.length > k ? found.slice(0, k) : found
}

function warmUp(shards: readonly Searched[], asked: readonly AskedQuery[], ef: number): void {
  for (let i = 0; i < WARM_UP_QUERIES; i += 1) {
    const query = asked[i % asked.length]
    if (query !== undefined) run(shards, query, ef)
  }
}

function rowOf(rows: Float32Array, i: number, dimension: number): Float32Array {
  return rows.subarray(i * dimension, (i + 1) * dimension)
}

function cpuSince(before: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(before)
  return user + system
}
