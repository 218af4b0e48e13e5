/**
 * Queries made from stored rows: chosen evenly at random, with a little noise, so that they ask what
 * the index holds without asking for a row itself.
 */

import { encodeQueries, type QueryRows, type SampleRowsRequest } from '../domain/workbench.ts'
import type { PointTable } from './point-table.ts'
import { splitmix32 } from '../lib/splitmix32.ts'

/** @returns fewer queries than asked for only where there are fewer rows. */
export function sampleRows(
  tables: readonly PointTable[],
  { count, seed, noise }: SampleRowsRequest,
): QueryRows {
  const random = splitmix32(seed)
  const rows = tables.flatMap((table) => liveSlots(table).map((slot) => ({ table, slot })))
  const chosen = takeRandom(rows, count, random)
  const dimension = tables[0]?.vectors.dimension ?? 0
  const vectors = new Float32Array(chosen.length * dimension)
  for (const [i, { table, slot }] of chosen.entries()) {
    vectors.set(noisy(table.vectors.view(slot), noise, random), i * dimension)
  }
  const selfIds = chosen.map(({ table, slot }) => table.id(slot))
  return encodeQueries(vectors, dimension, selfIds)
}

function liveSlots({ live }: PointTable): number[] {
  const slots: number[] = []
  for (let slot = live.next(0); slot !== -1; slot = live.next(slot + 1)) slots.push(slot)
  return slots
}

/** The first `count` of a random order (Fisher and Yates). */
function takeRandom<T>(all: T[], count: number, random: () => number): T[] {
  const taken = Math.min(count, all.length)
  for (let i = 0; i < taken; i += 1) {
    const j = i + Math.floor(random() * (all.length - i))
    const swapped = all[i] as T
    all[i] = all[j] as T
    all[j] = swapped
  }
  return all.slice(0, taken)
}

/** Noise of the given share of the root mean square of the row's numbers. */
function noisy(row: Float32Array, noise: number, random: () => number): Float32Array {
  let sum = 0
  for (const value of row) sum += value * value
  const scale = noise * Math.sqrt(sum / row.length)
  return row.map((value) => value + scale * gaussian(random))
}

/** Standard normal (Box and Muller, 1958). */
function gaussian(random: () => number): number {
  const radius = Math.sqrt(-2 * Math.log(1 - random()))
  return radius * Math.cos(2 * Math.PI * random())
}
