/**
 * One attempt to bring a shard into a core: open the checkpoint, replay the log, reach its end.
 *
 *     spec ─▶ open ─▶ replay after the checkpoint ─▶ replay what came meanwhile ─▶ … ─▶ at the end
 *
 * It ends in the same turn in which it saw that nothing is missing: whoever flips the shard to
 * ready without waiting in between loses no record.
 */

import { setTimeout as delay } from 'node:timers/promises'
import { VectordError } from '../lib/errors.ts'
import { ReplayWindow } from './replay-window.ts'
import type { ShardSource } from './shard-source.ts'

/** Replaying is quicker than loading: the share of it in the progress that people see. */
const OPEN_SHARE = 0.8

/** A log that holds nothing after the last record, but says that there is more, is asked again. */
const EMPTY_PASSES_MAX = 50
const EMPTY_PASS_WAIT_MS = 20

export interface ShardLoadOptions {
  readonly source: ShardSource
  /** Sends a record to the core; resolves when it is applied. */
  apply(lsn: number, payload: Uint8Array): Promise<void>
  /** False once the attempt has been given up; it then ends quietly. */
  isCurrent(): boolean
  onProgress(fraction: number): void
}

/** The progress that people see while the checkpoint is loaded to `fraction`. */
export function openShare(fraction: number): number {
  return OPEN_SHARE * fraction
}

/**
 * Replays the log until it is applied to its end.
 *
 * @param appliedLsn what the opened checkpoint holds.
 * @returns the last lsn that was applied.
 * @throws {VectordError} what the source, the core or the record failed with; `log_corrupt` where
 *   the log holds less than it says.
 */
export async function replayToEnd(options: ShardLoadOptions, appliedLsn: number): Promise<number> {
  const { source } = options
  const startLsn = appliedLsn
  let applied = appliedLsn
  let emptyPasses = 0
  while (options.isCurrent() && applied < source.lastLsn()) {
    const before = applied
    applied = await replayOnce(options, applied, (lsn) => {
      const share = (lsn - startLsn) / Math.max(1, source.lastLsn() - startLsn)
      options.onProgress(OPEN_SHARE + (1 - OPEN_SHARE) * Math.min(1, share))
    })
    if (applied > before) continue
    emptyPasses += 1
    if (emptyPasses > EMPTY_PASSES_MAX) throw missing(applied, source.lastLsn())
    await delay(EMPTY_PASS_WAIT_MS)
  }
  return applied
}

async function replayOnce(
  options: ShardLoadOptions,
  afterLsn: number,
  onSent: (lsn: number) => void,
): Promise<number> {
  const window = new ReplayWindow()
  let lastLsn = afterLsn
  for await (const { lsn, payload } of options.source.replay(afterLsn)) {
    if (!options.isCurrent()) break
    await window.room()
    window.add(options.apply(lsn, payload), payload.byteLength)
    lastLsn = lsn
    onSent(lsn)
  }
  await window.drained()
  return lastLsn
}

function missing(appliedLsn: number, lastLsn: number): VectordError {
  return new VectordError('log_corrupt', 'The log ends before its last record.', {
    details: { applied_lsn: appliedLsn, last_lsn: lastLsn },
  })
}
