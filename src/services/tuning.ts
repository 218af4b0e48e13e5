/**
 * Trials and one-shot tuning as operations.
 *
 *     trial      one configuration ─▶ a line of the journal
 *     autotune   a grid of them ─▶ the best above the floor, by held-out bounds ─▶ promoted
 *
 * Trials of an index run one at a time, in the order in which they were asked for.
 */

import type { Objective } from '../autotune/champion.ts'
import { HNSW_DEFAULTS, type HnswConfig } from '../domain/hnsw-config.ts'
import type { CurvePoint, Trial } from '../domain/trial.ts'
import { VectordError } from '../lib/errors.ts'
import type { ConfigChangeOutcome, ConfigChanges } from './config-changes.ts'
import type { Operation } from './operation.ts'
import type { OperationKind, Operations } from './operations.ts'
import type { TrialRequest, TrialRunner } from './trial-runner.ts'

/** Trials of an index that may wait. */
const WAITING_MAX = 64

/** What is tried where nobody names a grid: from quick builds to thorough ones. */
export const DEFAULT_GRID: readonly HnswConfig[] = [
  { ...HNSW_DEFAULTS, m: 8, efConstruction: 64 },
  { ...HNSW_DEFAULTS, m: 12, efConstruction: 100 },
  { ...HNSW_DEFAULTS, m: 16, efConstruction: 128 },
  { ...HNSW_DEFAULTS, m: 16, efConstruction: 200 },
  { ...HNSW_DEFAULTS, m: 24, efConstruction: 300 },
]

export interface AutotuneRequest {
  readonly index: string
  readonly evalName: string
  readonly minRecall: number
  readonly grid: readonly HnswConfig[]
  readonly objective: Objective
  readonly by: string
}

export interface AutotuneOutcome {
  readonly trials: readonly Trial[]
  readonly winner: Trial | null
  /** Why nothing was promoted; null where something was. */
  readonly reason: string | null
  readonly promotion: ConfigChangeOutcome | null
}

export interface TuningOptions {
  readonly operations: Operations
  readonly runner: TrialRunner
  readonly changes: ConfigChanges
}

export class Tuning {
  readonly #runner: TrialRunner
  readonly #changes: ConfigChanges
  readonly #trials: OperationKind<Trial>
  readonly #autotunes: OperationKind<AutotuneOutcome>
  readonly #waiting = new Map<string, number>()

  constructor({ operations, runner, changes }: TuningOptions) {
    this.#runner = runner
    this.#changes = changes
    this.#trials = operations.ofKind('trial')
    this.#autotunes = operations.ofKind('autotune')
  }

  /** @throws {VectordError} `overloaded` where too many wait, `shutting_down`. */
  trial(request: TrialRequest): { readonly operation: Operation<Trial>; readonly trialId: string } {
    const { index } = request
    const waiting = this.#waiting.get(index) ?? 0
    if (waiting >= WAITING_MAX) {
      throw new VectordError('overloaded', `${waiting} trials of index "${index}" wait already.`, {
        details: { index, waiting },
        retryAfterS: 30,
      })
    }
    const trialId = this.#runner.newTrialId()
    const work = (control: Parameters<TrialRunner['run']>[1]): Promise<Trial> =>
      this.#runner.run(request, control, trialId)
    const operation = this.#trials.start(index, work, trialId)
    this.#waiting.set(index, waiting + 1)
    void operation.ended().then(() => {
      this.#waiting.set(index, (this.#waiting.get(index) ?? 1) - 1)
    })
    return { operation, trialId }
  }

  /** True while a trial or a tuning of the index waits or runs. */
  isOpen(index: string): boolean {
    return this.#trials.isOpen(index) || this.#autotunes.isOpen(index)
  }

  /** Of one index one at a time; who asks while one waits joins it. */
  autotune(request: AutotuneRequest): Operation<AutotuneOutcome> {
    return this.#autotunes.start(request.index, async (control) => {
      const trials: Trial[] = []
      for (const [i, config] of request.grid.entries()) {
        const step = `trial ${i + 1} of ${request.grid.length}`
        const progress: typeof control.progress = (stage, count) => {
          control.progress(`${step}: ${stage}`, count)
        }
        const { index, evalName } = request
        const explain = { mode: 'grid', place: i, of: request.grid.length }
        const trial = {
          ...{ index, evalName, k: null, config, explain, note: null },
          strategy: 'grid',
        } as const
        trials.push(await this.#runner.run(trial, { signal: control.signal, progress }))
      }
      return this.#promoteBest(request, trials)
    })
  }

  async #promoteBest(
    { index, minRecall, objective, by }: AutotuneRequest,
    trials: readonly Trial[],
  ): Promise<AutotuneOutcome> {
    const winner = chooseWinner(trials, minRecall, objective)
    if (winner === null) {
      const reason = `No trial has a held-out recall whose lower bound reaches ${minRecall}.`
      return { trials, winner: null, reason, promotion: null }
    }
    const { trial, point } = winner
    const note =
      `autotune winner: recall=${point.recall.toFixed(3)} (lcb ${point.recallLcb.toFixed(3)})` +
      ` p50=${Math.round(point.p50Us)}us at ef ${point.ef}, held out`
    const promotion = await this.#changes.promote(index, trial.trialId, {
      ...{ by, promotedBy: 'autotune', note, rebuild: 'now', ifRevision: null },
      ef: point.ef,
    })
    return { trials, winner: trial, reason: null, promotion }
  }
}

interface Winner {
  readonly trial: Trial
  /** On queries that its ef was not solved on. */
  readonly point: CurvePoint
  readonly cpuUs: number
}

/** Null where no solved ef holds the floor by its held-out bound. */
function chooseWinner(
  trials: readonly Trial[],
  minRecall: number,
  objective: Objective,
): Winner | null {
  const proven = trials.flatMap((trial) =>
    trial.boundaries.flatMap(({ heldOut, cpuUs }): Winner[] => {
      if (heldOut === null || cpuUs === null || heldOut.recallLcb < minRecall) return []
      return [{ trial, point: heldOut, cpuUs }]
    }),
  )
  const buildS = ({ trial }: Winner): number => trial.build?.cpuS ?? Infinity
  const bySpeed = (a: Winner, b: Winner): number =>
    a.cpuUs - b.cpuUs || buildS(a) - buildS(b) || a.trial.seq - b.trial.seq
  const byRecall = (a: Winner, b: Winner): number =>
    b.point.recall - a.point.recall || a.point.p50Us - b.point.p50Us || bySpeed(a, b)
  return proven.sort(objective === 'slo' ? bySpeed : byRecall)[0] ?? null
}
