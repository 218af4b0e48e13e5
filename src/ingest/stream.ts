/**
 * The stream of one index: takes points of many requests, writes them in batches, and answers each
 * request when the last of its points is durable.
 *
 *     take ─▶ buffer ─▶ batch (full, or old enough) ─▶ log ─▶ answer: accepted, lsn
 *                ▲                                     │
 *                ├── again, with backoff ◀── may pass ─┤
 *                ▼                                     ├── a point is bad ─▶ halves ─▶ dead letter
 *        deadline of its request ─▶ error              ╰── nothing helps ─▶ error
 *
 *     running ──drain──▶ draining ──▶ ended        running ──bug──▶ stopped: takes nothing any more
 *
 * One batch is written at a time, so points are logged in the order in which they came. Of a request
 * that fails, a prefix is durable, and the error says how long that is.
 */

import type { StreamSettings } from '../domain/stream-settings.ts'
import type { UpsertBatch } from '../domain/write-batch.ts'
import type { ManagedIndex } from '../indexes/index-api.ts'
import { hasCode, VectordError } from '../lib/errors.ts'
import {
  batchOf,
  firstRows,
  StreamBuffer,
  type Bury,
  type QueuedPoint,
  type StreamEntry,
  type StreamOutcome,
} from './stream-buffer.ts'
import { drainingError, fullError, lateError, partlyTaken, stoppedError } from './stream-errors.ts'
import type { FlushReason, StreamRecord } from './stream-record.ts'

/** A write is waited for as long as it takes: one that was given up may still become durable. */
const WRITE_MS_MAX = 3_600_000
const BACKOFF_MS_MIN = 25
const BACKOFF_MS_MAX = 1000

/** What a stream needs of its index. */
export type StreamTarget = Pick<ManagedIndex, 'write' | 'appliedLsn'>

export interface StreamOptions {
  readonly index: string
  readonly target: StreamTarget
  readonly settings: StreamSettings
  /** What outlives a change of the settings. */
  readonly record: StreamRecord
  readonly nowMs: () => number
  /** Told of the bug that stopped it. */
  readonly onTrouble: (error: unknown) => void
}

export interface TakeOptions {
  readonly deadlineMs: number
  readonly bury: Bury
}

export interface StreamFill {
  readonly state: 'running' | 'draining' | 'stopped'
  readonly buffered: number
  readonly unapplied: number
  readonly waitingRequests: number
  /** Of the oldest point that waits for the log; null where none does. */
  readonly oldestMs: number | null
}

export class Stream {
  readonly settings: StreamSettings
  readonly #options: StreamOptions
  readonly #record: StreamRecord
  readonly #buffer: StreamBuffer
  #state: StreamFill['state'] = 'running'
  /** When the first point came that waits for a batch. */
  #sinceMs = 0
  #isRunning = false
  #ended: Promise<void> = Promise.resolve()
  /** Ends the wait for a full batch, or for the next attempt. */
  #wake: () => void = () => undefined
  /** What is being written now. */
  #writing: readonly QueuedPoint[] = []
  /** Failed attempts in a row, and the last of their errors. */
  #failures = 0
  #refusal: VectordError | null = null

  constructor(options: StreamOptions) {
    this.#options = options
    this.settings = options.settings
    this.#record = options.record
    this.#buffer = new StreamBuffer({ pointsMax: options.settings.bufferSize })
  }

