/**
 * The loop of one embedder: takes batches of its indexes, one at a time, as long as there are some.
 *
 *     ┌─▶ batch ─▶ vectors ─▶ applied ─┐
 *     │     ╰── embedder unavailable ──┼─▶ pause of 1, 2, 4 … 30 s, or until somebody hurries it
 *     ╰────────────────────────────────┴─── nothing to do: until woken, at most a tick
 *
 * Each embedder has a loop of its own, so a slow one holds up nobody else's texts.
 */

import { hasCode, VectordError } from '../lib/errors.ts'
import { boundedCall, CallEnded } from './bounded-call.ts'
import type { IndexProjection } from './index-projection.ts'
import { nextBatch, type BatchRules } from './next-batch.ts'
import type { Identity, TextEmbedder, TextEmbedders } from './ports.ts'
import { reasonOf, type ProjectionFault } from './projection-faults.ts'
import { restMs, sizeAfter } from './retry-plan.ts'

const IDENTITY_MS_MAX = 60_000

export interface ProjectionRules extends BatchRules {
  readonly tickMs: number
  readonly failedMax: number
}

export interface EmbedderWorkerOptions {
  readonly name: string
  readonly embedders: TextEmbedders
  readonly rules: ProjectionRules
  readonly nowMs: () => number
  readonly clockMs: () => number
  readonly onTrouble: (error: unknown) => void
  /** Called after each turn. */
  readonly onTurn: () => void
}

export class EmbedderWorker {
  readonly name: string
  readonly #options: EmbedderWorkerOptions
  readonly #indexes = new Set<IndexProjection>()
  readonly #closing = new AbortController()
  #loop: Promise<void> | null = null
  #isWoken = false
  #wakeUp: () => void = () => undefined
  #turn = 0
  /** Batches of new points since the last one of backfill. */
  #writeTurns = 0
  #unavailableTicks = 0
  /** Turns in a row in which the embedder did not answer. */
  #failures = 0
  #pausedUntilMs = 0
  #fault: ProjectionFault | null = null

  constructor(options: EmbedderWorkerOptions) {
    this.#options = options
    this.name = options.name
  }

  /** Turns in which the embedder did not answer, since the start. */
  get unavailableTicks(): number {
    return this.#unavailableTicks
  }

  /** Why it did not answer the last time; null where it did. */
  get fault(): ProjectionFault | null {
    return this.#fault
  }

  add(index: IndexProjection): void {
    if (this.#closing.signal.aborted) return
    this.#indexes.add(index)
    this.#loop ??= this.#run()
    this.wake()
  }

  remove(index: IndexProjection): void {
    this.#indexes.delete(index)
  }

  wake(): void {
    this.#isWoken = true
    this.#wakeUp()
  }

  /** Asks the embedder again at once. */
  hurry(): void {
    this.#pausedUntilMs = 0
    this.wake()
  }

  /** Ends the call under way; what it was about waits again. Resolves when nothing runs. */
  async close(): Promise<void> {
    this.#closing.abort()
    this.wake()
    await this.#loop
  }

  /** @throws `not_configured`; `embedder_unavailable` …; a `CallEnded` where it closes. */
  async identify(): Promise<{ readonly embedder: TextEmbedder; readonly identity: Identity }> {
    const embedder = this.#options.embedders.get(this.name)
    const identity = await boundedCall(() => embedder.identity(), {
      ...{ ms: IDENTITY_MS_MAX, signal: this.#closing.signal },
      late: () =>
        new VectordError('embedder_unavailable', `"${this.name}" does not say what it is.`),
    })
    return { embedder, identity }
  }

  async #run(): Promise<void> {
    while (!this.#closing.signal.aborted) {
      this.#isWoken = false
      let hasWorked = false
      try {
        for (const index of this.#indexes) index.read()
        hasWorked = await this.#work()
      } catch (error) {
        this.#options.onTrouble(error)
      }
      this.#options.onTurn()
      if (!hasWorked) await this.#pause()
    }
  }

  /** @returns false where there was nothing to do. */
  async #work(): Promise<boolean> {
    const { rules, clockMs } = this.#options
    if (this.#pausedUntilMs > clockMs()) return false
    const open = [...this.#indexes].flatMap((index) => {
      const { waiting } = index
      return waiting === null ? [] : [{ index, waiting }]
    })
    const next = nextBatch(
      open.map(({ waiting }) => waiting),
      rules,
      { writeTurns: this.#writeTurns, nowMs: clockMs() },
    )
    const index = next === null ? undefined : open[next.place]?.index
    if (next === null || index === undefined) return false
    const embedder = await this.#embedderFor(index)
    if (embedder === null) return this.#failures === 0
    this.#turn += 1
    this.#writeTurns = next.kind === 'write' ? this.#writeTurns + 1 : 0
    index.lastTurn[next.kind] = this.#turn
    const size = sizeAfter(this.#failures, next.size)
    const error = await index.work({ kind: next.kind, size }, embedder, this.#closing.signal)
    if (error !== null) this.#noteUnavailable(error)
    else if (!this.#closing.signal.aborted) this.#noteAnswer()
    return error === null
  }

  /** Null where the index cannot have texts embedded now. */
  async #embedderFor(index: IndexProjection): Promise<TextEmbedder | null> {
    try {
      const { embedder, identity } = await this.identify()
      return index.accept(identity) ? embedder : null
    } catch (error) {
      if (error instanceof CallEnded) return null
      if (hasCode(error, 'not_configured')) index.refuseEmbedder('not_configured', error)
      else this.#noteUnavailable(error)
      return null
    }
  }

  #noteUnavailable(error: unknown): void {
    const { nowMs, clockMs, onTrouble } = this.#options
    this.#unavailableTicks += 1
    this.#failures += 1
    this.#pausedUntilMs = clockMs() + restMs(this.#failures)
    this.#fault = { ...reasonOf(error), atMs: nowMs() }
    if (!(error instanceof VectordError)) onTrouble(error)
  }

  #noteAnswer(): void {
    this.#failures = 0
    this.#fault = null
  }

  #pause(): Promise<void> {
    if (this.#isWoken) return Promise.resolve()
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, this.#options.rules.tickMs)
      this.#wakeUp = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }
}
