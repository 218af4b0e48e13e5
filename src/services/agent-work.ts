/**
 * One step of the agent on one index: a trial, or the verdict about one, or the reason for neither.
 *
 *     gate ─▶ budget ─▶ plan ─┬─▶ a challenger that was not judged ─▶ compare ─▶ verdict
 *                             └─▶ a proposal ─▶ forecast ─▶ trial ─▶ challenger? ─▶ compare ─▶ verdict
 *
 *     verdict promote:   observe: noted     recommend: shown to a person     auto: shadow ─▶ canary
 *
 * After each wait the gate is asked again: a stop, a pause or a pin counts at once, and what was
 * measured by then is in the journal.
 */

import { asJson, verdictSettings } from '../autotune/agent-settings.ts'
import { withJudged, type AgentState } from '../autotune/agent-state.ts'
import { trialEnded, trialStarted } from '../autotune/budget.ts'
import { believed, evidenceOf, noteOf, type Challenger } from '../autotune/challenger.ts'
import type { Proposal } from '../autotune/proposer.ts'
import { startRollout } from '../autotune/rollout.ts'
import { judge, nextStep, type Comparison, type Verdict } from '../autotune/verdict.ts'
import { configToJson, type HnswConfig } from '../domain/hnsw-config.ts'
import type { Trial } from '../domain/trial.ts'
import type { AgentIndex, AgentParts } from './agent-index.ts'
import { budgetHold, holdOf, planOf, type AgentPlan, type Hold } from './agent-plan.ts'
import type { AgentRollout } from './agent-rollout.ts'
import type { OperationControl } from './operation.ts'

/** Blocks of a comparison: enough for a gain of 5 % by CPU time on a machine that is in use. */
const BLOCKS = 20
/** Rounds of a shadow: more than its extensions can ask for. */
const SHADOW_ROUNDS_MAX = 16

/** Whether the index stays in the queue: `held` with its wish as it is, `stay` behind the others. */
export type StepEnd = 'held' | 'stay' | 'leave'

interface Judged {
  readonly challenger: Challenger
  readonly comparison: Comparison
  readonly verdict: Verdict
}

interface EvalUsed {
  readonly name: string
  readonly weak: boolean
}

export class AgentWork {
  readonly #index: AgentIndex
  readonly #rollout: AgentRollout
  readonly #parts: AgentParts
  /** Trials by the state in which they ended, since the start. */
  readonly trials = new Map<string, number>()
  /** The wish that the step under way fulfils. */
  wish: AgentState['wanted'] = null

  constructor(index: AgentIndex, rollout: AgentRollout, parts: AgentParts) {
    this.#index = index
    this.#rollout = rollout
    this.#parts = parts
  }

