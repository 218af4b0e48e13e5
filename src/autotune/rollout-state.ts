/**
 * The words of a rollout: its stages, what happens to it and what it asks for. See `rollout.ts`.
 */

import type { SteadyTime } from './steady-time.ts'
import type { WindowStats } from './traffic-window.ts'
import type { VerdictKind } from './verdict.ts'

export const ENDED_STAGES = [
  'baked',
  'rejected',
  'inconclusive',
  'rolled_back',
  'quarantined',
] as const
export type EndedStage = (typeof ENDED_STAGES)[number]

export type RolloutStage =
  'proposed' | 'built' | 'tuned' | 'validated' | 'shadow' | 'canary' | 'champion' | EndedStage

/** JSON as it is. */
export interface RolloutState {
  readonly format: 1
  readonly trialId: string
  /** Of the configuration and its ef: what is quarantined. */
  readonly configKey: string
  readonly epoch: string
  readonly stage: RolloutStage
  /** Why it is in this stage. */
  readonly reason: string
  readonly time: SteadyTime
  /** `time.elapsedMs` when the stage began. */
  readonly sinceMs: number
  readonly extensions: number
  /** Index into the shares of the canary. */
  readonly canaryStep: number
  /** Requests that the challenger answered in this step of the canary. */
  readonly canaryRequests: number
  /** Windows in a row with a p99 that is too high. */
  readonly p99Breaches: number
  readonly coreDeaths: number
  /** The last window of the champion before it. */
  readonly baseline: WindowStats | null
  readonly approved: boolean
}

export type RolloutEvent =
  | { readonly kind: 'built' }
  /** Building failed, or the forecast forbade it. */
  | { readonly kind: 'build_failed'; readonly reason: string }
  /** `feasible`: some ef meets the goal by its lower bound on the tune queries. */
  | { readonly kind: 'tuned'; readonly feasible: boolean }
  /** On the held-out queries; again after each extension. */
  | { readonly kind: 'validated'; readonly verdict: VerdictKind; readonly reason: string }
  | { readonly kind: 'approved'; readonly by: string; readonly note: string }
  | { readonly kind: 'shadow_started' }
  /** All samples of the shadow so far and what they say. */
  | { readonly kind: 'shadow'; readonly samples: number; readonly verdict: VerdictKind }
  /**
   * A window of real traffic, of the challenger and of the champion before it. Null once that
   * answers nothing any more: then its last window of the canary is what counts.
   */
  | {
      readonly kind: 'window'
      readonly challenger: WindowStats
      readonly baseline: WindowStats | null
    }
  | { readonly kind: 'recall_alarm' }
  | { readonly kind: 'memory'; readonly usedBytes: number; readonly budgetBytes: number }
  | { readonly kind: 'core_died' }
  /** Its configuration was put under quarantine elsewhere. */
  | { readonly kind: 'quarantined'; readonly reason: string }
  /** A person stopped the agent; a champion stays watched until it is baked. */
  | { readonly kind: 'stop'; readonly reason: string }
  /**
   * A person's decision counts: before it is champion, any promotion, rollback or pin by hand;
   * after that, a promotion of another configuration or a rollback, already carried out.
   */
  | { readonly kind: 'superseded'; readonly reason: string }
  | { readonly kind: 'restart' }
  | { readonly kind: 'tick' }

export type RolloutAction =
  /** Measure as much again and send `validated` or `shadow`. */
  | { readonly kind: 'extend' }
  /** Show it to a person; it goes on with `approved`. */
  | { readonly kind: 'recommend' }
  | { readonly kind: 'start_shadow' }
  /** Requests below `share` (see `canaryShare`) go to the challenger. */
  | { readonly kind: 'set_canary'; readonly share: number }
  /** Make it the champion; the graph before it stays loaded. */
  | { readonly kind: 'promote' }
  /** All requests back to the champion before it, at once. */
  | { readonly kind: 'roll_back'; readonly reason: string }
  | { readonly kind: 'quarantine'; readonly reason: string }
  /** The challenger serves nobody any more and its graph may be unloaded. */
  | { readonly kind: 'release_challenger' }
  /** The graph before the champion may be unloaded; its file stays. */
  | { readonly kind: 'release_previous' }

export interface RolloutStep {
  readonly state: RolloutState
  readonly actions: readonly RolloutAction[]
}
