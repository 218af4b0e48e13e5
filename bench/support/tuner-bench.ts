/**
 * Every strategy on every surface and goal, and the structured one on data that it was not fitted to.
 */

import { epsilonProposer } from '../../src/autotune/epsilon-proposer.ts'
import { gridProposer } from '../../src/autotune/grid-proposer.ts'
import { randomProposer } from '../../src/autotune/random-proposer.ts'
import { StructuredProposer } from '../../src/autotune/structured-proposer.ts'
import type { StartLists } from '../../src/autotune/start-portfolio.ts'
import { HNSW_DEFAULTS } from '../../src/domain/hnsw-config.ts'
import { RECALL_GOALS } from '../../src/domain/trial.ts'
import { fitStartLists } from './start-fit.ts'
import { oracleCost, type CostColumn, type Surface } from './surface.ts'
import {
  BUILDS_MAX,
  fixedPick,
  replay,
  type ReplayRun,
  type ReplayStrategy,
  type ReplayTask,
} from './tuner-replay.ts'
import { scoreRun, scoreStrategy, type ScoredRun, type StrategyScore } from './tuner-score.ts'

/** Runs of a method that draws numbers, or whose costs are noisy. */
export const SEEDS = 60

export type StrategyScores = Readonly<Record<string, StrategyScore>>

/** What one pick of the structured strategy came to. */
export interface CaseResult {
  readonly surface: string
  readonly goal: number
  readonly score3: number
  readonly score8: number
  readonly score16: number
  readonly honest: boolean
  readonly m: number | null
  readonly ef_construction: number | null
  readonly ef: number | null
}

interface Method {
  readonly name: string
  readonly seeds: number
  readonly strategyOf: (seed: number) => ReplayStrategy
}

const METHODS: readonly Method[] = [
  method('structured', 1, () => ({ proposer: new StructuredProposer(), solvesEf: true })),
  method('random', SEEDS, (seedSalt) => ({
    ...{ proposer: randomProposer, options: { seedSalt }, solvesEf: true },
  })),
  method('grid', 1, () => ({ proposer: gridProposer, solvesEf: true })),
  method('epsilon', SEEDS, (seedSalt) => ({
    ...{ proposer: epsilonProposer, options: { seedSalt }, solvesEf: false },
  })),
  method('epsilon_curve', SEEDS, (seedSalt) => ({
    ...{ proposer: epsilonProposer, solvesEf: true },
    options: { seedSalt, efSource: 'boundary' as const },
  })),
]

/** Pairs of a surface and a goal that some row of it meets. */
export function tasksOf(surfaces: readonly Surface[], column: CostColumn): ReplayTask[] {
  return surfaces.flatMap((surface) =>
    RECALL_GOALS.filter((goal) => oracleCost(surface, goal, column) !== null).map((goal) => ({
      surface,
      goal,
      column,
    })),
  )
}

export function scoreAll(tasks: readonly ReplayTask[]): StrategyScores {
  const scores = METHODS.map(
    ({ name, seeds, strategyOf }) =>
      [name, scoreStrategy(runs(tasks, { seeds, strategyOf }))] as const,
  )
  const fixed = tasks.map((task) => scoreRun(task, fixedRun(task)))
  return { ...Object.fromEntries(scores), default: scoreStrategy(fixed) }
}

/** The structured strategy, case by case. */
export function structuredCases(tasks: readonly ReplayTask[]): CaseResult[] {
  return structuredRuns(tasks).map(({ task, scores, honest, final }) => ({
    ...{ surface: task.surface.name, goal: task.goal },
    ...{ score3: scores[2] ?? 0, score8: scores[7] ?? 0, score16: scores[15] ?? 0, honest },
    m: final?.cell.m ?? null,
    ef_construction: final?.cell.efConstruction ?? null,
    ef: final?.row.ef ?? null,
  }))
}

/** The structured strategy with log-normal noise on every cost; picks are scored by true costs. */
export function scoreUnderNoise(tasks: readonly ReplayTask[], noise: number): StrategyScore {
  const strategyOf = (seed: number): ReplayStrategy => ({
    ...{ proposer: new StructuredProposer(), solvesEf: true, noise, seed },
  })
  return scoreStrategy(runs(tasks, { seeds: SEEDS, strategyOf }))
}

export interface LeftOut {
  readonly surface: string
  readonly lists: StartLists
  readonly runs: readonly ScoredRun[]
}

/** For each surface: its runs with start lists that were fitted to all the others. */
export function leaveOneOut(tasks: readonly ReplayTask[]): LeftOut[] {
  return [...new Set(tasks.map(({ surface }) => surface))].map((surface) => {
    const lists = fitStartLists(tasks.filter((task) => task.surface !== surface))
    const own = tasks.filter((task) => task.surface === surface)
    return { surface: surface.name, lists, runs: structuredRuns(own, lists) }
  })
}

function structuredRuns(tasks: readonly ReplayTask[], lists?: StartLists): ScoredRun[] {
  const strategyOf = (): ReplayStrategy => ({
    proposer: new StructuredProposer(lists),
    solvesEf: true,
  })
  return runs(tasks, { seeds: 1, strategyOf })
}

function runs(
  tasks: readonly ReplayTask[],
  { seeds, strategyOf }: Omit<Method, 'name'>,
): ScoredRun[] {
  return tasks.flatMap((task) =>
    Array.from({ length: seeds }, (_, seed) => scoreRun(task, replay(task, strategyOf(seed)))),
  )
}

function fixedRun(task: ReplayTask): ReplayRun {
  const pick = fixedPick(task, HNSW_DEFAULTS)
  const seconds = pick?.cell.buildCpuS ?? 0
  return {
    picks: Array.from({ length: BUILDS_MAX }, () => pick),
    buildCpuS: Array.from({ length: BUILDS_MAX }, () => seconds),
  }
}

function method(name: string, seeds: number, strategyOf: Method['strategyOf']): Method {
  return { name, seeds, strategyOf }
}
