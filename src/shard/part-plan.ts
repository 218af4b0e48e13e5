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
/** A part is written anew when at least this share of its rows is dead: neither live nor kept. */
const DEAD_SHARE_MAX = 0.2

export interface PartState {
  readonly ref: PartRef
  /** Rows of the part that can be read: live ones, and older versions that are kept. */
  readonly live: number
}

/** A range of lsn whose readable rows are one part: `kept` names a part that is already there. */
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
  while (filled.length > PARTS_MAX) mergeCheapest(filled)
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

/**
 * Merges the run of neighbours that costs the fewest rows for each part that goes: many small ones
 * of about one size. So parts grow in steps of sixteen, and a row is written once for each step.
 */
function mergeCheapest(segments: Segment[]): void {
  let best = { from: 0, count: 2, cost: Infinity }
  for (const from of segments.keys()) {
    let rows = segments[from]?.live ?? 0
    for (let count = 2; from + count <= segments.length; count += 1) {
      rows += segments[from + count - 1]?.live ?? 0
      const cost = rows / (count - 1)
      if (cost < best.cost) best = { from, count, cost }
    }
  }
  const run = segments.slice(best.from, best.from + best.count)
  segments.splice(best.from, best.count, run.reduce(merged))
}

function merged(left: Segment, right: Segment): Segment {
  return {
    firstLsn: left.firstLsn,
    lastLsn: right.lastLsn,
    live: left.live + right.live,
    kept: null,
  }
}
