/**
 * What was measured of one index, on one generation with one configuration and for one goal.
 *
 *     query ─▶ plan: the ef in use and those around it ─▶ sample ─▶ stratum of live recall
 *
 * Searches that name their own ef are not sampled: their recall is their choice, and is not what the
 * goal is about. Where the server chooses ef by k, the efs here are those of `REFERENCE_K` neighbours,
 * and each query is run with its own in proportion (`steering.ts`).
 */

import { ladderOf } from '../autotune/ef-ladder.ts'
import {
  LiveRecall,
  SAMPLES_MIN,
  stratumOf,
  type RecallSlo,
  type StratumMonitor,
} from '../autotune/live-recall.ts'
import type { EfEstimate } from '../autotune/recall-window.ts'
import { countHits, type RecallSample, type SampleRequest } from '../domain/recall-sample.ts'
import type { ShardAnswer, ShardQuery } from '../domain/search.ts'
import type { ServedIndex } from '../indexes/served-index.ts'
import type { Steering } from '../indexes/steering.ts'
import type { EfAnchor } from './live-ef-store.ts'

/** An index as its watch needs it. */
export interface WatchedIndex extends Pick<ServedIndex, 'info' | 'sample'> {
  readonly meta: Pick<ServedIndex['meta'], 'incarnation'>
  readonly steering: Pick<Steering, 'anchorEf' | 'config' | 'efFor' | 'liveEf' | 'useLiveEf'>
}

/** What becomes of a sample that was measured. */
export type MeasuredFate = 'counted' | 'nothing_to_find' | 'moved'

export interface SamplePlan {
  readonly query: SampledQuery
  readonly request: SampleRequest
  readonly servedEf: number
  /** The efs that the probes stand for, in their order. */
  readonly efs: readonly number[]
}

export interface Stratum {
  readonly name: string
  readonly monitor: StratumMonitor
}

export interface StratumReport {
  readonly kBucket: string
  readonly filterBucket: string
  /** Samples that `recall` and its bounds rest on: those since the ef last changed. */
  readonly samples: number
  readonly recall: number
  /** Holds at every moment at once. */
  readonly interval: readonly [number, number]
  /** One-sided, 95 %, of the window: what decisions rest on. */
  readonly lcb: number | null
  readonly status: RecallSlo['status']
  readonly isAlarmed: boolean
  readonly ef: number
}

/** A search whose recall is ours to hold, by vector. */
export type SampledQuery = ShardQuery & { readonly target: { readonly vector: Float32Array } }

const NOTHING = { metadata: false, vector: false, text: false } as const
const UNFILTERED = 'selectivity=1'

export function isSampled(query: ShardQuery, answer: ShardAnswer): query is SampledQuery {
  return answer.path !== 'exact' && !query.exact && query.ef === null && 'vector' in query.target
}

/** Null while the index does not serve. */
export function anchorOf({ info, meta, steering }: WatchedIndex): EfAnchor | null {
  if (info.stats === null) return null
  const { hnsw, source } = steering.config
  const { generation } = info.stats
  return { incarnation: meta.incarnation, generation, source, configuredEf: hnsw.efSearch }
}

/** The ef of searches that name none. */
export function efInUse({ steering }: WatchedIndex): number {
  return steering.liveEf ?? steering.anchorEf
}

export interface IndexRecallOptions {
  readonly generation: number
  readonly goal: number
  readonly efMax: number
}

export class IndexRecall {
  readonly goal: number
  readonly #generation: number
  readonly #efMax: number
  readonly #live: LiveRecall
  /** The largest k of each stratum. */
  readonly #largestK = new Map<string, number>()
  #counted = 0

  constructor({ generation, goal, efMax }: IndexRecallOptions) {
    this.goal = goal
    this.#generation = generation
    this.#efMax = efMax
    this.#live = new LiveRecall(goal, generation)
  }

  get counted(): number {
    return this.#counted
  }

