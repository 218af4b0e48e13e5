/**
 * Puts together what the shards of one index answer: nearest first, row order, sums.
 *
 * Pure. Shards hold disjoint ids, so nothing has to be made unique.
 */

import type { CheckpointContent } from '../domain/checkpoint.ts'
import type {
  GenerationInfo,
  Hit,
  ScrollPage,
  ScrollPosition,
  ShardAnswer,
  ShardStats,
  StoredPoint,
} from '../domain/search.ts'
import { invariant } from '../lib/invariant.ts'

const PATH_RANK = {
  ...{ exact: 0, keyword: 0, graph: 1, ivf: 1, graph_filtered: 2, ivf_filtered: 2, hybrid: 3 },
} as const

/** The k nearest of all answers. The path named is the most approximate one that ran. */
export function mergeAnswers(answers: readonly ShardAnswer[], k: number): ShardAnswer {
  const [first] = answers
  invariant(first !== undefined, 'an index has a shard')
  if (answers.length === 1) return first
  const hits: Hit[] = answers.flatMap((answer) => answer.hits)
  hits.sort((a, b) => a.distance - b.distance || a.version - b.version)
  const worst = answers.reduce((a, b) => (PATH_RANK[b.path] > PATH_RANK[a.path] ? b : a))
  const completeFrom = answers.flatMap((answer) => answer.completeFrom ?? [])
  return {
    hits: hits.slice(0, k),
    path: worst.path,
    efUsed: Math.max(...answers.map((answer) => answer.efUsed)),
    generation: Math.min(...answers.map((answer) => answer.generation)),
    exhausted: hits.length < k,
    lsn: Math.min(...answers.map((answer) => answer.lsn)),
    ...(completeFrom.length > 0 && { completeFrom: Math.max(...completeFrom) }),
  }
}

/** What the shards wrote at one lsn, as one checkpoint. */
export function mergeContents(contents: readonly CheckpointContent[]): CheckpointContent {
  const [first] = contents
  invariant(first !== undefined, 'an index has a shard')
  const { lsn } = first
  invariant(
    contents.every((content) => content.lsn === lsn),
    'the shards of a checkpoint hold the same writes',
  )
  return {
    lsn,
    parts: contents.flatMap((content) => content.parts),
    graphs: contents.flatMap((content) => content.graphs),
    retention: contents.flatMap((content) => content.retention),
  }
}

/** The first `limit` points of all pages in (lsn, row) order, and where the next page starts. */
export function mergePages(
  pages: readonly ScrollPage[],
  limit: number,
): { readonly points: readonly StoredPoint[]; readonly next: ScrollPosition | null } {
  const rows = pages.flatMap((page) =>
    page.points.map((point, i) => {
      const position = page.positions[i]
      invariant(position !== undefined, 'each point of a page has a position')
      return { point, position }
    }),
  )
  rows.sort((a, b) => a.position.lsn - b.position.lsn || a.position.row - b.position.row)
  const kept = rows.slice(0, limit)
  const isEnd = kept.length === rows.length && pages.every((page) => page.done)
  return {
    points: kept.map((row) => row.point),
    next: isEnd ? null : (kept.at(-1)?.position ?? null),
  }
}

/** One set of figures for the whole index; null while a shard has none. */
export function sumStats(all: readonly (ShardStats | null)[]): ShardStats | null {
  const known = all.filter((stats) => stats !== null)
  if (known.length === 0 || known.length < all.length) return null
  const sum = (of: (stats: ShardStats) => number): number =>
    known.reduce((total, stats) => total + of(stats), 0)
  return {
    livePoints: sum((stats) => stats.livePoints),
    pendingTexts: sum((stats) => stats.pendingTexts),
    rows: sum((stats) => stats.rows),
    keptVersions: sum((stats) => stats.keptVersions),
    keptBytes: sum((stats) => stats.keptBytes),
    keepLastVersions: Math.min(...known.map((stats) => stats.keepLastVersions)),
    deltaPoints: sum((stats) => stats.deltaPoints),
    graphElements: sum((stats) => stats.graphElements),
    tombstones: sum((stats) => stats.tombstones),
    generation: Math.min(...known.map((stats) => stats.generation)),
    generations: mergeGenerations(known.map((stats) => stats.generations)),
    appliedLsn: Math.min(...known.map((stats) => stats.appliedLsn)),
    indexedLsn: Math.min(...known.map((stats) => stats.indexedLsn)),
    memoryBytes: sum((stats) => stats.memoryBytes),
    rawBytes: sum((stats) => stats.rawBytes),
    payloadBytes: sum((stats) => stats.payloadBytes),
    deadRows: sum((stats) => stats.deadRows),
    insertRate: sum((stats) => stats.insertRate),
  }
}

/** One entry for each generation, with the sums over the shards; by number. */
function mergeGenerations(shards: readonly (readonly GenerationInfo[])[]): GenerationInfo[] {
  const merged = new Map<number, GenerationInfo>()
  for (const info of shards.flat()) {
    const before = merged.get(info.generation)
    if (before === undefined) merged.set(info.generation, info)
    else {
      merged.set(info.generation, {
        ...before,
        // Where shards differ, the change from one to the other is under way.
        state: before.state === 'published' ? info.state : before.state,
        elements: before.elements + info.elements,
        tombstones: before.tombstones + info.tombstones,
        deltaPoints: before.deltaPoints + info.deltaPoints,
      })
    }
  }
  return [...merged.values()].sort((a, b) => a.generation - b.generation)
}
