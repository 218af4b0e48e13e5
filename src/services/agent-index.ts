/**
 * One index as the agent knows it: its settings, what is remembered, what happens at this moment.
 *
 *     load ─▶ settings, state      update: pure step ─▶ stored ─▶ visible
 *
 * Changes run one after the other and are short: trials and builds run outside of them. A change is
 * durable before it counts, except where it protects searches; then it is stored with the next round.
 */

import { agentHold } from '../autotune/config-quarantine.ts'
import { agentMay, type AgentDeed, type Permission } from '../autotune/agent-gate.ts'
import { budgetSettings, type AgentSettings } from '../autotune/agent-settings.ts'
import type { AgentState, RolloutJob } from '../autotune/agent-state.ts'
import { passTime } from '../autotune/budget.ts'
import type { ProposalRules } from '../autotune/next-proposal.ts'
import { hasEnded } from '../autotune/rollout.ts'
import type { JsonObject } from '../buckets/revision-codec.ts'
import type { Decision, DecisionLog } from '../journal/decision-log.ts'
import type { TrialJournal } from '../journal/trial-journal.ts'
import { VectordError } from '../lib/errors.ts'
import { invariant } from '../lib/invariant.ts'
import { KeyedMutex } from '../lib/keyed-mutex.ts'
import type { PromotionRegistry } from '../promotions/promotion-registry.ts'
import type { AgentDocuments, StoredSettings } from './agent-documents.ts'
import type { AgentHands } from './agent-hands.ts'
import { TrafficWatch } from './traffic-watch.ts'

/** Who the entries of promotions and decisions name. */
export const AGENT = 'agent'

const REASON_MAX = 4000
/** After failures in a row an index waits one minute, two, four, at most an hour. */
const RETRY_MIN_MS = 60_000
const RETRY_MAX_MS = 3_600_000

/** What every part of the agent works with. */
export interface AgentParts {
  readonly hands: AgentHands
  readonly documents: AgentDocuments
  readonly trials: Pick<TrialJournal, 'list' | 'sweep'>
  readonly decisions: Pick<DecisionLog, 'append'>
  readonly promotions: Pick<PromotionRegistry, 'read' | 'cached' | 'promote' | 'rollback'>
  readonly rules: ProposalRules
  /** Up to so many points searches use no graph, and there is nothing to tune. */
  readonly flatThreshold: number
  /** The switch of the whole server. */
  readonly isStopped: () => boolean
  readonly nowMs: () => number
  /** Hears of what failed without anybody who waits for it. */
  readonly onTrouble: (error: unknown, what: string) => void
}

export interface AgentFault {
  readonly atMs: number
  readonly message: string
}

export interface DecisionNote {
  readonly kind: string
  readonly trialId?: string | null
  readonly verdict: string
  readonly reason: string
  readonly evidence?: JsonObject
  readonly by?: string
  readonly dryRun?: boolean
}

export class AgentIndex {
  readonly name: string
  readonly traffic = new TrafficWatch()
  /** Counters since the start. */
  readonly refusals = new Map<string, number>()
  readonly #parts: AgentParts
  readonly #turns = new KeyedMutex()
  #settings: StoredSettings | null = null
  #state: AgentState | null = null
  #isDirty = false
  #isGone = false
  #fault: AgentFault | null = null
  #failures = 0
  #lastRefusal: string | null = null
  /** What it does at this moment; null: nothing. */
  activity: string | null = null
  /** True while a step is under way. */
  isWorking = false
  /** No step begins before. */
  retryAtMs = 0
  /** Of the last whole window of searches. */
  liveP99Ms: number | null = null

  constructor(name: string, parts: AgentParts) {
    this.name = name
    this.#parts = parts
  }

  get settings(): AgentSettings {
    return this.stored.settings
  }

  get stored(): StoredSettings {
    invariant(this.#settings !== null, 'an index of the agent is loaded before it is asked')
    return this.#settings
  }

  get state(): AgentState {
    invariant(this.#state !== null, 'an index of the agent is loaded before it is asked')
    return this.#state
  }

  get fault(): AgentFault | null {
    return this.#fault
  }

  /** The rollout that is under way; null: none. */
  get rollout(): RolloutJob | null {
    const job = this.state.rollout
    return job === null || (hasEnded(job.state) && job.pending === null) ? null : job
  }

  /** Reads the settings anew, the state where it was not read yet. @returns true the first time. */
  load(): Promise<boolean> {
    return this.#turns.run('', async () => {
      const isFirst = this.#state === null
      this.#settings = await this.#parts.documents.settings(this.name)
      this.#state ??= await this.#parts.documents.state(this.name)
      return isFirst
    })
  }

