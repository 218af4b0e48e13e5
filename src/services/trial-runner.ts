/**
 * Runs one trial: a graph of the wanted configuration, built and measured by a builder.
 *
 *     begin (journal) ─▶ build, or load from the cache ─▶ solve ef on the tune queries ─▶ judge each
 *     boundary on the held-out ones ─▶ save the graph to the cache ─▶ finish (journal)
 *
 * ef is never guessed: the builder measures what `nextEf` asks for until the smallest ef of each goal
 * is known. A build that fails is a trial that failed, and counts; only cancelling ends it as aborted.
 */

import { randomBytes } from 'node:crypto'
import { cpus, hostname, loadavg } from 'node:os'
import { EF_MAX, efHint, NO_HINT, nextEf, solvedEf } from '../autotune/ef-solver.ts'
import { buildForecast } from '../autotune/build-forecast.ts'
import { predictedFileBytes } from '../autotune/search-space.ts'
import type { Builders, BuilderSession } from '../dataplane/builders.ts'
import type { HnswConfig } from '../domain/hnsw-config.ts'
import {
  canonicalKey,
  RECALL_GOALS,
  type Boundary,
  type CurvePoint,
  type Strategy,
  type Trial,
} from '../domain/trial.ts'
import type { GraphRef } from '../domain/checkpoint.ts'
import type { BuiltGraph, DatasetInfo } from '../domain/workbench.ts'
import { graphIdOf, type GraphCache } from '../indexes/graph-cache.ts'
import type { IndexMeta } from '../indexes/index-meta.ts'
import { onDataset } from '../indexes/rebuild.ts'
import type { ServedIndex } from '../indexes/served-index.ts'
import { isEmpty, isWeak, type EvalSet } from '../journal/eval-set.ts'
import type { EvalStore } from '../journal/eval-store.ts'
import type { NewTrial, TrialJournal } from '../journal/trial-journal.ts'
import { VectordError } from '../lib/errors.ts'
import { measureHalf } from './measured-half.ts'
import type { OperationControl } from './operation.ts'

/** A running trial whose server is gone is given up after this: the largest builds take an hour. */
const LEASE_MS = 4 * 3600 * 1000
/** A bracket of ef is halved until it is narrower than this share of its upper end. */
const EF_RESOLUTION = 0.05
const REASON_CHARS_MAX = 500

export interface TrialRequest {
  readonly index: string
  readonly config: HnswConfig
  readonly evalName: string
  /** Must be that of the eval set, where it is given. */
  readonly k: number | null
  readonly strategy: Strategy
  readonly explain: Readonly<Record<string, unknown>>
  readonly note: string | null
}

export interface TrialRunnerOptions {
  readonly builders: Pick<Builders, 'session'>
  readonly cache: GraphCache
  readonly journal: TrialJournal
  readonly evals: EvalStore
  /** @throws {VectordError} `index_not_found`. */
  readonly served: (index: string) => ServedIndex
  readonly engine: string
  readonly nowMs: () => number
  readonly onTrouble: (error: unknown, what: string) => void
}

/** What a trial has found so far. */
interface Findings {
  readonly built: BuiltGraph
  /** Of the graph file. */
  readonly bytes: number
  readonly curve: readonly CurvePoint[]
  readonly boundaries: readonly Boundary[]
}

interface Course {
  readonly request: TrialRequest
  readonly evalSet: EvalSet
  readonly index: ServedIndex
  readonly session: BuilderSession
  readonly control: OperationControl
}

export class TrialRunner {
  readonly #options: TrialRunnerOptions

  constructor(options: TrialRunnerOptions) {
    this.#options = options
  }

  /** To be told to whoever asks before the trial begins. */
  newTrialId(): string {
    return `t-${this.#options.nowMs().toString(36)}-${randomBytes(4).toString('hex')}`
  }

