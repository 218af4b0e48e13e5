/**
 * Tells the agent what goes wrong beside the latency of searches: recall that fell, cores that died,
 * memory that is short. A rollout that bakes is rolled back for it.
 */

import type { RolloutEvent, RolloutStage } from '../autotune/rollout-state.ts'

/** Stages in which the challenger is in the memory of the cores. */
const LOADED: ReadonlySet<RolloutStage> = new Set(['shadow', 'canary', 'champion'])

export interface RolloutAlarmsOptions {
  /** Of every index that was searched: whether its recall has fallen under the goal. */
  readonly recall: () => readonly { readonly index: string; readonly isAlarmed: boolean }[]
  readonly cores: () => readonly { readonly deaths: number }[]
  readonly memory: { readonly usedBytes: number; readonly boundBytes: number }
  readonly rollouts: () => readonly { readonly index: string; readonly stage: RolloutStage }[]
  readonly tell: (index: string, event: RolloutEvent) => Promise<void>
}

export class RolloutAlarms {
  readonly #options: RolloutAlarmsOptions
  #deaths: number

  constructor(options: RolloutAlarmsOptions) {
    this.#options = options
    this.#deaths = this.#coreDeaths()
  }

  /** To be called every few seconds. */
  async look(): Promise<void> {
    const { recall, memory, rollouts, tell } = this.#options
    const deaths = this.#coreDeaths()
    const died = deaths - this.#deaths
    this.#deaths = deaths
    const alarmed = new Set(recall().flatMap((one) => (one.isAlarmed ? [one.index] : [])))
    const { usedBytes, boundBytes: budgetBytes } = memory
    for (const { index, stage } of rollouts()) {
      // Before it is champion, live recall is that of the one that it is to replace.
      if (stage === 'champion' && alarmed.has(index)) await tell(index, { kind: 'recall_alarm' })
      if (!LOADED.has(stage)) continue
      // Which index a core died of nobody knows: every one that is on trial is suspected.
      for (let n = 0; n < died; n += 1) await tell(index, { kind: 'core_died' })
      await tell(index, { kind: 'memory', usedBytes, budgetBytes })
    }
  }

  #coreDeaths(): number {
    return this.#options.cores().reduce((sum, { deaths }) => sum + deaths, 0)
  }
}
