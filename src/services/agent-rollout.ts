/**
 * Carries out the rollout of one index: what `rollout.ts` decides is done here, in its order.
 *
 *     event ─▶ stepRollout ─▶ stored ─▶ canary, promote, publish … ─▶ decision log
 *                                └─ pending: promote | roll_back, made so again until it is so
 *
 * - Nothing serves before the step that says so is durable. The other way round for a rollback: the
 *   graph before it serves at once, and what is stored follows, however often that has to be tried.
 * - A change of the promotions is looked up before it is made again: a lost answer promotes nothing
 *   twice, and rolls back nothing that a person promoted meanwhile.
 */

import { canaryShare } from '../autotune/request-share.ts'
import { quarantineConfig, recordRollback } from '../autotune/config-quarantine.ts'
import { rolloutSettings } from '../autotune/agent-settings.ts'
import type { AgentState, RolloutJob } from '../autotune/agent-state.ts'
import { hasEnded, stepRollout } from '../autotune/rollout.ts'
import type { RolloutAction, RolloutEvent, RolloutState } from '../autotune/rollout-state.ts'
import { canonicalKey } from '../domain/trial.ts'
import { hasCode } from '../lib/errors.ts'
import type { PromotionState } from '../promotions/promotion-file.ts'
import { AGENT, type AgentIndex, type AgentParts } from './agent-index.ts'

/** Tries after which a champion that cannot be published is given up. */
const SETTLE_TRIES_MAX = 5

/** Tells the requests of this canary from those of the recall sampler. */
const CANARY_SEED = 0x63616e61

const NEVER = new AbortController().signal

/** Generations that the rollout has in memory; null: none, or it is not known after a restart. */
interface Graphs {
  readonly challenger: number | null
  readonly previous: number | null
}

export class AgentRollout {
  readonly #index: AgentIndex
  readonly #parts: AgentParts
  #graphs: Graphs = { challenger: null, previous: null }
  #settleTries = 0
  /** Counters since the start. */
  readonly counts = { promotions: 0, rollbacks: 0 }

  constructor(index: AgentIndex, parts: AgentParts) {
    this.#index = index
    this.#parts = parts
  }

  /** A new rollout; the one before it has ended or waits for a person, who is told. */
  async begin(job: RolloutJob): Promise<void> {
    if (this.#index.rollout !== null) {
      await this.send({ kind: 'superseded', reason: 'a better configuration was found' })
    }
    await this.#index.update((state) => ({ ...state, rollout: job }), 'a rollout begins')
  }

