/**
 * The builder processes: started when there is work, ended when there is none for a while.
 *
 *     session(dataset, work) ─▶ a free builder that holds the points, or a new one, or any free one
 *                             ─▶ waits where all are taken
 *
 * A session has its builder for itself, so what it builds stays until it is done.
 */

import type { Dataset, WorkbenchJob, WorkbenchJobs } from '../domain/workbench.ts'
import { VectordError } from '../lib/errors.ts'
import { Builder } from './builder.ts'
import type { BuilderProgress } from './builder-jobs.ts'
import type { DataplaneLog } from './core-status.ts'

export interface BuildersOptions {
  /** Processes at the same time. */
  readonly max: number
  /** Milliseconds after which a builder without work ends. */
  readonly idleMs: number
  /** Of their processes: 0 is the priority of everybody else, 19 the lowest. */
  readonly niceness: number
  readonly log: DataplaneLog
}

/** A builder as a session has it. */
export interface BuilderSession {
  run<K extends WorkbenchJob>(
    kind: K,
    request: WorkbenchJobs[K]['request'],
  ): Promise<WorkbenchJobs[K]['answer']>
}

export interface SessionControl {
  /** Aborted: the builder is ended, and the session rejects with the reason. */
  readonly signal: AbortSignal
  readonly onProgress?: (progress: BuilderProgress) => void
}

interface Free {
  readonly builder: Builder
  readonly timer: NodeJS.Timeout
}

export class Builders {
  readonly #options: BuildersOptions
  readonly #free = new Set<Free>()
  readonly #taken = new Set<Builder>()
  readonly #queue: (() => void)[] = []
  #isClosed = false

  constructor(options: BuildersOptions) {
    this.#options = options
  }

  /** Process ids of the builders, for people. */
  get pids(): number[] {
    const all = [...this.#taken, ...[...this.#free].map(({ builder }) => builder)]
    return all.flatMap(({ pid }) => (pid === null ? [] : [pid]))
  }

  /**
   * Runs `work` with a builder of its own.
   *
   * @throws {VectordError} what a job failed with, `builder_failed` where its process ended,
   *   `shutting_down`, or the reason of the signal.
   */
  async session<T>(
    dataset: Dataset,
    { signal, onProgress = () => undefined }: SessionControl,
    work: (session: BuilderSession) => Promise<T>,
  ): Promise<T> {
    const builder = await this.#take(dataset, signal)
    const stop = (): void => void builder.end()
    signal.addEventListener('abort', stop, { once: true })
    try {
      signal.throwIfAborted()
      return await work({
        run: (kind, request) => builder.run(dataset, { kind, request }, onProgress),
      })
    } catch (error) {
      throw signal.aborted ? signal.reason : error
    } finally {
      signal.removeEventListener('abort', stop)
      this.#giveBack(builder)
    }
  }

  /** Ends every builder; sessions under way fail. Idempotent. */
  async close(): Promise<void> {
    this.#isClosed = true
    for (const next of this.#queue.splice(0)) next()
    const free = [...this.#free]
    this.#free.clear()
    for (const { timer } of free) clearTimeout(timer)
    await Promise.all(
      [...this.#taken, ...free.map(({ builder }) => builder)].map((one) => one.end()),
    )
  }

  async #take(dataset: Dataset, signal: AbortSignal): Promise<Builder> {
    for (;;) {
      signal.throwIfAborted()
      if (this.#isClosed) throw shuttingDown()
      const builder = this.#pick(dataset)
      if (builder !== null) {
        this.#taken.add(builder)
        return builder
      }
      await this.#turn(signal)
    }
  }

  #pick(dataset: Dataset): Builder | null {
    const usable = [...this.#free].filter(({ builder }) => !builder.isOver)
    const fitting = usable.find(({ builder }) => builder.holds(dataset))
    const room = this.#taken.size + usable.length < this.#options.max
    const free = fitting ?? (room ? undefined : usable[0])
    if (free === undefined)
      return room ? new Builder(this.#options.niceness, this.#options.log) : null
    clearTimeout(free.timer)
    this.#free.delete(free)
    return free.builder
  }

  /** Waits until a builder may be free. */
  async #turn(signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<null>()
    const next = (): void => resolve(null)
    this.#queue.push(next)
    signal.addEventListener('abort', next, { once: true })
    await promise
    signal.removeEventListener('abort', next)
    const at = this.#queue.indexOf(next)
    if (at !== -1) this.#queue.splice(at, 1)
    // Who was called and does not want its turn any more gives it to the next.
    else if (signal.aborted) this.#queue.shift()?.()
  }

  #giveBack(builder: Builder): void {
    this.#taken.delete(builder)
    if (!builder.isOver && !this.#isClosed) {
      const timer = setTimeout(() => {
        this.#free.delete(free)
        void builder.end()
      }, this.#options.idleMs)
      timer.unref()
      const free = { builder, timer }
      this.#free.add(free)
    }
    this.#queue.shift()?.()
  }
}

function shuttingDown(): VectordError {
  return new VectordError('shutting_down', 'The service is shutting down.', { retryAfterS: 5 })
}
