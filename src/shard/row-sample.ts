/**
 * Queries made from stored rows: chosen evenly at random, with noise, so that they ask what the index
 * holds without asking for a row itself.
 *
 * The noise is in parts of the distance from a row to its nearest neighbour (the median over a few
 * rows): a query then lies as far from what is stored as a new point would. With less of it a walk
 * falls into the row that the query was made from, finds its links there, and recall comes out too
 * high. Measured on GloVe (20,000 × 100, M 8, efConstruction 64), recall@10 at ef 10 / 20 / 40 / 80:
 * real held-out words 0.832 / 0.918 / 0.962 / 0.986; rows with a tenth of their length as noise
 * 0.938 / 0.968 / 0.984 / 0.992.
 */

import type { Metric } from '../domain/metric.ts'
import { encodeQueries, type QueryRows, type SampleRowsRequest } from '../domain/workbench.ts'
import { TopK } from '../engines/top-k.ts'
import { splitmix32 } from '../lib/splitmix32.ts'
import type { PointTable } from './point-table.ts'

/** Rows whose nearest neighbour is looked for. */
const NEIGHBOUR_ROWS = 64
/** Of the length of a row, where its neighbours cannot tell. */
const SPACING_DEFAULT = 0.9

interface Row {
  readonly table: PointTable
  readonly slot: number
}

/** @returns fewer queries than asked for only where there are fewer rows. */
export function sampleRows(
  tables: readonly PointTable[],
  { count, seed, noise }: SampleRowsRequest,
): QueryRows {
  const random = splitmix32(seed)
  const rows = tables.flatMap((table) => liveSlots(table).map((slot) => ({ table, slot })))
  const chosen = takeRandom(rows, count, random)
  const share = noise * spacingOf(tables, chosen.slice(0, NEIGHBOUR_ROWS))
  const dimension = tables[0]?.vectors.dimension ?? 0
  const vectors = new Float32Array(chosen.length * dimension)
  for (const [i, { table, slot }] of chosen.entries()) {
    vectors.set(noisy(table.vectors.view(slot), share, random), i * dimension)
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

/** Median distance from a row to its nearest neighbour, as a share of the length of the row. */
function spacingOf(tables: readonly PointTable[], rows: readonly Row[]): number {
  const shares = rows
    .map((row) => neighbourShare(tables, row))
    .filter((share) => share > 0 && Number.isFinite(share))
    .sort((a, b) => a - b)
  return shares[shares.length >> 1] ?? SPACING_DEFAULT
}

function neighbourShare(tables: readonly PointTable[], row: Row): number {
  const vector = row.table.vectors.view(row.slot)
  let nearest = Infinity
  for (const table of tables) {
    const top = new TopK()
    top.reset(2)
    const range = { from: 0, to: table.slots }
    table.vectors.scan(table.vectors.prepare(vector), table.live.words, range, top)
    const { numbers, distances } = top.drain()
    for (const [i, slot] of numbers.entries()) {
      if (table === row.table && slot === row.slot) continue
      nearest = Math.min(nearest, distances[i] ?? Infinity)
    }
  }
  return lengthShare(row.table.vectors.metric, nearest, vector)
}

function lengthShare(metric: Metric, distance: number, vector: Float32Array): number {
  // Of unit vectors the squared distance is twice the cosine distance.
  if (metric === 'cosine') return Math.sqrt(2 * Math.max(0, distance))
  // A product says nothing about how far apart two points lie.
  if (metric === 'ip') return NaN
  return Math.sqrt(Math.max(0, distance)) / Math.sqrt(squares(vector))
}

function squares(vector: Float32Array): number {
  let sum = 0
  for (const value of vector) sum += value * value
  return sum
}

/** Noise whose length is about the given share of that of the row. */
function noisy(row: Float32Array, share: number, random: () => number): Float32Array {
  const scale = share * Math.sqrt(squares(row) / row.length)
  return row.map((value) => value + scale * gaussian(random))
}

/** Standard normal (Box and Muller, 1958). */
function gaussian(random: () => number): number {
  const radius = Math.sqrt(-2 * Math.log(1 - random()))
  return radius * Math.cos(2 * Math.PI * random())
}
