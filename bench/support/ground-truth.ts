/**
 * The true nearest neighbours under cosine, by comparing each query with every row.
 *
 * Cached by the content of rows, queries and filter, so that it is never that of other data.
 */

import { bytesOf, cachedNumbers, contentKey, readInt32 } from './cache.ts'
import type { Split } from './glove.ts'
import { normalized } from './vectors.ts'

/** `k` rows for each query, nearest first; -1 where fewer match. Plain data: see `readTruth`. */
export interface TruthRef {
  readonly file: string
  readonly k: number
}

export interface Truth {
  readonly k: number
  readonly rows: Int32Array
}

/** Which rows may be found; `name` and `seed` say it all and take part in the name of the cache. */
export interface RowFilter {
  readonly name: string
  readonly matches: (row: number) => boolean
}

const EVERY_ROW: RowFilter = { name: 'all', matches: () => true }

export function groundTruth(split: Split, k: number): TruthRef {
  const [truth] = filteredTruths(split, k, [EVERY_ROW])
  if (truth === undefined) throw new Error('one filter gives one truth')
  return truth
}

/** One truth for each filter; the comparisons are made once for all of them. */
export function filteredTruths(
  split: Split,
  k: number,
  filters: readonly RowFilter[],
): readonly TruthRef[] {
  const { base, queries } = split
  const content = contentKey(bytesOf(base.data), bytesOf(queries.data), String(base.dimension))
  const masks = filters.map(({ matches }) =>
    Uint8Array.from({ length: base.rows }, (_, row) => Number(matches(row))),
  )
  const names = filters.map(
    ({ name }, i) => `truth-${content}-k${k}-${name}-${contentKey(masks[i] ?? '')}.i32`,
  )
  let made: readonly Int32Array[] | null = null
  return names.map((name, i) => {
    const file = cachedNumbers(name, () => {
      made ??= compareAll(split, k, masks)
      return made[i] ?? new Int32Array()
    })
    return { file, k }
  })
}

export function readTruth({ file, k }: TruthRef): Truth {
  return { k, rows: readInt32(file) }
}

/** How many rows `query` should find. */
export function expectedCount(truth: Truth, query: number): number {
  let count = 0
  while (count < truth.k && (truth.rows[query * truth.k + count] ?? -1) >= 0) count += 1
  return count
}

/** The share of the true neighbours of `query` that `found` holds; 1 where there are none. */
export function recallOf(truth: Truth, query: number, found: readonly number[]): number {
  const expected = expectedCount(truth, query)
  if (expected === 0) return 1
  const start = query * truth.k
  let hits = 0
  for (const row of new Set(found)) {
    if (truth.rows.subarray(start, start + expected).includes(row)) hits += 1
  }
  return hits / expected
}

function compareAll(split: Split, k: number, masks: readonly Uint8Array[]): Int32Array[] {
  const base = normalized(split.base)
  const queries = normalized(split.queries)
  const { dimension, rows } = split.base
  const truths = masks.map(() => new Int32Array(split.queries.rows * k).fill(-1))
  const scores = new Float64Array(rows)
  for (let query = 0; query < split.queries.rows; query += 1) {
    const vector = queries.subarray(query * dimension, (query + 1) * dimension)
    scoreRows(base, vector, scores)
    for (const [i, mask] of masks.entries()) {
      truths[i]?.set(nearest(scores, mask, k), query * k)
    }
  }
  return truths
}

/** Four sums side by side: one alone would wait for each addition. */
function scoreRows(base: Float32Array, query: Float32Array, scores: Float64Array): void {
  const dimension = query.length
  for (let row = 0, at = 0; row < scores.length; row += 1) {
    let a = 0
    let b = 0
    let c = 0
    let d = 0
    for (let i = 0; i < dimension; i += 4, at += 4) {
      a += (base[at] as number) * (query[i] as number)
      b += (base[at + 1] as number) * (query[i + 1] as number)
      c += (base[at + 2] as number) * (query[i + 2] as number)
      d += (base[at + 3] as number) * (query[i + 3] as number)
    }
    scores[row] = a + b + c + d
  }
}

/** At most k rows, best first: insertion into a short sorted list. */
function nearest(scores: Float64Array, mask: Uint8Array, k: number): number[] {
  const rows: number[] = []
  let worst = -Infinity
  for (let row = 0; row < scores.length; row += 1) {
    const score = scores[row] as number
    if (mask[row] === 0 || (rows.length === k && score <= worst)) continue
    let place = rows.length
    while (place > 0 && (scores[rows[place - 1] as number] as number) < score) place -= 1
    rows.splice(place, 0, row)
    if (rows.length > k) rows.pop()
    worst = scores[rows.at(-1) as number] as number
  }
  return rows
}
