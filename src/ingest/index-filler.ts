/**
 * Writes the points of an ingest into its index, one batch after the other, at the pace of the index.
 *
 *     batch ─▶ write ─┬─▶ searchable ─▶ the next
 *                     ├─▶ full, degraded, moving … ─▶ wait as told ─▶ again
 *                     ╰─▶ anything else, or no write for `PATIENCE_MS` ─▶ error
 *
 * A write that was tried again may have taken effect before: the same points under the same ids.
 */

import { setTimeout as delay } from 'node:timers/promises'
import type { UpsertBatch } from '../domain/write-batch.ts'
import type { ManagedIndex, WriteOptions } from '../indexes/index-api.ts'
import { hasCode, VectordError } from '../lib/errors.ts'

/** A write is waited for as long as it takes: one that was given up may still become durable. */
const WRITE_MS_MAX = 3_600_000
/** How long nothing at all may be written before the ingest gives up. */
const PATIENCE_MS = 600_000
/** Between two attempts where the refusal does not say when to come again. */
const WAIT_S_DEFAULT = 1

export interface IndexFillerOptions {
  /** Looked up for each write: an index that moves or is opened anew is another object. */
  readonly index: () => Pick<ManagedIndex, 'write'>
  readonly signal: AbortSignal
  readonly nowMs: () => number
  /** Only for tests. */
  readonly patienceMs?: number
}

export class IndexFiller {
  readonly #options: IndexFillerOptions
  #points = 0
  #retries = 0

  constructor(options: IndexFillerOptions) {
    this.#options = options
  }

  /** Points that were written; an id that came twice counts twice. */
  get points(): number {
    return this.#points
  }

  get retries(): number {
    return this.#retries
  }

  /** @throws {VectordError} what the index refuses them with for good; the reason of the signal. */
  async write(batch: UpsertBatch): Promise<void> {
    const { signal, nowMs, patienceMs = PATIENCE_MS } = this.#options
    const untilMs = nowMs() + patienceMs
    for (;;) {
      signal.throwIfAborted()
      try {
        await this.#options.index().write(batch, this.#writeOptions())
        this.#points += batch.ids.length
        return
      } catch (error) {
        if (!mayPass(error) || nowMs() >= untilMs) throw error
        this.#retries += 1
        await delay(1000 * (error.retryAfterS ?? WAIT_S_DEFAULT), undefined, { signal })
      }
    }
  }

  #writeOptions(): WriteOptions {
    return { ack: 'applied', deadlineMs: this.#options.nowMs() + WRITE_MS_MAX }
  }
}

/** True where the same write may succeed here later; full memory and a full disk are for people. */
function mayPass(error: unknown): error is VectordError {
  if (!(error instanceof VectordError) || !error.retryable) return false
  return error.status !== 507 && !hasCode(error, 'not_owner', 'log_fenced', 'shutting_down')
}
