/**
 * What a stream has done since the start of the server, also across changes of its settings.
 */

import { VectordError } from '../lib/errors.ts'
import { DrainGauge } from './drain-gauge.ts'

/** Why a batch was written: it was full, its time had come, or the stream was drained. */
export type FlushReason = 'size' | 'time' | 'drain'

export interface StreamTotals {
  /** Points of requests that are durable. */
  accepted: number
  /** Points that were written to the log. */
  logged: number
  deadLettered: number
  /** Points that found no room. */
  refused: number
  /** Points that had room and left it with an error. */
  failed: number
  /** Batches that were tried again. */
  retries: number
  readonly flushes: Record<FlushReason, number>
}

export interface StreamFault {
  readonly code: string
  readonly message: string
  readonly atMs: number
}

export class StreamRecord {
  readonly totals: StreamTotals = noTotals()
  readonly drain = new DrainGauge()
  lastFault: StreamFault | null = null

  failed(error: unknown, atMs: number): void {
    // What nobody expected may hold paths or data: its message is for the log.
    const isKnown = error instanceof VectordError
    const code = isKnown ? error.code : 'internal'
    this.lastFault = { code, message: isKnown ? error.message : 'vectord failed.', atMs }
  }
}

export function noTotals(): StreamTotals {
  return {
    ...{ accepted: 0, logged: 0, deadLettered: 0, refused: 0, failed: 0, retries: 0 },
    flushes: { size: 0, time: 0, drain: 0 },
  }
}

export function addTotals(sum: StreamTotals, more: StreamTotals): void {
  sum.accepted += more.accepted
  sum.logged += more.logged
  sum.deadLettered += more.deadLettered
  sum.refused += more.refused
  sum.failed += more.failed
  sum.retries += more.retries
  for (const reason of ['size', 'time', 'drain'] as const) {
    sum.flushes[reason] += more.flushes[reason]
  }
}