  /**
   * @returns the trial as it ended.
   * @throws {VectordError} `eval_not_found`, `not_configured` for an eval set of another index or
   *   shape or without queries, `index_not_found`, what keeps the index from serving; the reason of the signal.
   */
  async run(
    request: TrialRequest,
    control: OperationControl,
    trialId = this.newTrialId(),
  ): Promise<Trial> {
    const { builders, evals, served } = this.#options
    const index = served(request.index)
    const evalSet = usable(await evals.get(request.evalName), request, index.meta)
    const onProgress = ({ stage, fraction }: { stage: string; fraction: number }): void => {
      control.progress(stage, { done: Math.round(fraction * 100), total: 100 })
    }
    return onDataset(index, builders, { signal: control.signal, onProgress }, async (session) => {
      const course = { request, evalSet, index, session, control }
      return this.#journaled(course, trialId, await session.run('describe', {}))
    })
  }

  async #journaled(course: Course, trialId: string, info: DatasetInfo): Promise<Trial> {
    const { journal, nowMs } = this.#options
    const { config } = course.request
    const graphId = graphIdOf(info.fingerprint, config)
    const forecast = buildForecast(await journal.history(course.request.index, info.fingerprint))
    const predictedCpuS = forecast?.(config) ?? null
    const begun = await journal.begin(this.#newTrial(course, trialId, { info, graphId }))
    try {
      const found = await this.#measure(course, info, graphId)
      const reached = found.boundaries.some(({ ef }) => ef !== null)
      const ended: Trial = {
        ...begun,
        state: reached ? 'completed' : 'infeasible',
        reason: reached ? null : 'No ef within the bounds reaches the lowest goal.',
        build: {
          ...{ cpuS: found.built.cpuS, wallS: found.built.wallS, predictedCpuS },
          ...{ bytes: found.bytes, cached: !found.built.isNew },
        },
        ...{ curve: found.curve, boundaries: found.boundaries },
        ...{ finishedMs: nowMs(), leaseUntilMs: null },
      }
      await journal.finish(ended)
      return ended
    } catch (error) {
      const { signal } = course.control
      const reason = error instanceof Error ? error.message.slice(0, REASON_CHARS_MAX) : 'unknown'
      const state = signal.aborted ? 'aborted' : 'failed'
      const ended = { ...begun, state, reason, finishedMs: nowMs(), leaseUntilMs: null } as const
      await journal.finish(ended)
      if (signal.aborted) throw error
      this.#options.onTrouble(error, `trial ${trialId} of index "${begun.index}"`)
      return ended
    }
  }

