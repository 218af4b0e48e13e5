/**
 * Which texts an embedder takes next: of which index, and whether new points or backfill.
 *
 * New points go first. Of several indexes that have some, the one goes first whose last batch is
 * longest ago, so a long queue of one index delays another by no more than a batch each. Backfill
 * has its turn where no new point waits, and one batch in `backfillShare` once it is old.
 *
 * Pure: counts, turns and the time come in as arguments.
 */

export type WorkKind = 'write' | 'backfill'

export interface BatchRules {
  readonly writeBatch: number
  readonly backfillBatch: number
  readonly backfillAfterMs: number
  readonly backfillShare: number
}

/** What waits of one index and may be taken now. */
export interface Waiting {
  readonly writes: number
  readonly backfill: number
  /** When the oldest of the backfill was first seen; null where none waits. */
  readonly backfillSinceMs: number | null
  /** Turns of its last batches; less is longer ago. */
  readonly lastTurn: Readonly<Record<WorkKind, number>>
}

export interface NextBatch {
  /** Its place in the list of what waits. */
  readonly place: number
  readonly kind: WorkKind
  readonly size: number
}

/** @param writeTurns batches of new points since the last one of backfill. */
export function nextBatch(
  waiting: readonly Waiting[],
  rules: BatchRules,
  { writeTurns, nowMs }: { readonly writeTurns: number; readonly nowMs: number },
): NextBatch | null {
  if (writeTurns >= rules.backfillShare - 1) {
    const oldMs = nowMs - rules.backfillAfterMs
    const isOld = ({ backfill, backfillSinceMs }: Waiting): boolean =>
      backfill > 0 && backfillSinceMs !== null && backfillSinceMs <= oldMs
    const place = longestAgo(waiting, 'backfill', isOld)
    if (place !== null) return { place, kind: 'backfill', size: rules.backfillBatch }
  }
  const place = longestAgo(waiting, 'write', ({ writes }) => writes > 0)
  if (place !== null) return { place, kind: 'write', size: rules.writeBatch }
  const rest = longestAgo(waiting, 'backfill', ({ backfill }) => backfill > 0)
  return rest === null ? null : { place: rest, kind: 'backfill', size: rules.backfillBatch }
}

function longestAgo(
  waiting: readonly Waiting[],
  kind: WorkKind,
  has: (one: Waiting) => boolean,
): number | null {
  let best: { place: number; turn: number } | null = null
  for (const [place, one] of waiting.entries()) {
    const turn = one.lastTurn[kind]
    if (has(one) && (best === null || turn < best.turn)) best = { place, turn }
  }
  return best?.place ?? null
}
