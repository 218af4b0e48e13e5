/**
 * Steps around the champion, and now and then anywhere: the epsilon-greedy strategy.
 *
 * Random numbers come from splitmix32(len, seedSalt), drawn in this order, which is part of the
 * format of journals:
 *
 *     u_explore, then for each attempt: efConstruction, efSearch, and m where it is an axis
 *
 *     len = 0         the configuration that is served, also where it lies outside of the bounds
 *     u < epsilon     every axis uniform over its bounds
 *     else            every axis moves: efConstruction and efSearch by 1 to delta up or down, m by
 *                     -1, 0 or 1 step of the lattice; then they are clamped to the bounds
 *
 * A point that the history holds is drawn again, 64 times at most; steps double every 16 attempts.
 * After that the first point that was not tried, in rings around the champion; then null.
 */

import { defaultEf, type HnswConfig } from '../domain/hnsw-config.ts'
import { splitmix32 } from '../lib/splitmix32.ts'
import { reachOf, soundHistory } from './measured-trial.ts'
import type { Proposal, ProposalInput, Proposer } from './proposer.ts'
import {
  canonical,
  clamp,
  isWithin,
  pointKey,
  type Range,
  type SearchBounds,
} from './search-space.ts'

const ATTEMPTS_MAX = 64
const ATTEMPTS_PER_DOUBLING = 16

interface Center {
  readonly config: HnswConfig
  readonly efSearch: number
  readonly efSource: 'proposed' | 'boundary' | 'current' | 'default'
}

interface Step {
  readonly config: HnswConfig
  readonly mode: 'explore' | 'exploit' | 'scan'
  readonly attempts: number
}

export const epsilonProposer: Proposer = {
  propose(input: ProposalInput): Proposal | null {
    const { len, current, champion, bounds, options } = input
    const center = centerOf(input)
    const facts = {
      len,
      rng_seed: len,
      seed_salt: options.seedSalt,
      champion_trial_id: champion?.trialId ?? null,
      ef_source: center.efSource,
      bounds: boundsFacts(bounds),
      deltas: {
        ef_construction: options.deltaEfConstruction,
        ef_search: options.deltaEfSearch,
      },
    }
    if (len === 0) {
      const config = { ...current, efSearch: current.efSearch ?? defaultEf(options.k) }
      return {
        config: canonical(config, options.k),
        explain: { mode: 'baseline', ...facts, attempts: 0 },
      }
    }
    const step = nextStep(input, center)
    if (step === null) return null
    const { config, mode, attempts } = step
    return { config, explain: { mode, ...facts, attempts } }
  },
}

/** What the steps start from: the champion, or what is served where there is none. */
function centerOf({ champion, current, goal, options }: ProposalInput): Center {
  const served: Center =
    current.efSearch === null
      ? { config: current, efSearch: defaultEf(options.k), efSource: 'default' }
      : { config: current, efSearch: current.efSearch, efSource: 'current' }
  if (champion === null) return served
  const { config } = champion
  const reach = reachOf(champion, goal)
  if (reach !== null && (options.efSource === 'boundary' || config.efSearch === null)) {
    return { config, efSearch: reach.ef, efSource: 'boundary' }
  }
  if (config.efSearch === null) return { ...served, config }
  return { config, efSearch: config.efSearch, efSource: 'proposed' }
}

function nextStep(input: ProposalInput, center: Center): Step | null {
  const { history, len, options } = input
  const tried = new Set(soundHistory(history).map(({ config }) => pointKey(config, options.k)))
  const isNew = (config: HnswConfig): boolean => !tried.has(pointKey(config, options.k))
  const random = splitmix32(len, options.seedSalt)
  const mode = random() < options.epsilon ? 'explore' : 'exploit'
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt += 1) {
    const scale = 2 ** Math.floor(attempt / ATTEMPTS_PER_DOUBLING)
    const drawn =
      mode === 'explore' ? anywhere(input, random) : nearby(input, center, { random, scale })
    const config = canonical({ ...center.config, ...drawn }, options.k)
    if (isAllowed(config, input) && isNew(config)) return { config, mode, attempts: attempt + 1 }
  }
  for (const point of rings(input, center)) {
    const config = canonical({ ...center.config, ...point }, options.k)
    if (isAllowed(config, input) && isNew(config)) {
      return { config, mode: 'scan', attempts: ATTEMPTS_MAX }
    }
  }
  return null
}

