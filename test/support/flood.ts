/**
 * Writers in a process of their own: what they do to themselves is not measured as the service's.
 *
 *     run({ batchesPerS: null })   as fast as it is answered, waiting a moment after each refusal
 *     run({ batchesPerS: 40 })     open loop: a batch is sent when it is due, whatever became of others
 */

import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'

export interface FloodOptions {
  /** Where points are written. */
  readonly url: string
  readonly dimension: number
  /** Points of one write. */
  readonly batch: number
  /** Then ids come from the start again. */
  readonly batches: number
  readonly seed: number
  /** Writes that are under way at the same time, at the most. */
  readonly writersMax: number
}

export interface FloodRun {
  readonly batchesPerS: number | null
  readonly durationMs: number
}

export interface FloodCounts {
  /** Batches that were due, whether they were sent or not. */
  readonly due: number
  readonly sent: number
  readonly acknowledged: number
  readonly refused: number
}

/** To the worker: what it writes, then the runs. */
export type FloodCall = { readonly set: FloodOptions } | { readonly run: FloodRun }
/** From the worker: each batch that was acknowledged, then how the run was or why it failed. */
export type FloodNews =
  { readonly batch: number } | { readonly done: FloodCounts } | { readonly failed: string }

export class Flood {
  readonly #child: ChildProcess
  readonly #options: FloodOptions
  readonly #live = new Set<number>()

  constructor(options: FloodOptions) {
    this.#options = options
    this.#child = fork(new URL('flood-worker.ts', import.meta.url))
    this.#child.on('message', (news: FloodNews) => {
      if ('batch' in news) this.#live.add(news.batch)
    })
    this.#call({ set: options })
  }

  /** Points that were acknowledged, each id once. */
  get livePoints(): number {
    return this.#live.size * this.#options.batch
  }

  /** Resolves when every write of the run was answered. @throws what broke a promise. */
  run(run: FloodRun): Promise<FloodCounts> {
    // One listener for the whole run: waiting for one message at a time would lose the second of
    // two that come together.
    return new Promise((resolve, reject) => {
      const settle = (): void => {
        this.#child.off('message', hear)
        this.#child.off('exit', end)
      }
      const hear = (news: FloodNews): void => {
        if ('batch' in news) return
        settle()
        if ('done' in news) resolve(news.done)
        else reject(new Error(news.failed))
      }
      const end = (): void => {
        settle()
        reject(new Error('the writers ended'))
      }
      this.#child.on('message', hear)
      this.#child.once('exit', end)
      this.#call({ run })
    })
  }

  async close(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const exited = once(this.#child, 'exit')
    this.#child.kill()
    await exited
  }

  #call(call: FloodCall): void {
    this.#child.send(call)
  }
}
