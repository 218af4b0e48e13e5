/**
 * The configuration of one index: what is promoted, what was tried, how good answers are, and what
 * the agent may do.
 *
 * Long work is waited for, with progress; the signal of a call that waits cancels it.
 */

import type { Operations, WaitOptions } from './operations.ts'
import { pathOf, type Call, type Transport } from './transport.ts'
import type {
  AgentChange,
  AgentExplanation,
  AgentProposal,
  AgentSettings,
  Answer,
  AuditEntry,
  CallOptions,
  ChangeOptions,
  ConfigChanged,
  LiveRecall,
  NewTrial,
  Promoted,
  RecallCurve,
  Trial,
  TuneOutcome,
  TuneRequest,
} from './types.ts'

export interface StepOptions extends ChangeOptions {
  readonly note?: string
  /** Build the graph at once (the default), or leave it to the next build. */
  readonly rebuild?: 'now' | 'lazy'
}

export interface PromoteOptions extends StepOptions {
  /** Who is named as its author; the name of the key by default. */
  readonly promotedBy?: string
  /** Of searches; the one that the trial has solved for by default. */
  readonly ef?: number
}

type Started = Answer<'/vectors/hnsw/autotune', 'post', 202>
type TrialsJson = Answer<'/vectors/hnsw/trials/{index}', 'get'>
type AuditJson = Answer<'/vectors/hnsw/promoted/{index}/audit', 'get'>
type BestJson = Answer<'/vectors/hnsw/trials/{index}/best', 'get'>

export class IndexTuning {
  readonly #transport: Transport
  readonly #operations: Operations
  readonly #index: string

  constructor(transport: Transport, operations: Operations, index: string) {
    this.#transport = transport
    this.#operations = operations
    this.#index = index
  }

  /** What is promoted, and what was before. */
  promoted(options?: CallOptions): Promise<Promoted> {
    return this.#get(pathOf`/vectors/hnsw/promoted/${this.#index}`, options)
  }

