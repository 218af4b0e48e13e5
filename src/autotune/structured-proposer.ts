/**
 * Few builds to a near-best graph: a start portfolio, then a Gaussian process over the lattice.
 *
 *     baseline ─▶ start list ─▶ largest expected improvement ─▶ flat? neighbours ─▶ converged
 *                                 ▲                      │
 *                                 └──────────────────────┘
 *
 * The process models the logarithm of the cost at the ef that meets the goal, so that a step means a
 * ratio. A graph that does not reach the goal counts as twice as dear as the dearest one that does.
 * Everything is deterministic: ties go to the cell that comes first.
 */

import type { Trial } from '../domain/trial.ts'
import { affordableCells, type AffordableCells } from './affordable-cells.ts'
import { buildForecast } from './build-forecast.ts'
import {
  expectedImprovement,
  gaussianProcess,
  type Guess,
  type Kernel,
  type Observation,
} from './gaussian-process.ts'
import { reachOf, soundHistory } from './measured-trial.ts'
import { baselineProposal, type Proposal, type ProposalInput, type Proposer } from './proposer.ts'
import {
  cellKey,
  latticeCells,
  latticeNeighbours,
  LENGTH_EF_CONSTRUCTION,
  LENGTH_M,
  logPoint,
  nearestCell,
  predictedMemoryBytes,
  type Cell,
} from './search-space.ts'
import { startCells, START_LISTS, type StartLists } from './start-portfolio.ts'

/** In logarithms of cost: what graphs differ by, and what one measurement may be off by. */
const KERNEL: Kernel = {
  lengthScales: [LENGTH_M, LENGTH_EF_CONSTRUCTION],
  amplitude: 0.3,
  noise: 0.05,
}

/** An expected improvement of less than half a percent is not worth a build. */
const IMPROVEMENT_MIN = 0.005

/** Graphs that the process sees, the latest ones: bounds the work of a proposal. */
const OBSERVATIONS_MAX = 96

interface Candidate {
  readonly cell: Cell
  readonly guess: Guess
  readonly improvement: number
}

interface Step {
  readonly cell: Cell
  readonly mode: 'start' | 'strongest' | 'improve' | 'hill_climb'
  readonly guess: Guess | null
  readonly improvement: number | null
}

export class StructuredProposer implements Proposer {
  readonly #lists: StartLists

  constructor(lists: StartLists = START_LISTS) {
    this.#lists = lists
  }

  propose(input: ProposalInput): Proposal | null {
    const history = soundHistory(input.history)
    if (history.length === 0) return baselineProposal(input)
    const left = affordableCells(input, history)
    const step = this.#nextStep(input, history, left)
    return step === null ? null : proposalOf(step, { input, history, left })
  }

  /** Why `propose` answers null; null where it does not. */
  ended(input: ProposalInput): 'converged' | 'exhausted' | null {
    if (this.propose(input) !== null) return null
    const { cells } = affordableCells(input, soundHistory(input.history))
    return cells.length === 0 ? 'exhausted' : 'converged'
  }

  #nextStep(
    input: ProposalInput,
    history: readonly Trial[],
    { cells }: AffordableCells,
  ): Step | null {
    const start = this.#nextStart(input, history, cells)
    if (start !== null) return { cell: start, mode: 'start', guess: null, improvement: null }
    const observed = observe(history, input.goal)
    if (observed === null) {
      const strongest = cells.toSorted((a, b) => strength(b) - strength(a))[0]
      if (strongest === undefined) return null
      return { cell: strongest, mode: 'strongest', guess: null, improvement: null }
    }
    const best = mostPromising(cells, observed)
    if (best === null) return null
    if (best.improvement >= IMPROVEMENT_MIN) return { ...best, mode: 'improve' }
    const beside = latticeNeighbours(observed.best, cells)
    const climb = lowest(guessAll(beside, observed))
    if (climb !== null) return { ...climb, mode: 'hill_climb' }
    return wasFlat(history, cells, input.goal) ? null : { ...best, mode: 'improve' }
  }

  /** The first graph of the start list that was not tried; null when the list is done. */
  #nextStart(
    { goal, options, bounds, statistics }: ProposalInput,
    history: readonly Trial[],
    cells: readonly Cell[],
  ): Cell | null {
    const question = { history, goal, k: options.k, lid: statistics?.lid ?? null }
    const lattice = latticeCells(bounds, options.lattice)
    const left = new Set(cells.map(cellKey))
    for (const wanted of startCells(question, this.#lists)) {
      const cell = nearestCell(lattice, wanted)
      if (cell !== null && left.has(cellKey(cell))) return cell
    }
    return null
  }
}

