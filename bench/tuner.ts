/**
 * How near to the best graph does each strategy get, after how many builds?
 *
 *     npm run bench:tuner -- [--surfaces FOLDER] [--json]
 *
 * A replay on recorded surfaces, without a server. Scores at the top level count distances (sdc), so
 * they are the same on every machine; under `cpu_time` everything is played again with CPU times
 * (scpu_us), the picks and the oracle too.
 */

import { parseArgs } from 'node:util'
import { availableParallelism, cpus } from 'node:os'
import { RECALL_GOALS } from '../src/domain/trial.ts'
import { readSurfaces } from './support/surface.ts'
import {
  leaveOneOut,
  scoreAll,
  scoreUnderNoise,
  SEEDS,
  structuredCases,
  tasksOf,
  type StrategyScores,
} from './support/tuner-bench.ts'
import { CHECKPOINTS, scoreStrategy, type StrategyScore } from './support/tuner-score.ts'

const NOISES = [0.03, 0.1] as const
const DEFAULT_FOLDER = new URL('data', import.meta.url).pathname

const { values } = parseArgs({
  options: {
    surfaces: { type: 'string', default: DEFAULT_FOLDER },
    json: { type: 'boolean', default: false },
  },
})
const surfaces = readSurfaces(values.surfaces)
const tasks = tasksOf(surfaces, 'sdc')
if (tasks.length === 0) throw new Error('no row of any surface meets a goal')
const strategies = scoreAll(tasks)
const left = surfaces.length > 1 ? leaveOneOut(tasks) : []
const report = {
  strategies,
  cpu_time: { strategies: scoreAll(tasksOf(surfaces, 'scpu_us')) },
  leave_one_out: {
    structured: left.length === 0 ? null : scoreStrategy(left.flatMap(({ runs }) => runs)),
    surfaces: left.map(({ surface, lists, runs }) => ({
      ...{ surface, lists, structured: scoreStrategy(runs) },
    })),
  },
  noise: Object.fromEntries(NOISES.map((noise) => [noise, scoreUnderNoise(tasks, noise)])),
  cases: structuredCases(tasks),
  surfaces: surfaces.map(({ name, points, cells }) => ({ name, points, cells: cells.length })),
  skipped: surfaces.length * RECALL_GOALS.length - tasks.length,
  parameters: {
    ...{ goals: RECALL_GOALS, seeds: SEEDS, honesty_after_builds: 8 },
    pick_cost: 'sdc; scpu_us under cpu_time',
  },
  hardware: `${cpus()[0]?.model.trim() ?? 'unknown'}, ${availableParallelism()} cores`,
}
process.stdout.write(values.json ? `${JSON.stringify(report)}\n` : `${text()}\n`)

function text(): string {
  return [
    `${surfaces.length} surfaces, ${tasks.length} goals, ${report.skipped} that no row meets`,
    '',
    ...table('by distances computed, mean / p10', strategies),
    ...table('by CPU time', report.cpu_time.strategies),
    ...table('structured, start lists fitted without the surface', {
      ...Object.fromEntries(
        report.leave_one_out.surfaces.map(({ surface, structured }) => [surface, structured]),
      ),
      ...(report.leave_one_out.structured === null ? {} : { all: report.leave_one_out.structured }),
    }),
    ...table('structured, noise on the costs', report.noise),
    ...report.cases.map(
      ({ surface, goal, score3, score8, score16, ...pick }) =>
        `${surface.padEnd(20)} ${goal}  ${[score3, score8, score16].map(number).join('  ')}` +
        `  m ${pick.m}, efConstruction ${pick.ef_construction}, ef ${pick.ef}`,
    ),
    `measured on ${report.hardware}`,
  ].join('\n')
}

function table(title: string, scores: StrategyScores): string[] {
  const head = [
    ...CHECKPOINTS.map((builds) => `N=${builds}`.padEnd(13)),
    'honesty  to 0.95  build s  at budget',
  ]
  return [
    title,
    `${' '.repeat(20)} ${head.join('')}`,
    ...Object.entries(scores).map(([name, score]) => `${name.padEnd(20)} ${line(score)}`),
    '',
  ]
}

function line(score: StrategyScore): string {
  const spreads = CHECKPOINTS.map((builds) => score[`score${builds}`])
  return [
    ...spreads.map((one) => `${number(one?.mean ?? 0)}/${number(one?.p10 ?? 0)}  `),
    number(score.honesty),
    `${score.builds_to_95.median ?? '-'}/${score.builds_to_95.p90 ?? '-'}`.padStart(10),
    score.build_cpu_s.toFixed(1).padStart(9),
    `     ${number(score.score_at_build_cpu)}`,
  ].join('')
}

function number(value: number): string {
  return value.toFixed(3)
}
