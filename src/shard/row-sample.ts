/**
 * Queries made from stored rows: chosen evenly at random, and moved as `noisy-query.ts` says.
 */

import { atLengthOf, NOISE_NEIGHBOURS, noisyQuery, takeRandom } from '../domain/noisy-query.ts'
import { encodeQueries, type QueryRows, type SampleRowsRequest } from '../domain/workbench.ts'
import { TopK } from '../engines/top-k.ts'
import { splitmix32 } from '../lib/splitmix32.ts'
import type { PointTable } from './point-table.ts'
import { inSteps } from '../lib/steps.ts'

interface Row {
  readonly table: PointTable
  readonly slot: number
}

/** @returns fewer queries than asked for only where there are fewer rows. */
export async function sampleRows(
  tables: readonly PointTable[],
  { count, seed, noise }: SampleRowsRequest,
  onProgress: (fraction: number) => void,
): Promise<QueryRows> {
  const random = splitmix32(seed)
  const rows = tables.flatMap((table) => liveSlots(table).map((slot) => ({ table, slot })))
  const chosen = takeRandom(rows, count, random)
  const dimension = tables[0]?.vectors.dimension ?? 0
  const vectors = new Float32Array(chosen.length * dimension)
  await inSteps(chosen.length, (i) => {
    const row = chosen[i]
    if (row !== undefined) vectors.set(moved(row, noise, random), i * dimension)
    if (i % 20 === 0) onProgress(i / chosen.length)
  })
  const selfIds = chosen.map(({ table, slot }) => table.id(slot))
  return encodeQueries(vectors, dimension, selfIds)
}

function liveSlots({ searchable: live }: PointTable): number[] {
  const slots: number[] = []
  for (let slot = live.next(0); slot !== -1; slot = live.next(slot + 1)) slots.push(slot)
  return slots
}

/** @param share of the whole move: 1 is as measured. */
function moved(row: Row, share: number, random: () => number): Float32Array {
  const vector = row.table.vectors.view(row.slot)
  return noisyQuery(vector, { near: neighboursOf(row, vector), share, random })
}

/** The nearest rows of the same shard, at the length of the vector where length does not count. */
function neighboursOf({ table, slot }: Row, vector: Float32Array): Float32Array[] {
  const { vectors, searchable, slots } = table
  const top = new TopK()
  top.reset(NOISE_NEIGHBOURS + 1)
  vectors.scan(vectors.prepare(vector), searchable.words, { from: 0, to: slots }, top)
  const near = top.drain().numbers.filter((other) => other !== slot)
  return near.slice(0, NOISE_NEIGHBOURS).map((other) => {
    const found = vectors.view(other)
    return vectors.metric === 'cosine' ? atLengthOf(vector, found) : found
  })
}
