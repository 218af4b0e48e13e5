/**
 * A trial as JSON: a line of the journal, and what the API answers.
 *
 * Whatever is read was checked field by field: a bad number in the journal must not become a
 * promotion. The same check runs before a trial is written, so nothing is stored that is not read.
 */

import type { Json, JsonObject } from '../buckets/revision-codec.ts'
import { configToJson, HNSW_BOUNDS, type HnswConfig } from '../domain/hnsw-config.ts'
import { METRICS } from '../domain/metric.ts'
import {
  type Boundary,
  canonicalKey,
  type CurvePoint,
  type DatasetEpoch,
  STRATEGIES,
  type Trial,
  TRIAL_STATES,
  type TrialBuild,
  type TrialEnvironment,
  type TrialEval,
} from '../domain/trial.ts'
import {
  corruptField,
  fieldsOf,
  isBoolean,
  isIntegerIn,
  isListOf,
  isNumberIn,
  isObject,
  isOneOf,
  isText,
  isTime,
  orNull,
} from './json-fields.ts'

/** Points of one curve: more than any ladder of ef with its bisections has. */
const CURVE_MAX = 256
const BOUNDARIES_MAX = 16

/** UTF-16 units: `explain` as JSON text, and every other text. */
const EXPLAIN_MAX = 16_384
const TEXT_MAX = 4096

const isId = isText(128, 1)
const isWord = isText(TEXT_MAX)
const isCount = isIntegerIn(0)
const isShare = isNumberIn(0, 1)
const isAmount = isNumberIn(0, Number.MAX_VALUE)
const isEf = isIntegerIn(...HNSW_BOUNDS.efSearch)

export function trialToJson(trial: Trial): JsonObject {
  const { seq, index, strategy, state, reason, note, finishedMs, leaseUntilMs } = trial
  return {
    seq,
    trial_id: trial.trialId,
    index,
    epoch: { ...trial.epoch },
    strategy,
    // Whatever the proposer says is JSON already, or what JSON makes of it.
    explain: JSON.parse(JSON.stringify(trial.explain)) as JsonObject,
    config: configToJson(trial.config),
    canonical_key: trial.canonicalKey,
    graph_id: trial.graphId,
    ...{ state, reason },
    build: trial.build === null ? null : buildToJson(trial.build),
    curve: trial.curve.map(pointToJson),
    boundaries: trial.boundaries.map(boundaryToJson),
    eval: evalToJson(trial.eval),
    environment: { ...trial.environment },
    note,
    started_at: toTime(trial.startedMs),
    finished_at: finishedMs === null ? null : toTime(finishedMs),
    lease_until: leaseUntilMs === null ? null : toTime(leaseUntilMs),
  }
}

/** @throws {VectordError} `object_corrupt` naming the field; also for a trial of another index. */
export function trialFromJson(index: string, json: unknown): Trial {
  const field = fieldsOf('trial', json)
  const optionalTime = (name: string): number | null => {
    const time = field(name, orNull(isTime))
    return time === null ? null : Date.parse(time)
  }
  const trial: Trial = {
    seq: field('seq', isIntegerIn(1)),
    trialId: field('trial_id', isId),
    index: field('index', (value): value is string => value === index),
    epoch: epochFromJson(field('epoch', isObject)),
    strategy: field('strategy', isOneOf(STRATEGIES)),
    explain: field('explain', isExplanation),
    config: configFromJson(field('config', isObject)),
    canonicalKey: field('canonical_key', isId),
    graphId: field('graph_id', orNull(isId)),
    state: field('state', isOneOf(TRIAL_STATES)),
    reason: field('reason', orNull(isWord)),
    build: orNullFrom(field('build', orNull(isObject)), buildFromJson),
    curve: field('curve', isListOf(isObject, CURVE_MAX)).map(pointFromJson),
    boundaries: field('boundaries', isListOf(isObject, BOUNDARIES_MAX)).map(boundaryFromJson),
    eval: evalFromJson(field('eval', isObject)),
    environment: environmentFromJson(field('environment', isObject)),
    note: field('note', orNull(isWord)),
    startedMs: Date.parse(field('started_at', isTime)),
    finishedMs: optionalTime('finished_at'),
    leaseUntilMs: optionalTime('lease_until'),
  }
  checkTogether(trial)
  return trial
}

/** What no single field shows. */
function checkTogether({ state, finishedMs, config, canonicalKey: key, curve }: Trial): void {
  if ((state === 'running') !== (finishedMs === null)) throw corruptField('trial', 'finished_at')
  if (key !== canonicalKey(config)) throw corruptField('trial', 'canonical_key')
  const ascends = curve.every(({ ef }, i) => i === 0 || ef > (curve[i - 1]?.ef ?? 0))
  if (!ascends) throw corruptField('trial', 'curve')
}

