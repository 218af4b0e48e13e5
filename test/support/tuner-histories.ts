/**
 * Simulated tuning histories in a hostile world (T14).
 *
 *     world (seed) ─▶ epochs ─▶ propose ─▶ measure, with noise ─▶ journal ─▶ poison ─▶ promote?
 *                       ▲                                                                │
 *                       └──────────────── up to BUILDS times, then the data drift ◀───────┘
 *
 * True recall and cost of every graph are known. A neighbour is found where what the graph and its ef
 * reach exceeds how hard the neighbour is; queries share how hard they are, so that hits of one query
 * depend on each other, and all graphs are measured on the same few queries, so that the luck of a
 * sample is shared too. Costs carry heavy noise. Journals get torn, absurd, lying and duplicate
 * records and clocks that jump. The rule of promotion is that of the service: the champion by the
 * bound on the tune queries, and only where the bound on the held-out queries meets the floor.
 */

import assert from 'node:assert/strict'
import { chooseChampion } from '../../src/autotune/champion.ts'
import { epsilonProposer } from '../../src/autotune/epsilon-proposer.ts'
import { gridProposer } from '../../src/autotune/grid-proposer.ts'
import {
  DEFAULT_OPTIONS,
  type Proposal,
  type ProposalInput,
  type Proposer,
} from '../../src/autotune/proposer.ts'
import { randomProposer } from '../../src/autotune/random-proposer.ts'
import { DEFAULT_BOUNDS, isWithin, pointKey } from '../../src/autotune/search-space.ts'
import { StructuredProposer } from '../../src/autotune/structured-proposer.ts'
import { HNSW_DEFAULTS, type HnswConfig } from '../../src/domain/hnsw-config.ts'
import type { CurvePoint, Trial } from '../../src/domain/trial.ts'
import { splitmix32 } from '../../src/lib/splitmix32.ts'
import { point, trial } from './tuner-trials.ts'

const K = 10
const BUILDS = 8
const EPOCHS = 2
const EFS = [10, 16, 24, 40, 64, 96, 160, 256, 400] as const
/** A recall this far under the floor is a broken promise. */
const MARGIN = 0.01
/** Student's t at 95 %, for 200 queries and more. */
const T_95 = 1.653
const GAUSS_NODES = 41
/** Of the trials that are followed by a record that should not be there. */
const POISON_SHARE = 0.3

export interface HistoryCounts {
  readonly histories: number
  readonly proposals: number
  readonly promotions: number
  /** Promotions whose true recall lies more than a point under the floor. */
  readonly broken: number
  readonly refused: number
  readonly poisoned: number
}

export const NO_HISTORIES: HistoryCounts = {
  ...{ histories: 0, proposals: 0, promotions: 0, broken: 0, refused: 0, poisoned: 0 },
}

export function addCounts(a: HistoryCounts, b: HistoryCounts): HistoryCounts {
  return {
    histories: a.histories + b.histories,
    proposals: a.proposals + b.proposals,
    promotions: a.promotions + b.promotions,
    broken: a.broken + b.broken,
    refused: a.refused + b.refused,
    poisoned: a.poisoned + b.poisoned,
  }
}

interface World {
  readonly floor: number
  readonly queries: number
  /** How far queries differ in how hard they are, and graphs in which neighbours they miss. */
  readonly spread: number
  readonly graphSpread: number
  /** Reach of the default graph at ef = 10, and what an octave of each axis adds. */
  readonly reach: { readonly base: number; readonly m: number; readonly efConstruction: number }
  readonly reachEf: number
  readonly costNoise: number
  readonly proposer: Proposer
}

/** How hard each neighbour of each query is to find. */
type QuerySet = Float64Array

const PROPOSERS: readonly Proposer[] = [
  new StructuredProposer(),
  epsilonProposer,
  randomProposer,
  gridProposer,
]

/** Runs one history. @throws when a promise that must always hold is broken. */
export function tuningHistory(seed: number): HistoryCounts {
  const random = splitmix32(seed, 14)
  const normal = normalFrom(random)
  const noise = Float64Array.from({ length: 4096 }, normal)
  let counts = { ...NO_HISTORIES, histories: 1 }
  const proposer = PROPOSERS[Math.floor(random() * PROPOSERS.length)] ?? epsilonProposer
  for (let epoch = 0; epoch < EPOCHS; epoch += 1) {
    const world = worldFrom(random, proposer)
    counts = addCounts(counts, runEpoch({ world, random, normal, noise }))
  }
  return counts
}

interface Context {
  readonly world: World
  readonly random: () => number
  readonly normal: () => number
  readonly noise: Float64Array
}

