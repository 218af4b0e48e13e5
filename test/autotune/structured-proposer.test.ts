/** Guarantees of the strategies over the lattice: structured, grid and random. */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { gridProposer } from '../../src/autotune/grid-proposer.ts'
import { DEFAULT_OPTIONS, type ProposalInput, type Proposer } from '../../src/autotune/proposer.ts'
import { randomProposer } from '../../src/autotune/random-proposer.ts'
import {
  cellKey,
  DEFAULT_BOUNDS,
  latticeCells,
  latticeNeighbours,
  predictedMemoryBytes,
} from '../../src/autotune/search-space.ts'
import { START_LISTS } from '../../src/autotune/start-portfolio.ts'
import { StructuredProposer } from '../../src/autotune/structured-proposer.ts'
import type { HnswConfig } from '../../src/domain/hnsw-config.ts'
import type { Trial } from '../../src/domain/trial.ts'
import { randomInput } from '../support/random-journal.ts'
import { CONFIG, point, trial } from '../support/tuner-trials.ts'

const structured = new StructuredProposer()
const STRATEGIES: Readonly<Record<string, Proposer>> = {
  structured,
  grid: gridProposer,
  random: randomProposer,
}

const INPUT: ProposalInput = {
  history: [],
  len: 0,
  champion: null,
  current: CONFIG,
  goal: 0.95,
  bounds: DEFAULT_BOUNDS,
  options: DEFAULT_OPTIONS,
}

type Measure = (config: HnswConfig) => Partial<Trial>

const TINY = { ...DEFAULT_BOUNDS, m: [8, 16], efConstruction: [64, 128] } as const

/** A bowl in the logarithms with its floor at (12, 96); ef 20 everywhere. */
const bowl: Measure = ({ m, efConstruction }) => {
  const [x, y] = [Math.log2(m / 12), Math.log2(efConstruction / 96)]
  return { curve: [point({ ef: 20, cpuUs: 100 * Math.exp(0.15 * x * x + 0.05 * y * y) })] }
}

/** A graph that never reaches the goal. */
const unreached: Measure = () => ({ curve: [point({ ef: 1000, recall: 0.9 })] })

function run(proposer: Proposer, measure: Measure, input: Partial<ProposalInput> = {}): Trial[] {
  const history: Trial[] = []
  while (history.length < 100) {
    const proposal = proposer.propose({ ...INPUT, ...input, history, len: history.length })
    if (proposal === null) return history
    const { config, explain } = proposal
    history.push(trial({ seq: history.length, config, explain, ...measure(config) }))
  }
  throw new Error('the strategy does not end')
}

for (const [name, proposer] of Object.entries(STRATEGIES)) {
  it(`${name}: the same journal gives the same proposal, never one that is held`, () => {
    for (let seed = 0; seed < 300; seed += 1) {
      const input = randomInput(seed)
      const proposal = proposer.propose(input)
      const stored = JSON.parse(JSON.stringify(input)) as ProposalInput
      assert.equal(JSON.stringify(proposer.propose(stored)), JSON.stringify(proposal))
      if (proposal === null || input.len === 0) continue
      const held = input.history.map(({ config }) => cellKey(config))
      assert.ok(!held.includes(cellKey(proposal.config)))
      assert.ok(
        latticeCells(input.bounds).some((cell) => cellKey(cell) === cellKey(proposal.config)),
      )
      assert.equal(proposal.config.efSearch, null)
    }
  })

  it(`${name}: begins with what is served and ends at the latest when every cell was tried`, () => {
    const history = run(proposer, bowl, { bounds: TINY })
    assert.deepEqual(history[0]?.config, CONFIG)
    const cells = latticeCells(TINY).length
    assert.ok(history.length <= cells + 1)
    assert.equal(new Set(history.map(({ config }) => cellKey(config))).size, history.length)
    if (name !== 'structured') assert.equal(history.length, cells + 1)
  })

  it(`${name}: proposes no cell that is forecast to exceed a limit`, () => {
    const data = { points: 10_000, dimension: 100 }
    const memoryBytes = predictedMemoryBytes(20, data)
    const limits = { memoryBytes, buildCpuS: 1.5 }
    const measure: Measure = (config) => {
      const cpuS = 0.01 * config.m ** 0.19 * config.efConstruction ** 0.88
      return {
        ...bowl(config),
        build: { cpuS, wallS: 0, bytes: 0, predictedCpuS: null, cached: false },
      }
    }
    const history = run(proposer, measure, { options: { ...DEFAULT_OPTIONS, limits } })
    const [, ...proposed] = history
    assert.ok(proposed.length > 5)
    assert.ok(proposed.every(({ config }) => config.m <= 16))
    assert.ok(proposed.every(({ build }) => (build?.cpuS ?? 9) <= 1.5))
  })

  it(`${name}: survives a journal of impossible numbers`, () => {
    const curve = [point({ ef: 20, recall: 0.99, cpuUs: Number.NaN })]
    const history = [
      trial({ seq: 0, config: { m: Number.NaN } }),
      trial({ seq: 1, config: { m: 16 }, curve }),
      trial({ seq: 1, config: { m: 1e9 }, curve }),
      trial({ seq: Infinity, config: { m: 12 } }),
    ]
    const proposal = proposer.propose({ ...INPUT, history, len: 4 })
    assert.ok(proposal !== null && Number.isSafeInteger(proposal.config.m))
  })
}

