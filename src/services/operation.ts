/**
 * One piece of long work, from the request for it to its outcome:
 *
 *     queued ──run──▶ running ──▶ succeeded | failed | cancelled
 *        ╰──cancel──▶ cancelled
 *
 * It ends once, and `result()` then says the same to everybody who waits. Cancelling a running one
 * asks the work to stop, through its signal; until it does, the operation is running, and work that
 * finishes all the same has succeeded: nothing is called cancelled that took effect.
 */

import { VectordError } from '../lib/errors.ts'

export type OperationState = 'queued' | 'running' | 'succeeded' | 'failed' | 'cancelled'

/** What the work is given to tell how far it is, and to hear that it shall stop. */
export interface OperationControl {
  /** Aborted when nobody wants the outcome any more; work that stops throws its reason. */
  readonly signal: AbortSignal
  /** A stage has its own count; without a total there is none. */
  readonly progress: (stage: string, count?: StageCount) => void
}

export interface StageCount {
  readonly done: number
  /** Null where nobody knows. */
  readonly total: number | null
}

/** Answers what a client that waits is sent: JSON values in snake_case. */
export type OperationWork<T extends object> = (control: OperationControl) => Promise<T>

export interface OperationInfo {
  readonly id: string
  readonly kind: string
  /**
   * The index that it works on; who may see that one may see this. Null where it works on none: it
   * is seen by those who may see all.
   */
  readonly index: string | null
  readonly state: OperationState
  /** Null until the work has named one. */
  readonly stage: string | null
  readonly count: StageCount | null
  /** Seconds that the stage still needs at its pace so far; null where that cannot be told. */
  readonly etaS: number | null
  readonly createdMs: number
  readonly endedMs: number | null
  /** Of one that succeeded. */
  readonly result: object | null
  /** What was thrown where it failed, the reason where it was cancelled; null otherwise. */
  readonly error: unknown
}

export interface OperationOptions {
  readonly id: string
  readonly kind: string
  readonly index: string | null
  readonly nowMs: () => number
  /** Called once, when it ends. */
  readonly onEnd: () => void
}

interface Stage {
  readonly name: string
  readonly count: StageCount | null
  readonly sinceMs: number
}

type Outcome<T> =
  | { readonly state: 'succeeded'; readonly result: T }
  | { readonly state: 'failed' | 'cancelled'; readonly error: unknown }

export class Operation<T extends object> {
  readonly #options: OperationOptions
  readonly #createdMs: number
  readonly #abort = new AbortController()
  readonly #whenEnded = Promise.withResolvers<Outcome<T>>()
  #isRunning = false
  #isAwaited = false
  #stage: Stage | null = null
  #outcome: Outcome<T> | null = null
  #endedMs: number | null = null

  constructor(options: OperationOptions) {
    this.#options = options
    this.#createdMs = options.nowMs()
  }

  get id(): string {
    return this.#options.id
  }

  get state(): OperationState {
    return this.#outcome?.state ?? (this.#isRunning ? 'running' : 'queued')
  }

  get endedMs(): number | null {
    return this.#endedMs
  }

  /** True where somebody waits or has waited for the outcome, and so is told of a failure. */
  get isAwaited(): boolean {
    return this.#isAwaited
  }

  get info(): OperationInfo {
    const { id, kind, index } = this.#options
    const { state } = this
    const outcome = this.#outcome
    return {
      ...{ id, kind, index, state },
      stage: state === 'running' && this.#abort.signal.aborted ? 'cancelling' : this.#stageName(),
      count: this.#stage?.count ?? null,
      etaS: state === 'running' ? this.#etaS() : null,
      createdMs: this.#createdMs,
      endedMs: this.#endedMs,
      result: outcome?.state === 'succeeded' ? outcome.result : null,
      error: outcome === null || outcome.state === 'succeeded' ? null : outcome.error,
    }
  }

  /** Does the work, unless it was cancelled before. Never rejects. */
  async run(work: OperationWork<T>): Promise<void> {
    if (this.state !== 'queued') return
    this.#isRunning = true
    this.#end(await this.#outcomeOf(work))
  }

  /** Waits for the outcome. @throws what the work threw, or the reason of its cancelling. */
  async result(): Promise<T> {
    this.#isAwaited = true
    const outcome = await this.#whenEnded.promise
    if (outcome.state === 'succeeded') return outcome.result
    throw outcome.error
  }

  /** Resolves when it has ended, in whatever way. */
  async ended(): Promise<void> {
    await this.#whenEnded.promise
  }

  /** Has no effect on one that has ended; a second reason has none. */
  cancel(reason: VectordError): void {
    const { state } = this
    this.#abort.abort(reason)
    if (state === 'queued') this.#end({ state: 'cancelled', error: reason })
  }

  async #outcomeOf(work: OperationWork<T>): Promise<Outcome<T>> {
    const { signal } = this.#abort
    const progress = (name: string, count: StageCount | null = null): void => {
      const isSame = this.#stage?.name === name
      const sinceMs = isSame && this.#stage !== null ? this.#stage.sinceMs : this.#options.nowMs()
      this.#stage = { name, count, sinceMs }
    }
    try {
      return { state: 'succeeded', result: await work({ signal, progress }) }
    } catch (error) {
      // Only stopping because of the signal is cancelling: another fault stays one.
      if (isStop(error, signal)) return { state: 'cancelled', error: signal.reason }
      return { state: 'failed', error }
    }
  }

  #end(outcome: Outcome<T>): void {
    this.#outcome = outcome
    this.#endedMs = this.#options.nowMs()
    this.#whenEnded.resolve(outcome)
    this.#options.onEnd()
  }

  #stageName(): string | null {
    return this.#stage?.name ?? null
  }

  #etaS(): number | null {
    if (this.#stage?.count === undefined || this.#stage.count === null) return null
    const { count, sinceMs } = this.#stage
    if (count.total === null || count.done <= 0) return null
    const left = Math.max(0, count.total - count.done)
    return Math.ceil(((this.#options.nowMs() - sinceMs) * left) / count.done / 1000)
  }
}

/** True for the reason itself, and for what Node's own calls throw when a signal stops them. */
function isStop(error: unknown, signal: AbortSignal): boolean {
  if (!signal.aborted) return false
  return error === signal.reason || (error instanceof Error && error.name === 'AbortError')
}