function runEpoch(context: Context): HistoryCounts {
  const { world, random, normal } = context
  const tune = querySet(world, random, normal)
  const heldOut = querySet(world, random, normal)
  const history: Trial[] = []
  const promotion = new Promotion(context, heldOut)
  let [proposals, poisoned] = [0, 0]
  for (let build = 0; build < BUILDS; build += 1) {
    const proposal = checkedProposal(world, history)
    if (proposal === null) break
    proposals += 1
    history.push(measuredTrial(context, { config: proposal.config, seq: history.length, tune }))
    if (random() < POISON_SHARE) {
      history.push(poison(history, random))
      poisoned += 1
    }
    promotion.consider(history)
  }
  return { ...NO_HISTORIES, ...promotion.counts(), proposals, poisoned }
}

/** The rule of promotion, and what became of those that it let through. */
class Promotion {
  readonly #context: Context
  readonly #heldOut: QuerySet
  readonly #rejected = new Set<number>()
  #promoted: string | null = null
  #promotions = 0
  #broken = 0

  constructor(context: Context, heldOut: QuerySet) {
    this.#context = context
    this.#heldOut = heldOut
  }

  counts(): Pick<HistoryCounts, 'promotions' | 'broken' | 'refused'> {
    return {
      promotions: this.#promotions,
      broken: this.#broken,
      refused: this.#rejected.size,
    }
  }

