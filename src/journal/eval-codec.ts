/**
 * An eval set as an object: JSON with a checksum over its bytes, queries as base64 of little-endian
 * float32, row by row. See docs/formats/evals.md.
 */

import { corruptObject, type JsonObject, openSealedJson, sealJson } from '../buckets/sealed-json.ts'
import { METRICS } from '../domain/metric.ts'
import { hasCode } from '../lib/errors.ts'
import { EVAL_SOURCES, type EvalHalf, type EvalSet, isWeak, QUERIES_MAX } from './eval-set.ts'
import {
  corruptField,
  fieldsOf,
  isIntegerIn,
  isListOf,
  isObject,
  isOneOf,
  isText,
  isTime,
  orNull,
} from './json-fields.ts'
import type { QueryTruth } from './truth-source.ts'

const EVAL_FORMAT = 1

const K_MAX = 65_535
const DIMENSION_MAX = 65_536
const ID_MAX = 65_536
const BASE64_MAX = 2 ** 29

export function encodeEvalSet(set: EvalSet): Uint8Array {
  const { name, index, k, metric, dimension, source, seed, lsn, points, createdMs } = set
  const fields: JsonObject = {
    format: EVAL_FORMAT,
    ...{ name, index, k, metric, dimension, source, seed, lsn, points, weak: isWeak(set) },
    created_at: new Date(createdMs).toISOString(),
    tune: halfToJson(set.tune),
    held_out: halfToJson(set.heldOut),
  }
  return sealJson(fields, 0)
}

/**
 * @throws {VectordError} `object_corrupt` where anything is not as it was written, `format_too_new`.
 */
export function decodeEvalSet(key: string, body: Uint8Array): EvalSet {
  const json = openSealedJson(key, body, EVAL_FORMAT)
  try {
    return evalSetFromJson(json)
  } catch (error) {
    if (!hasCode(error, 'object_corrupt')) throw error
    throw corruptObject(key, error.message.replace(/\.$/, ''))
  }
}

function evalSetFromJson(json: JsonObject): EvalSet {
  const field = fieldsOf('eval set', json)
  const shape = {
    k: field('k', isIntegerIn(1, K_MAX)),
    dimension: field('dimension', isIntegerIn(1, DIMENSION_MAX)),
  }
  return {
    ...shape,
    name: field('name', isText(128, 1)),
    index: field('index', isText(128, 1)),
    metric: field('metric', isOneOf(METRICS)),
    source: field('source', orNull(isOneOf(EVAL_SOURCES))),
    seed: field('seed', isIntegerIn(0)),
    lsn: field('lsn', isIntegerIn(0)),
    points: field('points', isIntegerIn(0)),
    createdMs: Date.parse(field('created_at', isTime)),
    tune: halfFromJson(field('tune', isObject), shape),
    heldOut: halfFromJson(field('held_out', isObject), shape),
  }
}

function halfToJson({ queries, truth, selfIds }: EvalHalf): JsonObject {
  return {
    queries: toBase64(queries),
    truth: truth.map(({ ids }) => ids),
    distances: truth.map(({ distances }) => distances),
    self_ids: selfIds,
  }
}

function halfFromJson(
  json: JsonObject,
  { k, dimension }: { readonly k: number; readonly dimension: number },
): EvalHalf {
  const field = fieldsOf('half of an eval set', json)
  const queries = fromBase64(field('queries', isText(BASE64_MAX)))
  const ids = field('truth', isListOf(isListOf(isText(ID_MAX, 1), k), QUERIES_MAX))
  const distances = field('distances', isListOf(isListOf(isDistance, k), QUERIES_MAX))
  const selfIds = field('self_ids', isListOf(orNull(isText(ID_MAX, 1)), QUERIES_MAX))
  const truth = ids.map((row, i): QueryTruth => ({ ids: row, distances: distances[i] ?? [] }))
  const isWhole =
    queries?.length === ids.length * dimension &&
    [distances, selfIds].every(({ length }) => length === ids.length) &&
    truth.every((row) => row.ids.length === row.distances.length)
  if (!isWhole) throw corruptField('half of an eval set', 'queries')
  return { queries, truth, selfIds }
}

function isDistance(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value)
}

/** The machine is little-endian wherever vectord runs. */
export function toBase64(vectors: Float32Array): string {
  return Buffer.from(vectors.buffer, vectors.byteOffset, vectors.byteLength).toString('base64')
}

function fromBase64(text: string): Float32Array | null {
  const bytes = Buffer.from(text, 'base64')
  if (bytes.length % 4 !== 0) return null
  // A copy, because what Node hands out may begin anywhere within its pool.
  return new Float32Array(new Uint8Array(bytes).buffer)
}