type Point = Pick<HnswConfig, 'm' | 'efConstruction' | 'efSearch'>

function anywhere({ bounds, options, ...input }: ProposalInput, random: () => number): Point {
  const uniform = ([low, high]: Range): number => low + Math.floor(random() * (high - low + 1))
  const efConstruction = uniform(bounds.efConstruction)
  const efSearch = uniform(bounds.efSearch)
  const ms = mSteps(bounds, options.lattice.m)
  const isAxis = options.axes.includes('m') && ms.length > 0
  const m = isAxis ? ms[Math.floor(random() * ms.length)] : undefined
  return { m: m ?? fixedM(input), efConstruction, efSearch }
}

function nearby(
  { bounds, options }: ProposalInput,
  { config, efSearch }: Center,
  { random, scale }: { readonly random: () => number; readonly scale: number },
): Point {
  const move = (from: number, delta: number, range: Range): number => {
    const i = Math.floor(random() * 2 * delta)
    return clamp(from + (i < delta ? i - delta : i - delta + 1), range)
  }
  return {
    efConstruction: move(
      config.efConstruction,
      options.deltaEfConstruction * scale,
      bounds.efConstruction,
    ),
    efSearch: move(efSearch, options.deltaEfSearch * scale, bounds.efSearch),
    m: options.axes.includes('m')
      ? stepM(config.m, Math.floor(random() * 3) - 1, mSteps(bounds, options.lattice.m))
      : config.m,
  }
}

function fixedM({ champion, current }: Pick<ProposalInput, 'champion' | 'current'>): number {
  return champion?.config.m ?? current.m
}

function mSteps({ m }: SearchBounds, lattice: readonly number[]): number[] {
  return lattice.filter((value) => isWithin(value, m))
}

function stepM(from: number, step: number, steps: readonly number[]): number {
  const at = steps.findIndex((value) => value >= from)
  const i = at < 0 ? steps.length - 1 : at
  return steps[clamp(i + step, [0, steps.length - 1])] ?? from
}

/** Raising efConstruction to m may lead out of the bounds, and so does k for ef. */
function isAllowed({ efConstruction, efSearch }: HnswConfig, { bounds }: ProposalInput): boolean {
  return (
    isWithin(efConstruction, bounds.efConstruction) &&
    (efSearch === null || isWithin(efSearch, bounds.efSearch))
  )
}

/** Every point within the bounds once, nearest ring first; within a ring in ascending order. */
function* rings({ bounds, options }: ProposalInput, center: Center): Generator<Point> {
  const { efConstruction, efSearch } = bounds
  const at = {
    efConstruction: clamp(center.config.efConstruction, efConstruction),
    efSearch: clamp(center.efSearch, efSearch),
  }
  const ms = options.axes.includes('m') ? mSteps(bounds, options.lattice.m) : [center.config.m]
  const last = Math.max(span(at.efConstruction, efConstruction), span(at.efSearch, efSearch))
  for (let radius = 0; radius <= last; radius += 1) {
    for (const x of between(at.efConstruction, radius, efConstruction)) {
      const isSide = Math.abs(x - at.efConstruction) === radius
      const ys = between(at.efSearch, radius, efSearch)
      const ring = ys.filter((y) => isSide || Math.abs(y - at.efSearch) === radius)
      for (const y of ring) yield* ms.map((m) => ({ m, efConstruction: x, efSearch: y }))
    }
  }
}

function span(from: number, [low, high]: Range): number {
  return Math.max(from - low, high - from)
}

function between(from: number, radius: number, [low, high]: Range): number[] {
  const first = Math.max(low, from - radius)
  return Array.from({ length: Math.min(high, from + radius) - first + 1 }, (_, i) => first + i)
}

function boundsFacts({ m, efConstruction, efSearch }: SearchBounds): Record<string, Range> {
  return { m, ef_construction: efConstruction, ef_search: efSearch }
}