  consider(history: readonly Trial[]): void {
    const { world } = this.#context
    const champion = championOf(
      world,
      history.filter(({ seq }) => !this.#rejected.has(seq)),
    )
    if (champion?.feasible !== true) return
    const { trial: best, point: at } = champion
    assert.ok(at.recallLcb >= world.floor && at.recallLcb <= at.recall && at.recall <= 1)
    assert.equal(best.state, 'completed')
    assert.notEqual(best.trialId, 'copy', 'the first of two records with one seq counts')
    const key = `${best.trialId} ${at.ef}`
    if (key === this.#promoted) return
    // What lies in the journal cannot lie here: the held-out queries are asked for the promotion.
    const probe = { config: best.config, ef: at.ef, set: this.#heldOut }
    if (measure(this.#context, probe).recallLcb < world.floor) {
      this.#rejected.add(best.seq)
      return
    }
    this.#promoted = key
    this.#promotions += 1
    if (trueRecall(world, best.config, at.ef) < world.floor - MARGIN) this.#broken += 1
  }
}

/** The proposal, after all that must hold for it was checked. */
function checkedProposal(world: World, history: readonly Trial[]): Proposal | null {
  const input = inputOf(world, history)
  const proposal = world.proposer.propose(input)
  const scrambled = structuredClone(history).map((one, i) => ({
    ...one,
    startedMs: -i * 1e12,
    finishedMs: 9e15 - i,
    leaseUntilMs: Number.NaN,
  }))
  const again = world.proposer.propose(inputOf(world, scrambled))
  assert.equal(JSON.stringify(again), JSON.stringify(proposal), 'same journal, same proposal')
  if (proposal === null || history.length === 0) return proposal
  const { bounds } = input
  const { m, efConstruction, efSearch } = proposal.config
  assert.ok(isWithin(m, bounds.m) && isWithin(efConstruction, bounds.efConstruction))
  assert.ok(efSearch === null || isWithin(efSearch, bounds.efSearch))
  const keys = history.map(({ config }) => pointKey(config, K))
  assert.ok(!keys.includes(pointKey(proposal.config, K)), 'no proposal twice')
  return proposal
}

function inputOf(world: World, history: readonly Trial[]): ProposalInput {
  return {
    history,
    len: history.length,
    champion: championOf(world, history)?.trial ?? null,
    current: HNSW_DEFAULTS,
    goal: world.floor,
    bounds: { ...DEFAULT_BOUNDS, efSearch: [10, 400] },
    options: { ...DEFAULT_OPTIONS, axes: ['ef_construction', 'ef_search', 'm'] },
  }
}

function championOf(world: World, history: readonly Trial[]): ReturnType<typeof chooseChampion> {
  const options = { goal: world.floor, current: HNSW_DEFAULTS, costNoise: 0.02 }
  return chooseChampion(history, { objective: 'slo', ...options })
}

function worldFrom(random: () => number, proposer: Proposer): World {
  const between = (low: number, high: number): number => low + random() * (high - low)
  const floors = [0.9, 0.95, 0.99]
  return {
    floor: floors[Math.floor(random() * floors.length)] ?? 0.9,
    queries: Math.round(between(200, 500)),
    spread: between(0, 2.5),
    graphSpread: between(0, 1),
    reach: { base: between(-1, 4), m: between(0.2, 1), efConstruction: between(0.05, 0.6) },
    reachEf: between(0.6, 1.6),
    costNoise: between(0, 0.4),
    proposer,
  }
}

function querySet(
  { queries, spread }: World,
  random: () => number,
  normal: () => number,
): QuerySet {
  const hardness = new Float64Array(queries * K)
  for (let query = 0; query < queries; query += 1) {
    const own = spread * normal()
    for (let i = 0; i < K; i += 1) {
      const u = Math.min(1 - 1e-12, Math.max(1e-12, random()))
      hardness[query * K + i] = own + Math.log(u / (1 - u))
    }
  }
  return hardness
}

function reachAt({ reach, reachEf }: World, { m, efConstruction }: HnswConfig, ef: number): number {
  return (
    reach.base +
    reach.m * Math.log2(m / 16) +
    reach.efConstruction * Math.log2(Math.max(m, efConstruction) / 200) +
    reachEf * Math.log2(ef / 10)
  )
}

interface Probe {
  readonly config: HnswConfig
  readonly ef: number
  readonly set: QuerySet
}

/** Mean recall on a set and its one-sided bound: Student's t over queries, with the binomial floor. */
function measure(
  { world, noise }: Context,
  { config, ef, set }: Probe,
): Pick<CurvePoint, 'recall' | 'recallLcb'> {
  const reached = reachAt(world, config, ef)
  const offset = config.m * 977 + config.efConstruction * 131
  let [sum, squares] = [0, 0]
  for (let query = 0; query < world.queries; query += 1) {
    let hits = 0
    for (let i = query * K; i < query * K + K; i += 1) {
      const own = world.graphSpread * (noise[(i + offset) & 4095] ?? 0)
      if ((set[i] ?? 0) + own < reached) hits += 1
    }
    sum += hits / K
    squares += (hits / K) ** 2
  }
  const recall = sum / world.queries
  const sample = Math.max(0, squares / world.queries - recall * recall)
  const variance = Math.max(sample, (recall * (1 - recall)) / K)
  return { recall, recallLcb: recall - (T_95 * Math.sqrt(variance)) / Math.sqrt(world.queries) }
}

/** Over all queries that there could be: the logistic curve smoothed by a normal, by quadrature. */
function trueRecall(world: World, config: HnswConfig, ef: number): number {
  const reached = reachAt(world, config, ef)
  const deviation = Math.hypot(world.spread, world.graphSpread)
  let [sum, weights] = [0, 0]
  for (let i = 0; i < GAUSS_NODES; i += 1) {
    const z = -5 + (10 * i) / (GAUSS_NODES - 1)
    const weight = Math.exp((-z * z) / 2)
    sum += weight / (1 + Math.exp(deviation * z - reached))
    weights += weight
  }
  return sum / weights
}

function measuredTrial(
  context: Context,
  { config, seq, tune }: { config: HnswConfig; seq: number; tune: QuerySet },
): Trial {
  const { world, random, normal } = context
  const efs = config.efSearch === null ? EFS : [...EFS, config.efSearch].sort((a, b) => a - b)
  const curve = efs.map((ef) => {
    const outlier = random() < 0.05 ? (random() < 0.5 ? 0.1 : 10) : 1
    const cost = ef ** 0.9 * Math.sqrt(config.m) * Math.exp(world.costNoise * normal()) * outlier
    return point({
      ef,
      queries: world.queries,
      cpuUs: cost,
      ...measure(context, { config, ef, set: tune }),
    })
  })
  return trial({ seq, config, curve })
}

/** A record that should not be in a journal. */
function poison(history: readonly Trial[], random: () => number): Trial {
  const seq = history.length
  const first = history[0] ?? trial({ seq, config: {} })
  const fresh = { m: 5, efConstruction: 11 + seq, efSearch: 10 }
  const lie = point({ ef: 10, recall: 0.999, recallLcb: 0.998, cpuUs: 0.001 })
  const kinds: readonly (() => Trial)[] = [
    () => trial({ seq, config: fresh, curve: [point({ ef: 10, recall: Number.NaN })] }),
    () => trial({ seq, config: fresh, curve: [point({ ef: 10, recall: 1.4 })] }),
    () => trial({ seq, config: fresh, curve: [point({ ef: 10, recall: 0.5, recallLcb: 0.99 })] }),
    () =>
      trial({
        seq,
        config: fresh,
        curve: [
          { ...lie, cpuUs: -1 },
          { ...lie, ef: 0.5 },
        ],
      }),
    () => trial({ seq, config: fresh, curve: [{ ...lie, cpuUs: Number.NaN }] }),
    () => trial({ seq, config: { m: 1e9, efConstruction: -3 }, curve: [lie] }),
    () => trial({ seq: Number.NaN, config: fresh, curve: [lie] }),
    () => ({ ...first, trialId: 'copy', curve: [lie] }),
    () => trial({ seq, config: fresh, curve: [lie], trialId: `lie-${seq}` }),
    () => trial({ seq, config: fresh, state: 'aborted', curve: [lie] }),
    () => trial({ seq, config: fresh, curve: [], build: null }),
  ]
  return (kinds[Math.floor(random() * kinds.length)] ?? (() => first))()
}

function normalFrom(random: () => number): () => number {
  return () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random())
}