  /** Every change of what is promoted, newest first; reads page after page. */
  async *history(options: CallOptions = {}): AsyncGenerator<AuditEntry, void> {
    const path = pathOf`/vectors/hnsw/promoted/${this.#index}/audit`
    for await (const page of this.#pages<AuditJson>(path, options)) yield* page.entries
  }

  promote(trialId: string, options: PromoteOptions = {}): Promise<ConfigChanged> {
    const path = pathOf`/vectors/hnsw/promote/${this.#index}/${trialId}`
    return this.#step(path, options, { promoted_by: options.promotedBy, ef: options.ef })
  }

  /** Back to the configuration before; without one, to that of the creation. */
  rollback(options: StepOptions = {}): Promise<ConfigChanged> {
    return this.#step(pathOf`/vectors/hnsw/rollback/${this.#index}`, options)
  }

  /** Takes the last rollback back. */
  rollForward(options: StepOptions = {}): Promise<ConfigChanged> {
    return this.#step(pathOf`/vectors/hnsw/rollforward/${this.#index}`, options)
  }

  /** Keeps the agent from replacing the current configuration, or lets it again. */
  pin(
    pinned: boolean,
    options: ChangeOptions & { readonly note?: string } = {},
  ): Promise<Promoted> {
    const path = pathOf`/vectors/hnsw/promoted/${this.#index}/pin`
    const json = { pinned, ...(options.note !== undefined && { note: options.note }) }
    const call = { method: 'PUT', path, json, again: 'repeatable', options } as const
    return this.#transport.json({ ...call, ifRevision: options.ifRevision })
  }

  /** Recall of real searches, as measured. */
  recall(options?: CallOptions): Promise<LiveRecall> {
    return this.#get(pathOf`/vectors/indexes/${this.#index}/recall`, options)
  }

  /** Recall against ef. */
  curve(options?: CallOptions): Promise<RecallCurve> {
    return this.#get(pathOf`/vectors/hnsw/curve/${this.#index}`, options)
  }

  /** The journal of trials, newest first; reads page after page. */
  async *trials(options: CallOptions = {}): AsyncGenerator<TrialsJson['trials'][number], void> {
    const path = pathOf`/vectors/hnsw/trials/${this.#index}`
    for await (const page of this.#pages<TrialsJson>(path, options)) yield* page.trials
  }

  /** One trial. @throws {VectordApiError} `trial_not_found`. */
  getTrial(trialId: string, options?: CallOptions): Promise<Trial> {
    return this.#get(pathOf`/vectors/hnsw/trials/${this.#index}/${trialId}`, options)
  }

  /** The best trial that holds a recall. */
  bestTrial(options: CallOptions & { readonly minRecall?: number } = {}): Promise<BestJson> {
    const path = pathOf`/vectors/hnsw/trials/${this.#index}/best`
    const query = { min_recall: options.minRecall }
    return this.#transport.json({ method: 'GET', path, query, again: 'repeatable', options })
  }

  /** Builds and measures one configuration beside serving, and waits for it. */
  async runTrial(trial: NewTrial, options: WaitOptions = {}): Promise<Trial> {
    return this.#run('/vectors/hnsw/trial', trial, options)
  }

  /** Tries a grid of configurations, promotes the best above the floor, and waits for it. */
  async autotune(request: TuneRequest, options: WaitOptions = {}): Promise<TuneOutcome> {
    return this.#run('/vectors/hnsw/autotune', request, options)
  }

  agentSettings(options?: CallOptions): Promise<AgentSettings> {
    return this.#get(pathOf`/vectors/agent/${this.#index}`, options)
  }

  changeAgent(json: AgentChange, options: ChangeOptions = {}): Promise<AgentSettings> {
    const path = pathOf`/vectors/agent/${this.#index}`
    const call = { method: 'PUT', path, json, again: 'repeatable', options } as const
    return this.#transport.json({ ...call, ifRevision: options.ifRevision })
  }

  /** Stops the agent of this index after the trial under way. */
  pauseAgent(options?: CallOptions): Promise<AgentSettings> {
    return this.#post(pathOf`/vectors/agent/pause/${this.#index}`, 'repeatable', options)
  }

  resumeAgent(options?: CallOptions): Promise<AgentSettings> {
    return this.#post(pathOf`/vectors/agent/resume/${this.#index}`, 'repeatable', options)
  }

  /** Why the current configuration, what comes next, and what holds the agent back. */
  explain(options?: CallOptions): Promise<AgentExplanation> {
    return this.#get(pathOf`/vectors/agent/explain/${this.#index}`, options)
  }

  /** The next configuration and why; changes nothing. */
  propose(options?: CallOptions): Promise<AgentProposal> {
    return this.#post(pathOf`/vectors/agent/propose/${this.#index}`, 'repeatable', options)
  }

  async #run<T>(path: string, request: object, options: WaitOptions): Promise<T> {
    const json = { ...request, index: this.#index }
    const call = { method: 'POST', path, json, again: 'keyed', options } as const
    const { operation_id: id } = await this.#transport.json<Started>(call)
    const { result } = await this.#operations.wait(id, options)
    return result as T
  }

  /**
   * From one revision to the next: a service that was started again after a lost answer has forgotten
   * the Idempotency-Key, and would take a second step.
   */
  async #step(
    path: string,
    options: StepOptions,
    more: NonNullable<Call['query']> = {},
  ): Promise<ConfigChanged> {
    const ifRevision = options.ifRevision ?? (await this.promoted(options)).revision
    const query = { note: options.note, rebuild: options.rebuild, ...more }
    const call = { method: 'POST', path, query, again: 'keyed', options } as const
    return this.#transport.json({ ...call, ifRevision })
  }

  async *#pages<T extends { readonly next_cursor: string | number | null }>(
    path: string,
    options: CallOptions,
  ): AsyncGenerator<T, void> {
    let cursor: string | number | undefined
    do {
      const call = { method: 'GET', path, again: 'repeatable', options } as const
      const page = await this.#transport.json<T>({ ...call, query: { cursor } })
      yield page
      cursor = page.next_cursor ?? undefined
    } while (cursor !== undefined)
  }

  #get<T>(path: string, options: CallOptions | undefined): Promise<T> {
    return this.#transport.json({ method: 'GET', path, again: 'repeatable', options })
  }

  #post<T>(path: string, again: Call['again'], options: CallOptions | undefined): Promise<T> {
    return this.#transport.json({ method: 'POST', path, again, options })
  }
}
