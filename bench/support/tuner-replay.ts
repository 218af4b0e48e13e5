/**
 * One tuning run on a recorded surface: what a strategy would pick after each build.
 *
 *     propose ─▶ nearest recorded graph ─▶ its rows as a curve on set A ─▶ trial ─▶ champion
 *        ▲                                                                   │
 *        └───────────────────────────────────────────────────────────────────┘
 *
 * The strategy sees what it would see in the service: trials with curves and lower bounds on the tune
 * set. Set B is never shown to it.
 */

import { chooseChampion } from '../../src/autotune/champion.ts'
import {
  DEFAULT_OPTIONS,
  type Proposer,
  type ProposerOptions,
} from '../../src/autotune/proposer.ts'
import { nearestCell, type SearchBounds } from '../../src/autotune/search-space.ts'
import { HNSW_DEFAULTS, type HnswConfig } from '../../src/domain/hnsw-config.ts'
import { canonicalKey, type CurvePoint, type Trial } from '../../src/domain/trial.ts'
import { normal } from './prng.ts'
import {
  SURFACE_K,
  SURFACE_QUERIES,
  type CostColumn,
  type Surface,
  type SurfaceCell,
  type SurfaceRow,
} from './surface.ts'

export const BUILDS_MAX = 16

export interface ReplayTask {
  readonly surface: Surface
  readonly goal: number
  readonly column: CostColumn
}

export interface ReplayStrategy {
  readonly proposer: Proposer
  readonly options?: Partial<ProposerOptions>
  /** False where a build is measured at the proposed ef alone. */
  readonly solvesEf: boolean
  /** Standard deviation of the noise in the logarithm of costs; 0 is none. */
  readonly noise?: number
  readonly seed?: number
}

/** What a run would serve after a build. */
export interface Pick {
  readonly cell: SurfaceCell
  readonly row: SurfaceRow
}

export interface ReplayRun {
  /** After 1, 2, … builds; null as long as nothing meets the goal by its bound. */
  readonly picks: readonly (Pick | null)[]
  /** CPU seconds of all builds up to each. */
  readonly buildCpuS: readonly number[]
}

/** Runs until `BUILDS_MAX` builds; a strategy that ends before keeps its pick. */
export function replay(task: ReplayTask, strategy: ReplayStrategy): ReplayRun {
  const { surface, goal } = task
  const random = normal(strategy.seed ?? 0)
  const history: Trial[] = []
  const picks: (Pick | null)[] = []
  const buildCpuS: number[] = []
  let spent = 0
  for (let build = 0; build < BUILDS_MAX; build += 1) {
    const config = proposed(task, strategy, history)
    const cell = config === null ? null : recordedCell(surface, config)
    if (config !== null && cell !== null) {
      const factor = Math.exp((strategy.noise ?? 0) * random())
      const rows = strategy.solvesEf ? cell.rows : [recordedRow(cell, config)]
      history.push(trialOf({ task, cell, rows, factor }, config, history.length))
      spent += cell.buildCpuS
    }
    picks.push(pickOf(surface, history, goal))
    buildCpuS.push(spent)
  }
  return { picks, buildCpuS }
}

function proposed(
  { surface, goal }: ReplayTask,
  strategy: ReplayStrategy,
  history: readonly Trial[],
): HnswConfig | null {
  const { bounds, lattice } = spaceOf(surface)
  const proposal = strategy.proposer.propose({
    ...{ history, len: history.length, champion: championOf(history, goal)?.trial ?? null },
    ...{ current: HNSW_DEFAULTS, goal, bounds },
    options: { ...DEFAULT_OPTIONS, lattice, ...strategy.options },
  })
  return proposal?.config ?? null
}

/** The pick of somebody who builds one graph and solves its ef. */
export function fixedPick({ surface, goal }: ReplayTask, config: HnswConfig): Pick | null {
  const cell = recordedCell(surface, config)
  const row = cell?.rows.find(({ lcbA }) => lcbA >= goal)
  return cell === null || row === undefined ? null : { cell, row }
}

/** The bounds within which a surface was recorded. */
function spaceOf({ cells }: Surface): {
  readonly bounds: SearchBounds
  readonly lattice: ProposerOptions['lattice']
} {
  const ascending = (values: readonly number[]): number[] =>
    [...new Set(values)].sort((a, b) => a - b)
  const m = ascending(cells.map((cell) => cell.m))
  const efConstruction = ascending(cells.map((cell) => cell.efConstruction))
  return {
    lattice: { m, efConstruction },
    bounds: {
      m: [m[0] ?? 0, m.at(-1) ?? 0],
      efConstruction: [efConstruction[0] ?? 0, efConstruction.at(-1) ?? 0],
      efSearch: DEFAULT_EF_SEARCH,
    },
  }
}

const DEFAULT_EF_SEARCH = [10, 200] as const

function championOf(history: readonly Trial[], goal: number): ReturnType<typeof chooseChampion> {
  return chooseChampion(history, { objective: 'slo', goal, current: HNSW_DEFAULTS, costNoise: 0 })
}

function pickOf(surface: Surface, history: readonly Trial[], goal: number): Pick | null {
  const champion = championOf(history, goal)
  if (champion?.feasible !== true) return null
  const cell = recordedCell(surface, champion.trial.config)
  const row = cell?.rows.find(({ ef }) => ef === champion.point.ef)
  return cell === null || row === undefined ? null : { cell, row }
}

function recordedCell(surface: Surface, config: HnswConfig): SurfaceCell | null {
  const nearest = nearestCell(surface.cells, config)
  return surface.cells.find((cell) => cell === nearest) ?? null
}

function recordedRow({ rows }: SurfaceCell, { efSearch }: HnswConfig): SurfaceRow {
  const wanted = Math.log(efSearch ?? 0)
  return rows.reduce((a, b) =>
    Math.abs(Math.log(b.ef) - wanted) < Math.abs(Math.log(a.ef) - wanted) ? b : a,
  )
}

interface Measurement {
  readonly task: ReplayTask
  readonly cell: SurfaceCell
  readonly rows: readonly SurfaceRow[]
  readonly factor: number
}

function trialOf(
  { task, cell, rows, factor }: Measurement,
  config: HnswConfig,
  seq: number,
): Trial {
  const { surface, column } = task
  return {
    seq,
    trialId: `t-${seq}`,
    index: surface.name,
    epoch: { fingerprint: surface.name, points: surface.points, dimension: 1, metric: 'l2' },
    strategy: 'structured',
    explain: {},
    config,
    canonicalKey: canonicalKey(config),
    graphId: null,
    state: 'completed',
    reason: null,
    build: { cpuS: cell.buildCpuS, wallS: 0, bytes: 0, predictedCpuS: null, cached: false },
    curve: rows.map((row) => curvePoint(row, row.cost[column] * factor)),
    boundaries: [],
    eval: {
      ...{ name: surface.name, lsn: 0, k: SURFACE_K, weak: false },
      ...{ tuneQueries: SURFACE_QUERIES, heldOutQueries: SURFACE_QUERIES },
    },
    environment: { host: '', cpu: '', node: '', engine: '', load1: 0 },
    note: null,
    startedMs: 0,
    finishedMs: 0,
    leaseUntilMs: null,
  }
}

function curvePoint({ ef, recallA, lcbA, p10 }: SurfaceRow, cpuUs: number): CurvePoint {
  return {
    ...{ ef, queries: SURFACE_QUERIES, recall: recallA, recallLcb: lcbA, p10, cpuUs },
    ...{ p50Us: cpuUs, p95Us: cpuUs, p99Us: cpuUs },
  }
}