  async #measure(course: Course, info: DatasetInfo, graphId: string): Promise<Findings> {
    const { request, session, evalSet, control } = course
    const { cache, journal } = this.#options
    const cached = await cache.find(request.index, graphId)
    const built = await session.run('build', { config: request.config, graphId, cached })
    const isKept = !built.isNew && cached !== null
    const kept = isKept ? cached : await this.#keep(course, graphId)
    const history = await journal.history(request.index, info.fingerprint)
    const curve = new Map<number, CurvePoint>()
    const measureEf = async (ef: number): Promise<void> => {
      control.signal.throwIfAborted()
      const [point] = await measureHalf(session, evalSet, evalSet.tune, { graphId, efs: [ef] })
      if (point !== undefined) curve.set(ef, point)
    }
    // What was proposed is measured as it is, whatever the curve says.
    const { efSearch } = request.config
    if (efSearch !== null) await measureEf(Math.max(efSearch, evalSet.k))
    for (const goal of RECALL_GOALS) {
      const hint = curve.size > 0 ? NO_HINT : efHint(history, request.config, goal)
      const plan = { k: evalSet.k, efMax: EF_MAX, goals: [goal], resolution: EF_RESOLUTION, hint }
      for (;;) {
        const ef = nextEf([...curve.values()], plan)
        if (ef === null) break
        await measureEf(ef)
      }
    }
    const ascending = [...curve.values()].sort((a, b) => a.ef - b.ef)
    const boundaries = await heldOut(course, graphId, ascending)
    const bytes =
      kept?.reduce((sum, { graph }) => sum + graph.bytes, 0) ??
      predictedFileBytes(request.config.m, info)
    return { built, bytes: Math.round(bytes), curve: ascending, boundaries }
  }

  async #keep({ request, session }: Course, graphId: string): Promise<readonly GraphRef[] | null> {
    const { cache, onTrouble } = this.#options
    try {
      const prefix = cache.prefixOf(request.index, graphId)
      const graphs = await session.run('save', { graphId, prefix })
      await cache.put(request.index, graphId, graphs)
      return graphs
    } catch (error) {
      // A graph that is not kept costs a build at its promotion, not the trial.
      onTrouble(error, `keep the graph of a trial of index "${request.index}"`)
      return null
    }
  }

  #newTrial(
    { request, evalSet, index }: Course,
    trialId: string,
    { info, graphId }: { readonly info: DatasetInfo; readonly graphId: string },
  ): NewTrial {
    const { nowMs, engine } = this.#options
    const startedMs = nowMs()
    const { config, strategy, explain, note } = request
    const { fingerprint, points, dimension } = info
    return {
      ...{ trialId, index: request.index, strategy, explain, config, graphId, note, startedMs },
      epoch: { fingerprint, points, dimension, metric: index.meta.metric },
      canonicalKey: canonicalKey(config),
      ...{ state: 'running', reason: null, build: null, curve: [], boundaries: [] },
      eval: {
        ...{ name: evalSet.name, lsn: evalSet.lsn, k: evalSet.k, weak: isWeak(evalSet) },
        tuneQueries: evalSet.tune.truth.length,
        heldOutQueries: evalSet.heldOut.truth.length,
      },
      environment: {
        ...{ host: hostname(), cpu: cpus()[0]?.model ?? 'unknown', node: process.version, engine },
        load1: loadavg()[0] ?? 0,
      },
      ...{ finishedMs: null, leaseUntilMs: startedMs + LEASE_MS },
    }
  }
}

/** The solved ef of each goal, judged on the queries that it was not solved on. */
async function heldOut(
  { session, evalSet }: Course,
  graphId: string,
  curve: readonly CurvePoint[],
): Promise<Boundary[]> {
  const solved = RECALL_GOALS.map((goal) => ({ goal, ef: solvedEf(curve, goal) }))
  const efs = [...new Set(solved.flatMap(({ ef }) => (ef === null ? [] : [ef])))]
  const points = await measureHalf(session, evalSet, evalSet.heldOut, { graphId, efs })
  return solved.map(({ goal, ef }) => ({
    ...{ goal, ef },
    cpuUs: curve.find((point) => point.ef === ef)?.cpuUs ?? null,
    heldOut: points.find((point) => point.ef === ef) ?? null,
  }))
}

function usable(
  evalSet: EvalSet,
  { index, evalName, k }: TrialRequest,
  { dimension, metric }: Pick<IndexMeta, 'dimension' | 'metric'>,
): EvalSet {
  if (k !== null && k !== evalSet.k) {
    throw new VectordError('bad_request', `The eval set "${evalName}" has k ${evalSet.k}.`, {
      details: { part: 'body', field: 'k', expected: evalSet.k },
    })
  }
  if (evalSet.index !== index) {
    throw new VectordError(
      'not_configured',
      `The eval set "${evalName}" is of index "${evalSet.index}".`,
      { details: { eval: evalName, index: evalSet.index } },
    )
  }
  if (evalSet.dimension !== dimension || evalSet.metric !== metric) {
    throw new VectordError(
      'not_configured',
      `The eval set "${evalName}" was made for an earlier index "${index}" of another shape.`,
      { details: { eval: evalName, index } },
    )
  }
  if (!isEmpty(evalSet)) return evalSet
  throw new VectordError('not_configured', `The eval set "${evalName}" has no queries yet.`, {
    details: { eval: evalName },
  })
}