  /** How a query is to be run again. */
  plan(index: WatchedIndex, query: SampledQuery): SamplePlan {
    const servedEf = efInUse(index)
    const bounds = { efMin: efMinOf(index, query.k), efMax: this.#efMax }
    const efs = ladderOf(servedEf, bounds)
    const generation = this.#generation
    const probes = efs.map((ef) => ({ generation, ef: index.steering.efFor(query.k, ef) }))
    return { query, request: { query: { ...query, include: NOTHING }, probes }, servedEf, efs }
  }

  /** @param index as it is now: of what serves no more nothing is counted. */
  add(index: WatchedIndex, plan: SamplePlan, sample: RecallSample, atMs: number): MeasuredFate {
    if (sample.generation !== this.#generation || efInUse(index) !== plan.servedEf) return 'moved'
    const { k } = plan.query
    const { distances } = sample.truth
    const selectivity =
      plan.query.filter === null ? 1 : sample.matching / Math.max(1, sample.livePoints)
    const measured = {
      ...{ generation: sample.generation, k, expected: distances.length, selectivity },
      servedEf: plan.servedEf,
      rungs: plan.efs.map((ef, i) => {
        return { ef, hits: countHits(sample.probes[i]?.distances ?? [], distances) }
      }),
      ...{ firstDistance: distances[0] ?? 0, lastDistance: distances.at(-1) ?? 0, atMs },
    }
    if (this.#live.add(measured) !== 'counted') return 'nothing_to_find'
    const stratum = stratumOf(measured)
    this.#largestK.set(stratum, Math.max(k, this.#largestK.get(stratum) ?? 0))
    this.#counted += 1
    return 'counted'
  }

  /**
   * The stratum that the one live ef follows: the busiest without a filter, since filtered searches
   * widen theirs by themselves; the busiest of all where every search has one.
   */
  main(): Stratum | null {
    const all = [...this.#live.strata()].map(([name, monitor]) => ({ name, monitor }))
    const unfiltered = all.filter(({ name }) => name.endsWith(UNFILTERED))
    const busiest = (strata: readonly Stratum[]): Stratum | null =>
      strata.toSorted((a, b) => b.monitor.seen - a.monitor.seen)[0] ?? null
    return busiest(unfiltered) ?? busiest(all)
  }

  /** The smallest ef that its searches can be run with. */
  efMin(index: WatchedIndex, stratum: Stratum | null): number {
    return efMinOf(index, this.#largestK.get(stratum?.name ?? '') ?? 1)
  }

  /** Of the index as a whole: as good as its worst stratum that is known. */
  slo(nowMs: number): RecallSlo {
    return this.#live.slo(nowMs)
  }

  get isAlarmed(): boolean {
    return [...this.#live.strata().values()].some((monitor) => monitor.isAlarmed)
  }

  /** To be called when the ef that is served was changed because of what was found here. */
  efChanged(): void {
    for (const monitor of this.#live.strata().values()) monitor.efChanged()
  }

  /** Recall at the efs around the one in use, of a stratum. */
  curve(index: WatchedIndex, stratum: Stratum, nowMs: number): readonly EfEstimate[] {
    const bounds = { efMin: this.efMin(index, stratum), efMax: this.#efMax }
    return stratum.monitor.curve(ladderOf(efInUse(index), bounds), nowMs)
  }

  strata(nowMs: number): readonly StratumReport[] {
    return [...this.#live.strata()].flatMap(([name, monitor]) => {
      return reportOf({ name, monitor }, nowMs) ?? []
    })
  }
}

/** Null before a first sample was counted at the ef that it was served with. */
export function reportOf({ name, monitor }: Stratum, nowMs: number): StratumReport | null {
  const interval = monitor.interval()
  const ef = monitor.servedEf
  if (interval === null || ef === null) return null
  const [estimate] = monitor.curve([ef], nowMs)
  const isKnown = estimate !== undefined && estimate.samples >= SAMPLES_MIN
  return {
    ...bucketsOf(name),
    samples: interval.samples,
    recall: interval.mean,
    interval: [interval.lower, interval.upper],
    lcb: isKnown ? estimate.lcb : null,
    status: monitor.slo(nowMs).status,
    isAlarmed: monitor.isAlarmed,
    ef,
  }
}

export function bucketsOf(stratum: string): Pick<StratumReport, 'kBucket' | 'filterBucket'> {
  const [kBucket = '', filterBucket = ''] = stratum.split(',').map((part) => part.split('=')[1])
  return { kBucket, filterBucket }
}

/** The smallest ef that stands for at least k candidates. */
function efMinOf({ steering }: WatchedIndex, k: number): number {
  // In proportion or as it is, both ways: one candidate stands for `efFor(k, anchor) / anchor`.
  return Math.ceil((k * steering.anchorEf) / steering.efFor(k, steering.anchorEf))
}
