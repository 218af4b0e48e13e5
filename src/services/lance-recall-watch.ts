/**
 * Live recall of Lance indexes: a share of the searches is run again row by row, behind their backs.
 *
 *     search by an index of the vectors ─▶ one hash ─▶ waiting (few) ─▶ exact search of the same
 *                                                                       version ─▶ LiveRecall
 *
 * What was answered is compared, so nothing but the exact search is run again. What was measured is of
 * one revision of the index: other settings, another index of its vectors, start from nothing.
 */

import { LiveRecall } from '../autotune/live-recall.ts'
import { Sampler, SAMPLER_DEFAULTS, type TakenSample } from '../autotune/sampler.ts'
import { countHits } from '../domain/recall-sample.ts'
import type { ShardAnswer, ShardQuery } from '../domain/search.ts'
import type { LanceIndex } from '../indexes/lance-index.ts'
import { VectordError } from '../lib/errors.ts'
import { reportOf, type StratumReport } from './index-recall.ts'
import type { DropReason, RecallSettings } from './live-recall-watch.ts'
import type { RecallReport, RecallSummary } from './recall-report.ts'
import type { SearchObserver } from './search-observer.ts'

/** Taken queries that wait for those before them; more are dropped. */
const WAITING_MAX = 16
const SAMPLE_MS_MAX = 30_000
/** CPU milliseconds that a first sample is taken to cost. */
const COST_GUESS_MS = 20
/** Settings of before this was written down stand for LanceDB's default. */
const NPROBES_DEFAULT = 20
const NOTHING = { metadata: false, vector: false, text: false } as const

export interface LanceRecallWatchOptions {
  readonly settings: Pick<RecallSettings, 'sampleCpuShare' | 'maxSampleRate'> & {
    readonly goal: number
  }
  /** Null where there is no such Lance index. */
  readonly index: (name: string) => LanceIndex | null
  readonly nowMs: () => number
  readonly onTrouble: (error: unknown, what: string) => void
}

interface Watched {
  readonly index: LanceIndex
  readonly revision: number
  readonly live: LiveRecall
  eligible: number
  counted: number
}

interface Sampled {
  readonly name: string
  readonly query: ShardQuery & { readonly target: { readonly vector: Float32Array } }
  readonly answer: ShardAnswer
  readonly taken: TakenSample
}

export class LanceRecallWatch {
  readonly #options: LanceRecallWatchOptions
  readonly #sampler: Sampler
  readonly #watched = new Map<string, Watched>()
  readonly #waiting: Sampled[] = []
  readonly #dropped = new Map<DropReason, number>()
  #measuring: Promise<void> | null = null
  #workMs = 0
  #isClosed = false

  constructor(options: LanceRecallWatchOptions) {
    this.#options = options
    const { sampleCpuShare: cpuShare, maxSampleRate: rateMax } = options.settings
    const settings = { ...SAMPLER_DEFAULTS, cpuShare, rateMax }
    this.#sampler = new Sampler(settings, COST_GUESS_MS, options.nowMs())
  }

