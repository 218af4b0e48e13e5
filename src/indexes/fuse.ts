/**
 * One ranking of two: reciprocal rank fusion (Cormack, Clarke and Büttcher, 2009).
 *
 *     score of a point = Σ 1 / (60 + its rank in the list), over the lists that have it; ranks from 1
 *
 * Pure. It needs no scores, which for distances and for BM25 have nothing in common.
 */

import type { Hit, HybridHit, ShardAnswer } from '../domain/search.ts'

/** As in the paper: how little the first places count more than those after them. */
const RANK_CONSTANT = 60

export interface HybridAnswer extends ShardAnswer {
  readonly hits: readonly HybridHit[]
}

interface Ranked {
  readonly hit: Hit
  readonly vector: number | null
  readonly keyword: number | null
}

/** The k best of both; points with equal scores by their best rank, then by id. */
export function fuse(
  { vector, keyword }: { readonly vector: ShardAnswer; readonly keyword: ShardAnswer },
  k: number,
): HybridAnswer {
  const points = new Map<string, Ranked>()
  for (const [i, hit] of vector.hits.entries()) {
    points.set(hit.id, { hit, vector: i + 1, keyword: null })
  }
  for (const [i, hit] of keyword.hits.entries()) {
    const other = points.get(hit.id)
    points.set(hit.id, joined(other, hit, i + 1))
  }
  const ranked = [...points.values()].sort(
    (a, b) => scoreOf(b) - scoreOf(a) || bestRank(a) - bestRank(b) || byId(a, b),
  )
  return {
    hits: ranked.slice(0, k).map(hybridHit),
    path: 'hybrid',
    efUsed: vector.efUsed,
    generation: vector.generation,
    exhausted: ranked.length < k,
    lsn: Math.min(vector.lsn, keyword.lsn),
  }
}

/** A point may have been written again between the two searches: the newer version is shown. */
function joined(other: Ranked | undefined, hit: Hit, rank: number): Ranked {
  if (other === undefined) return { hit, vector: null, keyword: rank }
  const newer =
    hit.version > other.hit.version ? { ...hit, distance: other.hit.distance } : other.hit
  return { hit: newer, vector: other.vector, keyword: rank }
}

function scoreOf({ vector, keyword }: Ranked): number {
  return reciprocal(vector) + reciprocal(keyword)
}

function reciprocal(rank: number | null): number {
  return rank === null ? 0 : 1 / (RANK_CONSTANT + rank)
}

function bestRank({ vector, keyword }: Ranked): number {
  return Math.min(vector ?? Infinity, keyword ?? Infinity)
}

function byId(a: Ranked, b: Ranked): number {
  return a.hit.id < b.hit.id ? -1 : 1
}

function hybridHit(ranked: Ranked): HybridHit {
  const { hit, vector, keyword } = ranked
  return { ...hit, fused: { score: scoreOf(ranked), vector, keyword } }
}
