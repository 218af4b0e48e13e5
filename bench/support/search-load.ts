/**
 * Searches from a process of its own: closed-loop clients, each with one request under way.
 *
 * `run` measures and keeps every answer; `check` then reads each one: its status, the number of its
 * results, its recall. So checking costs no time that is measured, and an error page is never
 * taken for a fast answer.
 */

import type { TruthRef } from './ground-truth.ts'
import type { VectorsRef } from './vectors.ts'
import { WorkerProcess } from './worker-process.ts'

export type BodyForm = 'json' | 'base64'

export interface SearchSetup {
  readonly kind: 'setup'
  readonly url: string
  readonly index: string
  readonly queries: VectorsRef
  /** Positions of the queries that are sent; all where absent. */
  readonly only?: readonly number[]
  readonly truth: TruthRef
  readonly form: BodyForm
  readonly k: number
  readonly ef: number | null
  /** Query q is sent with the filter `q % filters.length`; empty sends none. */
  readonly filters: readonly object[]
}

export interface SearchRun {
  readonly kind: 'run'
  readonly clients: number
  /** The run ends with the first of the two; a count sends each query in turn. */
  readonly durationMs: number
  readonly requests: number
  /** What each client waits after an answer: background searches leave room for other work. */
  readonly pauseMs: number
}

export interface SearchTimes {
  readonly answers: number
  readonly wallMs: number
  /** Of the generator alone. */
  readonly generatorCpuMs: number
  readonly qps: number
  readonly p50Ms: number
  readonly p99Ms: number
}

export interface SearchCheck {
  /** Answers whose status, result count or ids are wrong; 0, or nothing else counts. */
  readonly bad: number
  readonly firstBad: string | null
  /** Mean over all answers. */
  readonly recall: number
  /** How many answers came by each path. */
  readonly paths: Readonly<Record<string, number>>
  readonly efUsed: number
  readonly requestBytes: number
  readonly answerBytes: number
}

export type SearchCall = SearchSetup | SearchRun | { readonly kind: 'check' }
export type SearchAnswer = SearchTimes | SearchCheck | null

export interface CheckedRun extends SearchTimes, SearchCheck {}

export class SearchLoad {
  readonly #worker = new WorkerProcess<SearchCall, SearchAnswer>(
    new URL('./search-load-worker.ts', import.meta.url),
  )

  async setup(setup: Omit<SearchSetup, 'kind'>): Promise<void> {
    await this.#worker.call({ kind: 'setup', ...setup })
  }

  /** @param options.around is called right before and right after, to read clocks of others. */
  async run(options: {
    readonly clients: number
    readonly durationMs?: number
    readonly requests?: number
    readonly pauseMs?: number
    readonly around?: (moment: 'before' | 'after') => void
  }): Promise<CheckedRun> {
    const { clients, durationMs = Infinity, requests = Infinity, pauseMs = 0, around } = options
    around?.('before')
    const times = await this.#worker.call({ kind: 'run', clients, durationMs, requests, pauseMs })
    around?.('after')
    const check = await this.#worker.call({ kind: 'check' })
    const run = { ...(times as SearchTimes), ...(check as SearchCheck) }
    if (run.bad > 0) {
      throw new Error(`${run.bad} of ${run.answers} answers are wrong: ${String(run.firstBad)}`)
    }
    return run
  }

  close(): Promise<void> {
    return this.#worker.close()
  }
}
