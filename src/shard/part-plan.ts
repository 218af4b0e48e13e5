/**
 * Which parts of a checkpoint are kept and which are written anew: pure arithmetic.
 *
 *     kept     [1 … 40][41 … 90]          [151 … 160]
 *     written                   [91 … 150]           [161 … now]
 *
 * A part covers a range of lsn; only neighbours are merged, so the order of lsn stays.
 */

import type { PartRef } from '../domain/checkpoint.ts'

/** Points parts that a checkpoint may have: each is a request at the next start. */
export const PARTS_MAX = 16
/** A part is written anew when at least this share of its rows is dead. */
const DEAD_SHARE_MAX = 0.2

export interface PartState {
  readonly ref: PartRef
  /** Rows of the part that are live. */
  readonly live: number
}

/** A range of lsn whose live rows are one part: `kept` names a part that is already there. */
export interface Segment {
  readonly firstLsn: number
  readonly lastLsn: number
  readonly live: number
  readonly kept: PartRef | null
}

/**
 * @param parts in order of lsn.
 * @param fresh the rows since the last checkpoint.
 * @param clean every part with dead rows is written anew, so that deletes need not be remembered.
 */
export function planParts(
  parts: readonly PartState[],
  fresh: Omit<Segment, 'kept'>,
  clean: boolean,
): Segment[] {
  const segments: Segment[] = []
  for (const { ref, live } of parts) {
    const dead = ref.rows - live
    const isKept = dead === 0 || (!clean && dead < ref.rows * DEAD_SHARE_MAX)
    const { firstLsn, lastLsn } = ref
    push(segments, { firstLsn, lastLsn, live, kept: isKept ? ref : null })
  }
  push(segments, { ...fresh, kept: null })
  const filled = segments.filter(({ live }) => live > 0)
  while (filled.length > PARTS_MAX) mergeSmallest(filled)
  return filled
}

/** Neighbours that are written anew both become one. */
function push(segments: Segment[], next: Segment): void {
  const before = segments.at(-1)
  if (before?.kept === null && next.kept === null) {
    segments[segments.length - 1] = merged(before, next)
  } else {
    segments.push(next)
  }
}

/** Small parts merge often and large ones seldom: a row is written a few times in its life. */
function mergeSmallest(segments: Segment[]): void {
  let best = 0
  let bestRows = Infinity
  for (const [i, segment] of segments.entries()) {
    const rows = segment.live + (segments[i + 1]?.live ?? Infinity)
    if (rows < bestRows) {
      bestRows = rows
      best = i
    }
  }
  const [left, right] = segments.slice(best, best + 2)
  if (left !== undefined && right !== undefined) segments.splice(best, 2, merged(left, right))
}

function merged(left: Segment, right: Segment): Segment {
  return {
    firstLsn: left.firstLsn,
    lastLsn: right.lastLsn,
    live: left.live + right.live,
    kept: null,
  }
}