  /** Runs alone among the changes of this index. */
  alone<T>(work: () => Promise<T>): Promise<T> {
    return this.#turns.run('', work)
  }

  takeSettings(stored: StoredSettings): void {
    this.#settings = stored
  }

  /**
   * The index is being deleted: what is stored of it goes, and whatever is under way stores nothing
   * any more. An index of the same name that comes later must not inherit it.
   */
  retire(): Promise<void> {
    this.#isGone = true
    return this.alone(() => this.#parts.documents.drop(this.name))
  }

  /** Applies `step`; durable and visible once resolved. @throws what the bucket throws. */
  update(step: (state: AgentState) => AgentState, reason: string): Promise<void> {
    return this.alone(() => this.write(step(this.state), reason))
  }

  /** Only within `alone`: stores first. */
  async write(state: AgentState, reason: string): Promise<void> {
    if (state === this.#state && !this.#isDirty) return
    if (this.#isGone) throw gone(this.name)
    await this.#parts.documents.save(this.name, state, reason)
    this.#state = state
    this.#isDirty = false
  }

  /** Only within `alone`: counts at once, and is stored now or with a later round. */
  async writeBehind(state: AgentState, reason: string): Promise<void> {
    this.#state = state
    this.#isDirty = true
    await this.flush(reason).catch((error: unknown) => this.failed(error))
  }

  /** What passes without a decision, such as time: not worth a revision of its own. */
  remember(state: AgentState): void {
    this.#state = state
  }

  async flush(reason: string): Promise<void> {
    if (this.#isDirty && !this.#isGone) await this.write(this.state, reason)
  }

  may(deed: AgentDeed): Permission {
    const hold = agentHold(this.state.quarantine, this.#parts.nowMs())
    const { mode, paused: indexPaused, pinnedBy } = this.settings
    const current = this.#parts.promotions.cached(this.name)?.document?.current ?? null
    const pinned = current?.pinned === true ? 'a promotion that is pinned' : null
    return agentMay(deed, {
      ...{ mode, indexPaused, serverStopped: this.#parts.isStopped() },
      held: hold.held ? hold.reason : null,
      pinnedBy: pinnedBy ?? pinned,
    })
  }

  /** Lets time pass for the budget. */
  passTime(): void {
    const settings = budgetSettings(this.settings)
    const budget = passTime(this.state.budget, this.#parts.nowMs(), settings)
    this.remember({ ...this.state, budget })
  }

  /** Into the decision log; a log that takes nothing is told of and stops nobody. */
  decide(note: DecisionNote): void {
    const decision: Decision = {
      ...{ atMs: this.#parts.nowMs(), index: this.name, kind: note.kind, verdict: note.verdict },
      trialId: note.trialId ?? null,
      reason: note.reason.slice(0, REASON_MAX),
      evidence: note.evidence ?? {},
      by: note.by ?? AGENT,
      dryRun: note.dryRun ?? false,
    }
    try {
      this.#parts.decisions.append(decision)
    } catch (error) {
      this.#parts.onTrouble(error, `write a decision about index "${this.name}"`)
    }
  }

  /** Tells of a refusal once, until another one or a deed comes between. */
  refuse(reason: string, text: string): void {
    if (this.#lastRefusal === reason) return
    this.#lastRefusal = reason
    this.refusals.set(reason, (this.refusals.get(reason) ?? 0) + 1)
    this.decide({ kind: 'refusal', verdict: reason, reason: text })
  }

  /** A step went well: what failed before is over. */
  succeeded(): void {
    this.#failures = 0
    this.#fault = null
    this.#lastRefusal = null
  }

  /** Keeps the error to be shown, and lets the index rest, longer each time. */
  failed(error: unknown): void {
    const atMs = this.#parts.nowMs()
    const message = error instanceof Error ? error.message : String(error)
    this.#fault = { atMs, message }
    this.retryAtMs = atMs + Math.min(RETRY_MAX_MS, RETRY_MIN_MS * 2 ** this.#failures)
    this.#failures = Math.min(this.#failures + 1, 10)
  }
}

function gone(index: string): VectordError {
  return new VectordError('index_not_found', `The index "${index}" was deleted.`, {
    details: { index },
  })
}