function isExplanation(value: unknown): value is JsonObject {
  return isObject(value) && JSON.stringify(value).length <= EXPLAIN_MAX
}

function epochFromJson(json: JsonObject): DatasetEpoch {
  const field = fieldsOf('epoch of a trial', json)
  return {
    fingerprint: field('fingerprint', isId),
    points: field('points', isCount),
    dimension: field('dimension', isIntegerIn(1)),
    metric: field('metric', isOneOf(METRICS)),
  }
}

function configFromJson(json: JsonObject): HnswConfig {
  const field = fieldsOf('config of a trial', json)
  return {
    m: field('m', isIntegerIn(...HNSW_BOUNDS.m)),
    efConstruction: field('ef_construction', isIntegerIn(...HNSW_BOUNDS.efConstruction)),
    efSearch: field('ef_search', orNull(isEf)),
    seed: field('seed', isIntegerIn(...HNSW_BOUNDS.seed)),
  }
}

function buildToJson({ cpuS, wallS, bytes, predictedCpuS, cached }: TrialBuild): JsonObject {
  return { cpu_s: cpuS, wall_s: wallS, bytes, predicted_cpu_s: predictedCpuS, cached }
}

function buildFromJson(json: JsonObject): TrialBuild {
  const field = fieldsOf('build of a trial', json)
  return {
    cpuS: field('cpu_s', isAmount),
    wallS: field('wall_s', isAmount),
    bytes: field('bytes', isCount),
    predictedCpuS: field('predicted_cpu_s', orNull(isAmount)),
    cached: field('cached', isBoolean),
  }
}

function pointToJson(point: CurvePoint): JsonObject {
  const { ef, queries, recall, recallLcb, p10, cpuUs, p50Us, p95Us, p99Us } = point
  return {
    ...{ ef, queries, recall, recall_lcb: recallLcb, p10 },
    ...{ cpu_us: cpuUs, p50_us: p50Us, p95_us: p95Us, p99_us: p99Us },
  }
}

function pointFromJson(json: JsonObject): CurvePoint {
  const field = fieldsOf('curve of a trial', json)
  const recall = field('recall', isShare)
  return {
    ef: field('ef', isEf),
    queries: field('queries', isIntegerIn(1)),
    recall,
    recallLcb: field('recall_lcb', isNumberIn(0, recall)),
    p10: field('p10', isShare),
    cpuUs: field('cpu_us', isAmount),
    p50Us: field('p50_us', isAmount),
    p95Us: field('p95_us', isAmount),
    p99Us: field('p99_us', isAmount),
  }
}

export function boundaryToJson({ goal, ef, cpuUs, heldOut }: Boundary): JsonObject {
  const held: Json = heldOut === null ? null : pointToJson(heldOut)
  return { goal, ef, cpu_us: cpuUs, held_out: held }
}

function boundaryFromJson(json: JsonObject): Boundary {
  const field = fieldsOf('boundary of a trial', json)
  return {
    goal: field('goal', isShare),
    ef: field('ef', orNull(isEf)),
    cpuUs: field('cpu_us', orNull(isAmount)),
    heldOut: orNullFrom(field('held_out', orNull(isObject)), pointFromJson),
  }
}

function evalToJson({ name, lsn, k, weak, ...queries }: TrialEval): JsonObject {
  return {
    ...{ name, lsn, k },
    tune_queries: queries.tuneQueries,
    held_out_queries: queries.heldOutQueries,
    weak,
  }
}

function evalFromJson(json: JsonObject): TrialEval {
  const field = fieldsOf('eval set of a trial', json)
  return {
    name: field('name', isId),
    lsn: field('lsn', isCount),
    k: field('k', isIntegerIn(1)),
    tuneQueries: field('tune_queries', isCount),
    heldOutQueries: field('held_out_queries', isCount),
    weak: field('weak', isBoolean),
  }
}

function environmentFromJson(json: JsonObject): TrialEnvironment {
  const field = fieldsOf('environment of a trial', json)
  return {
    host: field('host', isWord),
    cpu: field('cpu', isWord),
    node: field('node', isWord),
    engine: field('engine', isWord),
    load1: field('load1', isAmount),
  }
}

function orNullFrom<T>(json: JsonObject | null, from: (json: JsonObject) => T): T | null {
  return json === null ? null : from(json)
}

function toTime(ms: number): string {
  return new Date(ms).toISOString()
}