interface Observed {
  readonly observations: readonly Observation[]
  /** The cheapest graph that meets the goal, and the logarithm of its cost. */
  readonly best: Cell
  readonly bestCost: number
}

/** The latest measurement of each graph; null where none meets the goal. */
function observe(history: readonly Trial[], goal: number): Observed | null {
  const ended = history.filter(({ state }) => state === 'completed' || state === 'infeasible')
  const latest = new Map(ended.map((trial) => [cellKey(trial.config), trial]))
  const measured = [...latest.values()].slice(-OBSERVATIONS_MAX).map((trial) => {
    const reach = reachOf(trial, goal)
    return { config: trial.config, cost: reach === null ? null : Math.log(reach.cost) }
  })
  const met = measured.flatMap(({ config, cost }) => (cost === null ? [] : [{ config, cost }]))
  const best = met.reduce((a, b) => (b.cost < a.cost ? b : a), met[0] ?? NOTHING)
  if (best === NOTHING) return null
  const unreached = Math.max(...met.map(({ cost }) => cost)) + Math.LN2
  return {
    observations: measured.map(({ config, cost }) => ({
      at: logPoint(config),
      value: cost ?? unreached,
    })),
    best: best.config,
    bestCost: best.cost,
  }
}

const NOTHING = { config: { m: 0, efConstruction: 0 }, cost: Infinity }

function mostPromising(cells: readonly Cell[], observed: Observed): Candidate | null {
  const candidates = guessAll(cells, observed)
  return candidates.reduce<Candidate | null>(
    (best, next) => (best === null || next.improvement > best.improvement ? next : best),
    null,
  )
}

function guessAll(cells: readonly Cell[], { observations, bestCost }: Observed): Candidate[] {
  const guessAt = gaussianProcess(observations, KERNEL)
  return cells.map((cell) => {
    const guess = guessAt(logPoint(cell))
    return { cell, guess, improvement: expectedImprovement(bestCost, guess) }
  })
}

function lowest(candidates: readonly Candidate[]): Candidate | null {
  return candidates.reduce<Candidate | null>(
    (best, next) => (best === null || next.guess.mean < best.guess.mean ? next : best),
    null,
  )
}

/** True where there was nothing to expect before the latest trial either. */
function wasFlat(history: readonly Trial[], cells: readonly Cell[], goal: number): boolean {
  const latest = history.at(-1)
  const before = observe(history.slice(0, -1), goal)
  if (latest === undefined || before === null) return false
  const then = mostPromising([...cells, latest.config], before)
  return then !== null && then.improvement < IMPROVEMENT_MIN
}

/** What raises recall raises it most where both are large. */
function strength({ m, efConstruction }: Cell): number {
  return Math.log2(m) + Math.log2(efConstruction)
}

function proposalOf(
  { cell, mode, guess, improvement }: Step,
  context: {
    readonly input: ProposalInput
    readonly history: readonly Trial[]
    readonly left: AffordableCells
  },
): Proposal {
  const { input, history, left } = context
  const data = input.statistics ?? history[0]?.epoch
  return {
    config: { ...input.current, ...cell, efSearch: null },
    explain: {
      mode,
      len: input.len,
      goal: input.goal,
      expected_improvement: improvement,
      predicted_cost: guess === null ? null : Math.exp(guess.mean),
      predicted_build_cpu_s: buildForecast(history)?.(cell) ?? null,
      predicted_memory_bytes: data === undefined ? null : predictedMemoryBytes(cell.m, data),
      cells: left.cells.length,
      excluded: left.excluded,
    },
  }
}