  /** Hears of every search; see `SearchObserver`. */
  readonly observe: SearchObserver = ({ index: name, requestId, query, answer }) => {
    if (this.#isClosed || answer === null || !isSampled(query, answer)) return
    const watched = this.#current(name)
    if (watched === null) return
    watched.eligible += 1
    const taken = this.#sampler.take(requestId, this.#options.nowMs())
    if (taken === null) return
    if (this.#waiting.length >= WAITING_MAX) {
      this.#drop('busy')
      return
    }
    this.#waiting.push({ name, query, answer, taken })
    this.#measuring ??= this.#measureAll().finally(() => {
      this.#measuring = null
    })
  }

  /** Seconds that samples took. */
  get workS(): number {
    return this.#workMs / 1000
  }

  /** Queries that were taken and not counted, by reason, since the start. */
  get dropped(): ReadonlyMap<DropReason, number> {
    return this.#dropped
  }

  /** Of every Lance index that was searched through an index of its vectors. */
  summaries(): readonly (RecallSummary & { readonly index: string })[] {
    return [...this.#watched.keys()].flatMap((name) => {
      const watched = this.#current(name)
      if (watched === null) return []
      const { live, counted } = watched
      const isAlarmed = [...live.strata().values()].some((monitor) => monitor.isAlarmed)
      const { goal } = this.#options.settings
      const main = (): StratumReport | null => this.#main(live)
      return [{ index: name, ef: null, samples: counted, goal, isAlarmed, main }]
    })
  }

  report(name: string): RecallReport {
    const { nowMs, settings } = this.#options
    const watched = this.#current(name)
    const live = watched?.live ?? new LiveRecall(settings.goal, 0)
    const counted = watched?.counted ?? 0
    return {
      ...{ generation: null, ef: null, efSource: 'default', samples: counted },
      sampledShare: Math.min(1, counted / Math.max(1, watched?.eligible ?? 0)),
      slo: live.slo(nowMs()),
      strata: this.#strata(live),
    }
  }

  /** Takes no more samples, and waits for the one under way. */
  async close(): Promise<void> {
    this.#isClosed = true
    this.#waiting.length = 0
    await this.#measuring
  }

  async #measureAll(): Promise<void> {
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) {
      try {
        await this.#measure(next)
      } catch (error) {
        this.#drop(error instanceof VectordError ? 'refused' : 'failed')
        if (error instanceof VectordError) continue
        this.#options.onTrouble(error, `measure a search of index "${next.name}"`)
      }
    }
  }

  async #measure({ name, query, answer, taken }: Sampled): Promise<void> {
    const watched = this.#current(name)
    if (watched === null) {
      this.#drop('moved')
      return
    }
    const { nowMs } = this.#options
    const { table, appliedLsn } = watched.index
    const bounds = { deadlineMs: nowMs() + SAMPLE_MS_MAX }
    const { vector } = query.target
    const truth = await table.search(
      {
        ...{ vector, k: query.k, exact: true, filter: query.filter, include: NOTHING },
        ...{ asOf: appliedLsn === answer.lsn ? null : answer.lsn },
        ...{ nprobes: null, refineFactor: null, ef: null },
      },
      bounds,
    )
    const selectivity = await this.#selectivity(watched.index, query.filter, bounds)
    this.#sampler.took(taken, truth.tookUs / 1000)
    this.#workMs += truth.tookUs / 1000
    if (truth.version !== answer.lsn || this.#current(name) !== watched) {
      this.#drop('moved')
      return
    }
    const distances = truth.hits.map(({ distance }) => distance)
    const servedEf = watched.index.settings.nprobes ?? NPROBES_DEFAULT
    const fate = watched.live.add({
      ...{ generation: watched.live.generation, k: query.k, expected: distances.length },
      ...{ selectivity, servedEf, atMs: nowMs() },
      rungs: [{ ef: servedEf, hits: hitsOf(watched.index, answer, truth.hits) }],
      ...{ firstDistance: distances[0] ?? 0, lastDistance: distances.at(-1) ?? 0 },
    })
    if (fate === 'counted') watched.counted += 1
    else this.#drop('nothing_to_find')
  }

  async #selectivity(
    { table, info }: LanceIndex,
    filter: string | null,
    bounds: { readonly deadlineMs: number },
  ): Promise<number> {
    if (filter === null) return 1
    const { count } = await table.count(filter, bounds)
    // 1 stands for searches without a filter.
    return Math.min(0.999, count / Math.max(1, info.stats?.livePoints ?? 1))
  }

  /** The index as it is now, watched anew where what was measured is of something else. */
  #current(name: string): Watched | null {
    const index = this.#options.index(name)
    if (index === null) {
      this.#watched.delete(name)
      return null
    }
    const { revision } = index.info
    const known = this.#watched.get(name)
    if (known?.index === index && known.revision === revision) return known
    const live = new LiveRecall(this.#options.settings.goal, revision)
    const watched = { index, revision, live, eligible: 0, counted: 0 }
    this.#watched.set(name, watched)
    return watched
  }

  #strata(live: LiveRecall): StratumReport[] {
    const nowMs = this.#options.nowMs()
    return [...live.strata()].flatMap(([name, monitor]) => reportOf({ name, monitor }, nowMs) ?? [])
  }

  /** The busiest one. */
  #main(live: LiveRecall): StratumReport | null {
    return this.#strata(live).toSorted((a, b) => b.samples - a.samples)[0] ?? null
  }

  #drop(reason: DropReason): void {
    this.#dropped.set(reason, (this.#dropped.get(reason) ?? 0) + 1)
  }
}

function isSampled(query: ShardQuery, { path }: ShardAnswer): query is Sampled['query'] {
  const isIvf = path === 'ivf' || path === 'ivf_filtered'
  return isIvf && query.ef === null && 'vector' in query.target
}

/** Only distances that were refined are exact, and tell ties. */
function hitsOf(
  { settings }: LanceIndex,
  answer: ShardAnswer,
  truth: readonly { readonly id: string; readonly distance: number }[],
): number {
  const ids = new Set(truth.map(({ id }) => id))
  if (settings.refineFactor === null) return answer.hits.filter(({ id }) => ids.has(id)).length
  const found = answer.hits.map(({ distance }) => distance)
  return countHits(
    found,
    truth.map(({ distance }) => distance),
  )
}