  /** @throws what the hands and the bucket throw, and the reason of the signal. */
  async step(control: OperationControl): Promise<StepEnd> {
    this.#index.passTime()
    this.wish = this.#index.state.wanted
    const hold = holdOf(this.#index, this.#parts)
    if (hold !== null) return this.#heldBy(hold)
    await this.#parts.trials.sweep(this.#index.name, this.#parts.nowMs())
    const plan = await this.plan()
    const { name, settings } = this.#index
    if (plan.challenger.kind === 'challenger') {
      const used = await this.#parts.hands.ensureEval(name, settings.evalName)
      await this.#judge(plan.challenger, used, control)
      return 'stay'
    }
    const { next } = plan
    if (next.kind !== 'proposal') return this.#tuned(next.kind)
    const waits = budgetHold(this.#index) ?? memoryHold(plan)
    if (waits !== null) return this.#heldBy(waits)
    const used = await this.#parts.hands.ensureEval(name, settings.evalName)
    const trial = await this.runTrial(next.proposal, { used, note: null }, control)
    if (holdOf(this.#index, this.#parts) === null) await this.#afterTrial(trial, used, control)
    this.#index.succeeded()
    return 'stay'
  }

  /** Builds and measures; counted in the budget whatever becomes of it. */
  async runTrial(
    { config, explain }: Proposal,
    { used, note }: { readonly used: EvalUsed; readonly note: string | null },
    control: OperationControl,
  ): Promise<Trial> {
    const { name: index, settings } = this.#index
    const begun = 'a trial begins'
    await this.#index.update((s) => ({ ...s, budget: trialStarted(s.budget) }), begun)
    this.#index.activity = `trial of m ${config.m}, ef_construction ${config.efConstruction}`
    let cpuMs = 0
    try {
      const { strategy } = settings
      const wish = { index, config, evalName: used.name, strategy, explain, note }
      const trial = await this.#parts.hands.runTrial(wish, control)
      if (trial.build !== null && !trial.build.cached) cpuMs = trial.build.cpuS * 1000
      this.trials.set(trial.state, (this.trials.get(trial.state) ?? 0) + 1)
      const { trialId, state: verdict } = trial
      const reason = trial.reason ?? `the trial is ${verdict}`
      const evidence = { config: configToJson(config), explain: asJson(explain) }
      this.#index.decide({ kind: 'trial', verdict, trialId, reason, evidence })
      return trial
    } finally {
      this.#index.activity = null
      this.#index.passTime()
      const ended = 'a trial ended'
      await this.#index.alone(() => {
        const { state } = this.#index
        const budget = trialEnded(state.budget, cpuMs)
        return this.#index.writeBehind({ ...state, budget }, ended)
      })
    }
  }

  #heldBy({ reason, text, passes, retryAtMs }: Hold): StepEnd {
    this.#index.refuse(reason, text)
    this.#index.retryAtMs = retryAtMs
    return passes ? 'held' : 'leave'
  }

  /** With an epoch that began now made durable: trials are numbered from it. */
  async plan(): Promise<AgentPlan> {
    const plan = await planOf(this.#index, this.#parts)
    const { epoch, judged, wanted } = plan.state
    if (this.#index.state.epoch !== epoch) {
      await this.#index.update(
        (s) => ({ ...s, epoch, judged, wanted: s.wanted === this.wish ? wanted : s.wanted }),
        'an epoch begins',
      )
      this.wish = wanted
    }
    return plan
  }

  async #tuned(tuned: 'converged' | 'exhausted'): Promise<StepEnd> {
    if (this.#index.state.epoch?.tuned === null) {
      await this.#index.update(
        (s) => ({ ...s, epoch: s.epoch === null ? null : { ...s.epoch, tuned } }),
        tuned,
      )
      const reason =
        tuned === 'converged'
          ? 'no configuration is expected to be better by enough'
          : 'every configuration within the bounds and the memory was tried'
      this.#index.decide({ kind: 'tuned', verdict: tuned, reason })
    }
    this.#index.succeeded()
    return 'leave'
  }

  async #afterTrial(trial: Trial, used: EvalUsed, control: OperationControl): Promise<void> {
    const { challenger } = await this.plan()
    if (challenger.kind === 'challenger') {
      await this.#judge(challenger, used, control)
      return
    }
    const { trialId } = trial
    const best = challenger.trial?.trialId ?? null
    const evidence = { best_trial_id: best, min_recall: this.#index.settings.minRecall }
    if (challenger.reason === 'slo_unreachable') {
      const reason = `no trial shows a recall of ${this.#index.settings.minRecall}; best: ${best}`
      const verdict = 'slo_unreachable'
      this.#index.decide({ kind: 'verdict', verdict, trialId, reason, evidence })
      return
    }
    const reason = best === null ? 'nothing was measured' : `trial ${best} is the best so far`
    this.#index.decide({ kind: 'verdict', verdict: 'reject', trialId, reason, evidence })
  }

  async #judge(challenger: Challenger, used: EvalUsed, control: OperationControl): Promise<void> {
    // Read before it is measured: what a person changes meanwhile counts.
    const { revision } = await this.#parts.promotions.read(this.#index.name)
    const found = await this.#compare(challenger, used, control)
    if (found === null || !this.#index.may('trial').allowed) return
    const { verdict } = found
    const { trialId } = challenger.trial
    const evidence = evidenceOf(challenger, verdict)
    const passed = verdict.verdict === 'promote'
    const reason = passed ? noteOf(challenger, found.comparison, verdict) : verdict.reason
    const dryRun = this.#index.settings.mode === 'observe'
    const noted = { kind: 'verdict', verdict: verdict.verdict, trialId, reason }
    this.#index.decide({ ...noted, evidence, dryRun })
    await this.#index.update((state) => withJudged(state, challenger.pair), 'a verdict')
    if (passed && !dryRun) await this.#rollOut(found, { used, revision }, control)
    this.#index.succeeded()
  }

  /** The verdict on the held-out queries; null where a stop came first. */
  async #compare(
    challenger: Challenger,
    used: EvalUsed,
    control: OperationControl,
  ): Promise<Judged | null> {
    const weak = weakness(challenger, used)
    if (weak !== null) return { challenger, ...unknown(weak) }
    let ratios: readonly number[] = []
    for (let extensions = 0; ; extensions += 1) {
      const round = await this.#measure(challenger, { used, ratios }, control)
      const next = nextStep(round.verdict.verdict, extensions)
      if (next !== 'extend') return { challenger, ...round }
      if (!this.#index.may('trial').allowed) return null
      ratios = round.comparison.costLogRatios
    }
  }

  /** One comparison, on top of the blocks of earlier ones. */
  async #measure(
    { trial, ef, baseline, baselineEf }: Challenger,
    before: { readonly used: EvalUsed; readonly ratios: readonly number[] },
    control: OperationControl,
  ): Promise<{ readonly comparison: Comparison; readonly verdict: Verdict }> {
    if (baseline === null) return unknown('what is served was not measured')
    const { name: index, settings } = this.#index
    this.#index.activity = `comparing ${trial.trialId} with ${baseline.trialId}`
    try {
      const compared = await this.#parts.hands.compare(
        {
          ...{ index, evalName: before.used.name, blocks: BLOCKS },
          sides: [
            { trial, ef },
            { trial: baseline, ef: baselineEf },
          ],
        },
        control,
      )
      const [challenger, champion] = compared.sides
      const comparison = {
        challenger: believed(challenger, trial.eval.k),
        baseline: believed(champion, trial.eval.k),
        costLogRatios: [...before.ratios, ...compared.costLogRatios],
      }
      // The graph that serves already needs no memory once more.
      const isServed = trial.canonicalKey === baseline.canonicalKey
      const { memoryHeadroomBytes } = this.#parts.hands.facts(index)
      const bounds = verdictSettings(settings, isServed ? null : memoryHeadroomBytes)
      return { comparison, verdict: judge(comparison, bounds) }
    } finally {
      this.#index.activity = null
    }
  }

  /** By mode: a recommendation, or the shadow and then a canary. */
  async #rollOut(
    found: Judged,
    { used, revision }: { readonly used: EvalUsed; readonly revision: number },
    control: OperationControl,
  ): Promise<void> {
    const deed = this.#index.settings.mode === 'auto' ? 'promote' : 'recommend'
    const permission = this.#index.may(deed)
    const { challenger, comparison, verdict } = found
    const { trialId, graphId } = challenger.trial
    if (!permission.allowed) {
      this.#index.refuse('gate', permission.reason)
      return
    }
    const evidence = evidenceOf(challenger, verdict)
    const note = noteOf(challenger, comparison, verdict)
    const facts = this.#parts.hands.facts(this.#index.name)
    const config: HnswConfig = { ...challenger.trial.config, efSearch: challenger.ef }
    const epoch = this.#index.state.epoch?.name ?? ''
    const subject = { trialId, configKey: challenger.configKey, epoch }
    await this.#rollout.begin({
      ...{ config, graphId, note, evidence, before: facts.config.hnsw, pending: null },
      ...{ state: startRollout(subject, this.#parts.nowMs()), baseRevision: revision },
    })
    await this.#rollout.send({ kind: 'built' })
    await this.#rollout.send({ kind: 'tuned', feasible: true })
    const { verdict: kind, reason } = verdict
    const actions = await this.#rollout.send({ kind: 'validated', verdict: kind, reason })
    for (const action of actions) {
      if (action.kind === 'recommend') {
        const shown = { kind: 'recommendation', verdict: 'recommend', trialId }
        this.#index.decide({ ...shown, reason: note, evidence })
      }
      if (action.kind === 'start_shadow') await this.#shadow(challenger, used, control)
    }
  }

  /** The graph is brought into memory, and the comparison made once more, with fresh blocks. */
  async #shadow(challenger: Challenger, used: EvalUsed, control: OperationControl): Promise<void> {
    const job = this.#index.rollout
    if (job === null) return
    try {
      const { config, graphId } = job
      const { hands } = this.#parts
      this.#rollout.holdGraph(await hands.prepare(this.#index.name, { config, graphId }, control))
      await this.#rollout.send({ kind: 'shadow_started' })
      let samples = 0
      let ratios: readonly number[] = []
      for (let round = 0; round < SHADOW_ROUNDS_MAX; round += 1) {
        const permission = this.#index.may('promote')
        if (!permission.allowed) {
          await this.#rollout.send({ kind: 'stop', reason: permission.reason })
        }
        if (this.#index.rollout?.state.stage !== 'shadow') return
        const { comparison, verdict } = await this.#measure(challenger, { used, ratios }, control)
        samples += comparison.challenger.recalls?.length ?? 0
        ratios = comparison.costLogRatios
        await this.#rollout.send({ kind: 'shadow', samples, verdict: verdict.verdict })
      }
      await this.#rollout.send({ kind: 'superseded', reason: 'the shadow has too few samples' })
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error)
      await this.#rollout.send({ kind: 'stop', reason: `the shadow failed: ${reason}` })
      throw error
    }
  }
}

function memoryHold({ budget }: AgentPlan): Hold | null {
  if (budget.allowed || budget.reason !== 'memory') return null
  const { reason, text, retryAtMs } = budget
  return { reason, text, passes: true, retryAtMs }
}

function weakness({ trial, baseline }: Challenger, used: EvalUsed): string | null {
  if (used.weak || trial.eval.weak) return 'the eval set is weak: it holds too few queries'
  if (baseline === null) return 'what is served was not measured'
  return null
}

/** Nothing was measured, so nobody knows. */
function unknown(reason: string): { readonly comparison: Comparison; readonly verdict: Verdict } {
  const nothing = {
    ...{ recalls: null, recallLcb: null, recallUcb: null },
    ...{ p99Us: null, memoryBytes: null, buildCpuS: null },
  }
  return {
    comparison: { challenger: nothing, baseline: null, costLogRatios: [] },
    verdict: { verdict: 'inconclusive', checks: [], reason },
  }
}
