/**
 * The watch of one index: what real searches say about a rollout, and what people did meanwhile.
 *
 *     pending change ─▶ settled      a person's change ─▶ superseded      a switch ─▶ stop
 *     canary, champion ─▶ a window of searches      else ─▶ tick
 */

import { rolloutSettings } from '../autotune/agent-settings.ts'
import type { RolloutJob } from '../autotune/agent-state.ts'
import { recordLiveP99 } from '../autotune/budget.ts'
import { hasEnded } from '../autotune/rollout.ts'
import type { RolloutEvent } from '../autotune/rollout-state.ts'
import type { PromotionState } from '../promotions/promotion-file.ts'
import type { AgentIndex, AgentParts } from './agent-index.ts'
import { isForPerson } from './agent-plan.ts'
import type { AgentRollout } from './agent-rollout.ts'

/** A window with fewer requests than count goes on, but not for longer. */
const WINDOW_AGE_MAX_MS = 300_000

export class AgentWatch {
  readonly #index: AgentIndex
  readonly #rollout: AgentRollout
  readonly #parts: AgentParts
  /** When the window of a rollout began; null: none is open. */
  #windowMs: number | null = null

  constructor(index: AgentIndex, rollout: AgentRollout, parts: AgentParts) {
    this.#index = index
    this.#rollout = rollout
    this.#parts = parts
  }

  /** Ends the window of all searches: their p99 is what trials give way to. */
  takeLatency(): void {
    const { p99Ms } = this.#index.traffic.takeAll()
    this.#index.liveP99Ms = p99Ms
    this.#index.passTime()
    if (p99Ms === null) return
    const budget = recordLiveP99(this.#index.state.budget, p99Ms)
    this.#index.remember({ ...this.#index.state, budget })
  }

  async look(): Promise<void> {
    this.#index.passTime()
    const job = this.#index.rollout
    if (job === null || !this.#parts.hands.facts(this.#index.name).owned) {
      this.#windowMs = null
      return
    }
    if (job.pending === null) await this.#rollout.send(this.#eventOf(job))
    else await this.#rollout.settle()
  }

  #eventOf(job: RolloutJob): RolloutEvent {
    const { stage } = job.state
    const byHand = this.#handMade(job)
    if (byHand !== null) return { kind: 'superseded', reason: byHand }
    const forPerson = isForPerson(this.#index)
    const permission = this.#index.may(forPerson ? 'recommend' : 'promote')
    if (stage !== 'champion' && !permission.allowed) {
      return { kind: 'stop', reason: permission.reason }
    }
    if (stage === 'champion' || stage === 'canary') return this.#windowOf()
    // Only a step takes it on from here: without one nothing will.
    const isLeft = !forPerson && !this.#index.isWorking && !hasEnded(job.state)
    return isLeft ? { kind: 'stop', reason: 'it was interrupted' } : { kind: 'tick' }
  }

  /** What a person did to the promotions since it was judged; null: nothing that counts. */
  #handMade(job: RolloutJob): string | null {
    const found = this.#parts.promotions.cached(this.#index.name)
    if (found === null || found.revision <= job.baseRevision) return null
    const by = found.document?.change?.by ?? 'somebody'
    const isOurs = found.document?.current?.trialId === job.state.trialId
    if (job.state.stage === 'champion') return championChange(found, { by, isOurs })
    if (!isOurs) return `${by} changed the promotions`
    const { trialId } = job.state
    const reason = `${by} promoted it by hand`
    this.#index.decide({ kind: 'recommendation', verdict: 'approved', trialId, reason, by })
    return reason
  }

  #windowOf(): RolloutEvent {
    const nowMs = this.#parts.nowMs()
    const sinceMs = Math.min(this.#windowMs ?? nowMs, nowMs)
    this.#windowMs = sinceMs
    const { windowRequestsMin, errorsMin } = rolloutSettings(this.#index.settings)
    const least = { requests: windowRequestsMin, errors: errorsMin }
    const isWhole = this.#index.traffic.challengerShows(least)
    if (!isWhole && nowMs - sinceMs < WINDOW_AGE_MAX_MS) return { kind: 'tick' }
    this.#windowMs = nowMs
    const { challenger, champion: baseline } = this.#index.traffic.takeSides()
    return { kind: 'window', challenger, baseline }
  }
}

/** Our own promotion is no change by hand; pinning it is: a person has taken it over. */
function championChange(
  { document }: PromotionState,
  { by, isOurs }: { readonly by: string; readonly isOurs: boolean },
): string | null {
  if (!isOurs) return `${by} changed the promotion`
  return document?.current?.pinned === true ? `${by} pinned it` : null
}