  /**
   * Takes as many points of a checked batch as fit, from the first on, and resolves when the last
   * of them is durable, or with what keeps the rest from it.
   *
   * @throws {VectordError} `stream_draining`, `stream_stopped`; nothing was taken then.
   */
  take(batch: UpsertBatch, options: TakeOptions): Promise<StreamOutcome> {
    this.#checkOpen()
    const taken = this.#buffer.fitting(batch, this.#look())
    const refused = batch.ids.length - taken
    this.#record.totals.refused += refused
    const queued =
      taken === 0 ? Promise.resolve(NOTHING) : this.#queue(firstRows(batch, taken), options)
    // Nothing here holds the rest of the batch while its first rows wait.
    return queued.then((outcome) => {
      const error = outcome.error ?? (refused === 0 ? null : this.#full(refused))
      return { ...outcome, error: error && partlyTaken(error, outcome) }
    })
  }

  /** For a refusal before a body is read. @throws what `take` would refuse any point with. */
  check(): void {
    this.#checkOpen()
    if (this.#buffer.points + this.#look() < this.settings.bufferSize) return
    throw partlyTaken(this.#full(1), NOTHING)
  }

  get fill(): StreamFill {
    const { oldest, points, requests } = this.#buffer
    return {
      state: this.#state,
      buffered: points,
      unapplied: this.#look(),
      waitingRequests: requests,
      oldestMs: oldest === null ? null : this.#options.nowMs() - oldest.sinceMs,
    }
  }

  /** Takes nothing any more; resolves when every request that it took is answered. Idempotent. */
  async drain(): Promise<void> {
    if (this.#state === 'running') this.#state = 'draining'
    this.#wake()
    await this.#ended
  }

  #queue(batch: UpsertBatch, { deadlineMs, bury }: TakeOptions): Promise<StreamOutcome> {
    return new Promise((resolve) => {
      const nowMs = this.#options.nowMs()
      const entry: StreamEntry = {
        ...{ batch, bury, sinceMs: nowMs, settled: 0, lsn: null, deadLettered: 0, isOpen: true },
        answer: (error) => {
          clearTimeout(timer)
          const { settled: accepted, lsn, deadLettered } = entry
          this.#record.totals.accepted += accepted
          this.#record.totals.failed += batch.ids.length - accepted
          resolve({ accepted, lsn, deadLettered, error })
        },
      }
      const timer = setTimeout(
        () => {
          this.#expire(entry)
        },
        Math.max(0, deadlineMs - nowMs),
      )
      if (this.#buffer.points === 0) this.#sinceMs = nowMs
      this.#buffer.add(entry)
      // After a failure a full batch waits for the end of the backoff as well.
      if (this.#failures === 0 && this.#isDue()) this.#wake()
      this.#start()
    })
  }

  #start(): void {
    if (this.#isRunning) return
    this.#isRunning = true
    this.#ended = this.#run().catch((error: unknown) => {
      this.#stop(error)
    })
  }

  /** Ends in the turn in which the buffer is found empty: whoever adds to it later starts anew. */
  async #run(): Promise<void> {
    while (this.#buffer.points > 0) {
      const reason = await this.#untilDue()
      if (this.#buffer.points === 0) break // Their requests ran out of time.
      this.#sinceMs = this.#options.nowMs()
      if (await this.#flush()) this.#record.totals.flushes[reason] += 1
    }
    this.#failures = 0
    this.#refusal = null
    this.#isRunning = false
  }

  async #untilDue(): Promise<FlushReason> {
    const { flushIntervalMs } = this.settings
    for (;;) {
      if (this.#state === 'draining') return 'drain'
      if (this.#isDue() || this.#buffer.points === 0) return 'size'
      const waitMs = this.#sinceMs + flushIntervalMs - this.#options.nowMs()
      if (await this.#isTimeUp(Math.max(0, Math.min(waitMs, flushIntervalMs)))) return 'time'
    }
  }

  /** True where a batch is full, or the rest of a request that filled one stands at the front. */
  #isDue(): boolean {
    const { batchSize } = this.settings
    if (this.#buffer.points >= batchSize) return true
    return (this.#buffer.oldest?.batch.ids.length ?? 0) >= batchSize
  }

  /** True where the batch is settled; else it has waited until the next attempt. */
  async #flush(): Promise<boolean> {
    this.#look()
    const error = await this.#write(this.#buffer.first(this.settings.batchSize))
    this.#look()
    this.#refusal = error
    if (error === null) {
      this.#failures = 0
      return true
    }
    this.#record.failed(error, this.#options.nowMs())
    this.#record.totals.retries += 1
    const backoffMs = Math.min(BACKOFF_MS_MAX, BACKOFF_MS_MIN * 2 ** this.#failures)
    this.#failures += 1
    await this.#isTimeUp(backoffMs)
    return false
  }

  /** @returns what keeps the first unsettled of the points from the log; null where nothing does. */
  async #write(wanted: readonly QueuedPoint[]): Promise<VectordError | null> {
    const points = wanted.filter(({ entry }) => entry.isOpen)
    if (points.length === 0) return null
    try {
      await this.#log(points)
      return null
    } catch (error) {
      if (error instanceof VectordError && mayPass(error)) return error
      this.#record.failed(error, this.#options.nowMs())
      if (error instanceof VectordError && error.status >= 500) return this.#dropAll(points, error)
      return this.#bisect(points, error)
    }
  }

  /** Nothing that is wrong with the points: their requests are told. */
  #dropAll(points: readonly QueuedPoint[], error: VectordError): null {
    for (const { entry } of points) if (entry.isOpen) this.#buffer.drop(entry, error)
    return null
  }

  /** Finds the bad ones among points that cannot be written together. @returns as `#write`. */
  async #bisect(points: readonly QueuedPoint[], error: unknown): Promise<VectordError | null> {
    const [first, second] = points
    if (first !== undefined && second === undefined) return this.#bury(first, error)
    const half = points.length >> 1
    return (await this.#write(points.slice(0, half))) ?? this.#write(points.slice(half))
  }

  /** @throws what the write is refused with; none of the points is in the log then. */
  async #log(points: readonly QueuedPoint[]): Promise<void> {
    const deadlineMs = this.#options.nowMs() + WRITE_MS_MAX
    this.#writing = points
    let lsn: number
    try {
      const written = await this.#options.target.write(batchOf(points), {
        ack: 'logged',
        deadlineMs,
      })
      lsn = written.lsn
    } finally {
      this.#writing = []
    }
    this.#record.drain.logged(lsn, points.length)
    this.#record.totals.logged += points.length
    for (const point of points) {
      if (!point.entry.isOpen) continue
      point.entry.lsn = lsn
      this.#buffer.settle(point)
    }
  }

  /** @returns as `#write`. */
  async #bury(point: QueuedPoint, reason: unknown): Promise<VectordError | null> {
    const { entry, row } = point
    try {
      await entry.bury(entry.batch, row, reason)
    } catch (error) {
      if (!(error instanceof VectordError)) throw error
      if (error.retryable && !hasCode(error, 'dead_letters_full')) return error
      this.#record.failed(error, this.#options.nowMs())
      if (entry.isOpen) this.#buffer.drop(entry, error)
      return null
    }
    this.#record.totals.deadLettered += 1
    if (!entry.isOpen) return null
    entry.deadLettered += 1
    this.#buffer.settle(point)
    return null
  }

  /** The time of a request is up: what of it is not durable leaves the buffer. */
  #expire(entry: StreamEntry): void {
    const isBeingWritten = this.#writing.some((point) => point.entry === entry)
    const refusal = isBeingWritten ? null : this.#refusal
    this.#buffer.drop(entry, refusal ?? lateError(isBeingWritten))
    if (this.#buffer.points === 0) this.#wake()
  }

  #stop(error: unknown): void {
    this.#state = 'stopped'
    this.#isRunning = false
    this.#record.failed(error, this.#options.nowMs())
    this.#options.onTrouble(error)
    this.#buffer.dropAll(() => stoppedError(this.#options.index))
  }

