/**
 * The keys of `[projection]`: how texts come by their vectors. A part of the table in `schema.ts`.
 */

import { int } from './key-kinds.ts'

const HOUR_MS = 3_600_000

export const PROJECTION_KEYS = {
  write_batch: int(64, [1, 1024], 'texts', 'Texts of new points that are embedded in one call.'),
  backfill_batch: int(
    32,
    [1, 1024],
    'texts',
    'Texts that are embedded in one call where no new point waits: those of a changed embedder.',
  ),
  tick_ms: int(250, [1, 60_000], 'ms', 'Longest pause between two looks while texts wait.'),
  backfill_after_ms: int(
    30_000,
    [0, HOUR_MS],
    'ms',
    'Age from which on backfill does not wait for all new points any more.',
  ),
  backfill_share: int(
    8,
    [1, 1000],
    'batches',
    'One batch in so many is then backfill, however many new points wait.',
  ),
  failed_max: int(
    10_000,
    [1, 1_000_000],
    'texts',
    'Failed texts that are remembered for each index; past it the oldest are tried again.',
  ),
} as const