it('starts with sparse graphs where the reference is easy and with dense ones where not', () => {
  const second = (ef: number, recall = 0.97): HnswConfig | undefined => {
    const history = [trial({ seq: 0, config: {}, curve: [point({ ef, recall })] })]
    return structured.propose({ ...INPUT, history, len: 1 })?.config
  }
  assert.deepEqual(second(10), { ...CONFIG, ...START_LISTS.easy[0] })
  assert.deepEqual(second(28), { ...CONFIG, ...START_LISTS.easy[0] })
  assert.deepEqual(second(29), { ...CONFIG, ...START_LISTS.hard[0] })
  assert.deepEqual(second(1000, 0.9), { ...CONFIG, ...START_LISTS.hard[0] })
})

it('builds the reference first where what is served is far from it', () => {
  const history = [trial({ seq: 0, config: { m: 4, efConstruction: 40 }, ...bowl(CONFIG) })]
  const proposal = structured.propose({ ...INPUT, history, len: 1 })
  assert.deepEqual(proposal?.config, CONFIG)
  assert.equal(proposal.explain['mode'], 'start')
})

it('adds the pick by local intrinsic dimension to the start', () => {
  const statistics = { points: 10_000, dimension: 100, metric: 'cosine', lid: 8 } as const
  const hard: Measure = () => ({ curve: [point({ ef: 60 })] })
  const starts = (lid: number | null): string[] =>
    run(structured, hard, { goal: 0.9, statistics: { ...statistics, lid } })
      .filter(({ explain }) => explain['mode'] === 'start')
      .map(({ config }) => cellKey(config))
  assert.deepEqual(starts(30), starts(null))
  assert.deepEqual(starts(8), [...starts(null), '8,48'])
})

it('finds the floor of a bowl within eight builds and stops when nothing is to be won', () => {
  const history = run(structured, bowl)
  const costs = history.map(({ curve }) => curve[0]?.cpuUs ?? Infinity)
  assert.ok(Math.min(...costs.slice(0, 8)) <= 102, String(costs))
  assert.ok(history.length < 40, String(history.length))
  const input = { ...INPUT, history, len: history.length }
  assert.equal(structured.ended(input), 'converged')
  const best = history.toSorted((a, b) => (a.curve[0]?.cpuUs ?? 0) - (b.curve[0]?.cpuUs ?? 0))[0]
  const held = new Set(history.map(({ config }) => cellKey(config)))
  const beside = latticeNeighbours(best?.config ?? CONFIG, latticeCells(DEFAULT_BOUNDS))
  assert.ok(beside.every((cell) => held.has(cellKey(cell))))
})

it('says that it is exhausted where every cell was tried', () => {
  const bounds = { ...TINY, m: [16, 16] } as const
  const history = run(structured, unreached, { bounds })
  assert.equal(structured.ended({ ...INPUT, bounds, history, len: history.length }), 'exhausted')
})

it('goes to the strongest graphs while none reaches the goal', () => {
  const history = run(structured, unreached)
  const first = history.find(({ explain }) => explain['mode'] === 'strongest')
  assert.deepEqual(first?.config, { ...CONFIG, m: 64, efConstruction: 400 })
})

it('explains a step by what it expects of it', () => {
  const history = run(structured, bowl)
  const step = history.find(({ explain }) => explain['mode'] === 'improve')
  assert.ok(Number(step?.explain['expected_improvement']) > 0)
  assert.ok(Number(step?.explain['predicted_cost']) > 50)
  assert.ok(Number(step?.explain['predicted_memory_bytes']) > 1e6)
})