  /** After a start of the server: what was not champion yet ends, a champion is watched on. */
  async restore(): Promise<void> {
    if (this.#index.rollout === null) return
    await this.send({ kind: 'restart' })
    const stage = this.#index.state.rollout?.state.stage
    if (stage === 'champion') this.#index.traffic.split(() => true)
  }

  /** The generation that `prepare` made for it. */
  holdGraph(challenger: number | null): void {
    this.#graphs = { ...this.#graphs, challenger }
  }

  /**
   * One event: the step is stored, its actions are carried out.
   *
   * @returns what the caller has to do: `extend`, `recommend`, `start_shadow`.
   */
  send(event: RolloutEvent): Promise<readonly RolloutAction[]> {
    return this.#index.alone(async () => {
      const job = this.#index.rollout
      if (job === null || hasEnded(job.state)) return []
      const settings = rolloutSettings(this.#index.settings)
      const { state, actions } = stepRollout(job.state, event, this.#parts.nowMs(), settings)
      if (state.stage === job.state.stage && actions.length === 0) {
        this.#index.remember({ ...this.#index.state, rollout: { ...job, state } })
        return []
      }
      await this.#take(job, state, actions)
      if (event.kind === 'stop' || event.kind === 'restart') await this.#forgetVerdict(job, state)
      return actions.filter(({ kind }) => LEFT_TO_CALLER.has(kind))
    })
  }

  /** Makes a change of the promotions so, that is not known to be so. */
  settle(): Promise<void> {
    return this.#index.alone(async () => {
      const job = this.#index.rollout
      if (job?.pending === 'promote') await this.#settlePromotion(job)
      else if (job?.pending === 'roll_back') await this.#settleRollback(job)
    })
  }

  /** What ended for no fault of its own may be tried again. */
  async #forgetVerdict({ state: { configKey } }: RolloutJob, after: RolloutState): Promise<void> {
    if (after.stage !== 'inconclusive') return
    const { state } = this.#index
    const judged = state.judged.filter((pair) => !pair.startsWith(`${configKey} / `))
    await this.#index.writeBehind({ ...state, judged }, 'it may be judged again')
  }

  async #take(
    job: RolloutJob,
    state: RolloutState,
    actions: readonly RolloutAction[],
  ): Promise<void> {
    const kinds = new Set(actions.map(({ kind }) => kind))
    const rollsBack = kinds.has('roll_back')
    const wasChampion = job.state.stage === 'champion'
    const undoes = rollsBack && wasChampion ? 'roll_back' : null
    const pending = kinds.has('promote') ? 'promote' : undoes
    const next = { ...job, state, pending } as const
    const stored = afterActions({ ...this.#index.state, rollout: next }, job, {
      actions,
      nowMs: this.#parts.nowMs(),
    })
    if (rollsBack) {
      await this.#protect(wasChampion)
      await this.#index.writeBehind(stored, state.reason)
    } else {
      await this.#index.write(stored, state.reason)
    }
    this.#tell(job, state)
    for (const action of actions) await this.#act(next, action)
  }

  async #act(job: RolloutJob, action: RolloutAction): Promise<void> {
    switch (action.kind) {
      case 'set_canary':
        this.#startCanary(job, action.share)
        return
      case 'promote':
        await this.#settlePromotion(job)
        return
      case 'roll_back':
        this.counts.rollbacks += 1
        if (job.pending === 'roll_back') await this.#settleRollback(job)
        return
      case 'release_challenger':
      case 'release_previous':
        if (this.#index.rollout === null) await this.#release()
        return
      case 'extend':
      case 'recommend':
      case 'start_shadow':
      case 'quarantine':
        return
    }
  }

  #startCanary({ config }: RolloutJob, share: number): void {
    const takes = (requestId: string): boolean => canaryShare(requestId, CANARY_SEED) < share
    const { hands } = this.#parts
    const { name } = this.#index
    const generation = this.#graphs.challenger ?? hands.facts(name).generation
    hands.canary(name, { generation, ef: config.efSearch, takes })
    this.#index.traffic.split(takes)
  }

  /** All searches back to what served before, at once. */
  async #protect(wasChampion: boolean): Promise<void> {
    const { name } = this.#index
    this.#parts.hands.canary(name, null)
    this.#index.traffic.split(null)
    if (!wasChampion) return
    await this.#publish(this.#graphs.previous).catch((error: unknown) => this.#index.failed(error))
  }

  async #settlePromotion(job: RolloutJob): Promise<void> {
    this.#settleTries += 1
    try {
      const refusal = await this.#promote(job)
      if (refusal !== null) {
        await this.#giveUp(job, refusal)
        return
      }
      await this.#publishChallenger(job)
    } catch (error) {
      this.#index.failed(error)
      if (this.#settleTries < SETTLE_TRIES_MAX) return
      await this.#undo(job, `it could not be published: ${String(error)}`)
      return
    }
    this.#settleTries = 0
    this.#parts.hands.canary(this.#index.name, null)
    this.#index.traffic.split(() => true)
    this.counts.promotions += 1
    const { trialId } = job.state
    const { note: reason, evidence } = job
    this.#index.decide({ kind: 'promotion', verdict: 'promote', trialId, reason, evidence })
    await this.#index.writeBehind(this.#without(job, 'promote'), 'promoted')
  }

  /** Durable once it resolves. @returns why a person's decision counts instead; null: it is promoted. */
  async #promote(job: RolloutJob): Promise<string | null> {
    const { promotions } = this.#parts
    const { name } = this.#index
    const before = await promotions.read(name)
    if (isCurrent(before, job)) return null
    if (before.revision !== job.baseRevision) return 'the promotions were changed meanwhile'
    const permission = this.#index.may('promote')
    if (!permission.allowed) return permission.reason
    const { config, graphId, evidence, note } = job
    const promotion = { config, trialId: job.state.trialId, evidence }
    const by = { by: AGENT, note, rebuild: 'lazy', byAgent: true } as const
    try {
      await promotions.promote(
        name,
        { ...promotion, ...(graphId !== null && { graphId }) },
        { ...by, ifRevision: before.revision },
      )
      return null
    } catch (error) {
      if (hasCode(error, 'promotion_pinned', 'revision_mismatch')) return error.message
      throw error
    }
  }

  async #publishChallenger({ config, graphId }: RolloutJob): Promise<void> {
    const { hands } = this.#parts
    const { name } = this.#index
    const published = hands.facts(name).generation
    const known = this.#graphs.challenger
    const wish = { config, graphId }
    const challenger = known ?? (await hands.prepare(name, wish, unwatched()))
    if (challenger === null || challenger === published) return
    this.#graphs = { challenger, previous: published }
    await hands.publish(name, challenger)
  }

  async #settleRollback(job: RolloutJob): Promise<void> {
    const { hands, promotions } = this.#parts
    const { name } = this.#index
    try {
      const found = await promotions.read(name)
      if (isCurrent(found, job)) {
        const by = { by: AGENT, note: `agent: ${job.state.reason}`, rebuild: 'lazy' } as const
        await promotions.rollback(name, { ...by, ifRevision: found.revision, byAgent: true })
      }
      const { previous } = this.#graphs
      const wish = { config: job.before, graphId: null }
      const graph = previous ?? (await hands.prepare(name, wish, unwatched()))
      await this.#publish(graph)
    } catch (error) {
      this.#index.failed(error)
      // A pin is a person's word for what is served, and it came later.
      if (!hasCode(error, 'promotion_pinned')) return
    }
    await this.#index.writeBehind(this.#without(job, 'roll_back'), 'rolled back')
    await this.#release()
  }

  async #publish(generation: number | null): Promise<void> {
    const { hands } = this.#parts
    const { name } = this.#index
    if (generation === null || generation === hands.facts(name).generation) return
    await hands.publish(name, generation)
  }

  /** A person came first: what was never served is put away. */
  async #giveUp(job: RolloutJob, reason: string): Promise<void> {
    this.#settleTries = 0
    this.#parts.hands.canary(this.#index.name, null)
    this.#index.traffic.split(null)
    await this.#end(job, { kind: 'superseded', reason }, null)
    await this.#release()
  }

  async #undo(job: RolloutJob, reason: string): Promise<void> {
    this.#settleTries = 0
    this.counts.rollbacks += 1
    await this.#protect(true)
    await this.#end(job, { kind: 'quarantined', reason }, 'roll_back')
  }

  async #end(job: RolloutJob, event: RolloutEvent, pending: 'roll_back' | null): Promise<void> {
    const nowMs = this.#parts.nowMs()
    const settings = rolloutSettings(this.#index.settings)
    const { state, actions } = stepRollout(job.state, event, nowMs, settings)
    const next = { ...this.#index.state, rollout: { ...job, state, pending } }
    await this.#index.writeBehind(afterActions(next, job, { actions, nowMs }), state.reason)
    this.#tell(job, state)
  }

  /** Generations that serve nobody any more; the published one is never dropped. */
  async #release(): Promise<void> {
    const { hands } = this.#parts
    const { name } = this.#index
    const { challenger, previous } = this.#graphs
    this.#graphs = { challenger: null, previous: null }
    hands.canary(name, null)
    this.#index.traffic.split(null)
    for (const generation of [challenger, previous]) {
      if (generation === null) continue
      try {
        if (generation !== hands.facts(name).generation) await hands.drop(name, generation)
      } catch (error) {
        this.#index.failed(error)
      }
    }
  }

  #without({ state }: RolloutJob, pending: RolloutJob['pending']): AgentState {
    const now = this.#index.state
    const job = now.rollout
    const isSame = job?.state.trialId === state.trialId && job.pending === pending
    return isSame ? { ...now, rollout: { ...job, pending: null } } : now
  }

  #tell({ state: before, evidence }: RolloutJob, state: RolloutState): void {
    if (before.stage === state.stage && before.canaryStep === state.canaryStep) return
    const { trialId, stage: verdict, reason } = state
    this.#index.decide({ kind: 'rollout', verdict, trialId, reason, evidence })
  }
}

const LEFT_TO_CALLER: ReadonlySet<RolloutAction['kind']> = new Set([
  'extend',
  'recommend',
  'start_shadow',
])

/** What the actions do to what is remembered. */
function afterActions(
  state: AgentState,
  { state: { configKey, epoch } }: RolloutJob,
  { actions, nowMs: atMs }: { readonly actions: readonly RolloutAction[]; readonly nowMs: number },
): AgentState {
  const out = actions.find((action) => action.kind === 'quarantine')
  if (out === undefined) return state
  const entry = { configKey, epoch, reason: out.reason, atMs }
  const record = actions.some(({ kind }) => kind === 'roll_back')
    ? recordRollback
    : quarantineConfig
  return { ...state, quarantine: record(state.quarantine, entry) }
}

function isCurrent({ document }: PromotionState, { state, config }: RolloutJob): boolean {
  const current = document?.current ?? null
  if (current === null || current.trialId !== state.trialId) return false
  const isSameGraph = canonicalKey(current.config) === canonicalKey(config)
  return isSameGraph && current.config.efSearch === config.efSearch
}

function unwatched(): { signal: AbortSignal; progress: () => void } {
  return { signal: NEVER, progress: () => undefined }
}