  #checkOpen(): void {
    if (this.#state === 'draining') throw drainingError(this.#options.index)
    if (this.#state === 'stopped') throw stoppedError(this.#options.index)
  }

  /** For `refused` points that did not fit. */
  #full(refused: number): VectordError {
    const { bufferSize } = this.settings
    const waiting = this.#buffer.points + this.#look()
    const mustDrain = Math.max(1, waiting + Math.min(refused, bufferSize) - bufferSize)
    return fullError({
      ...{ index: this.#options.index, waiting, bufferSize },
      retryAfterS: this.#record.drain.retryAfterS(mustDrain),
    })
  }

  /** @returns points that are logged and not applied. */
  #look(): number {
    return this.#record.drain.look({
      appliedLsn: this.#options.target.appliedLsn,
      queued: this.#buffer.points,
      batchSize: this.settings.batchSize,
      nowMs: this.#options.nowMs(),
    })
  }

  /** Waits. False where `#wake` was called before; the clock may be set back meanwhile. */
  #isTimeUp(ms: number): Promise<boolean> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(true), ms)
      this.#wake = () => {
        clearTimeout(timer)
        resolve(false)
      }
    })
  }
}

const NOTHING: StreamOutcome = { accepted: 0, lsn: null, deadLettered: 0, error: null }

/** True where the same write may succeed here later. */
function mayPass(error: VectordError): boolean {
  return error.retryable && !hasCode(error, 'not_owner', 'log_fenced')
}
