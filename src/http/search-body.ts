/**
 * The body of a search, as a `ShardQuery`. Written by hand: it is on the path of every query, and a
 * schema would visit each of the vector's numbers a second time.
 */

import { parseFilter } from '../domain/filter.ts'
import { HNSW_BOUNDS } from '../domain/hnsw-config.ts'
import { queryWords, type SearchTarget } from '../domain/search-target.ts'
import type { Include, ShardQuery } from '../domain/search.ts'
import { VectordError } from '../lib/errors.ts'
import { badField, isObject } from './body-field.ts'
import { nearNames } from './nearest.ts'
import { parseTarget, type TargetRules } from './parse-target.ts'
import { echo } from './validation-fault.ts'

const K_DEFAULT = 10

export interface SearchRequest {
  readonly target: SearchTarget
  /** The query, but for what it looks for. */
  readonly rest: Omit<ShardQuery, 'target'>
  /** What the answer shows of each point: `rest.include`, but for the text that highlights need. */
  readonly include: Include
  /** The words of the query that are to be shown in each text; null where none are. */
  readonly highlighted: ReadonlySet<string> | null
  readonly minLsn: number
  /** Milliseconds from now. */
  readonly timeoutMs: number
  /** Vectors in the answer as base64 instead of arrays. */
  readonly asBase64: boolean
}

const INCLUDE_DEFAULT: Include = { metadata: true, vector: false, text: false }
const INCLUDE_NAMES = ['metadata', 'vector', 'text', 'highlights'] as const
const FIELDS = [
  ...['vector', 'id', 'text', 'mode', 'k', 'ef', 'filter', 'exact', 'include'],
  ...['vector_encoding', 'min_lsn', 'deadline_ms', 'as_of'],
]

interface Fields {
  readonly vector?: unknown
  readonly id?: unknown
  readonly text?: unknown
  readonly mode?: unknown
  readonly k?: unknown
  readonly ef?: unknown
  readonly filter?: unknown
  readonly exact?: unknown
  readonly include?: unknown
  readonly vector_encoding?: unknown
  readonly min_lsn?: unknown
  readonly deadline_ms?: unknown
  readonly as_of?: unknown
}

/** @throws {VectordError} that names the field. */
export function parseSearch(body: unknown, rules: TargetRules): SearchRequest {
  if (!isObject(body)) throw badField('', 'must be an object')
  for (const name in body) if (!FIELDS.includes(name)) throw unknownField(name)
  const { limits } = rules
  const fields: Fields = body
  const [efMin, efMax] = HNSW_BOUNDS.efSearch
  const target = parseTarget(fields, rules)
  const { include, highlighted } = parseInclude(fields.include, target)
  const rest = {
    k: fields.k === undefined ? K_DEFAULT : bounded(fields.k, 'k', [1, limits.kMax]),
    ef: optional(fields.ef) ? null : bounded(fields.ef, 'ef', [efMin, efMax]),
    exact: flag(fields.exact, 'exact'),
    filter: optional(fields.filter) ? null : filterText(fields.filter),
    include: highlighted === null ? include : { ...include, text: true },
  }
  return {
    ...{ target, include, highlighted },
    rest: asOfWrite(rest, target, fields.as_of),
    minLsn: fields.min_lsn === undefined ? 0 : integer(fields.min_lsn, 'min_lsn', 0),
    timeoutMs:
      fields.deadline_ms === undefined
        ? limits.searchDeadlineMs
        : bounded(fields.deadline_ms, 'deadline_ms', [1, limits.deadlineMaxMs]),
    asBase64: isBase64(fields.vector_encoding),
  }
}

type Rest = SearchRequest['rest']

function asOfWrite(rest: Rest, { mode }: SearchTarget, lsn: unknown): Rest {
  if (optional(lsn)) return rest
  if (mode === 'keyword' || mode === 'hybrid') {
    throw badField('as_of', 'is not known to searches by keywords')
  }
  return { ...rest, asOf: integer(lsn, 'as_of', 0) }
}

function highlightedWords(target: SearchTarget): ReadonlySet<string> {
  if (target.mode === 'neighbours')
    throw badField('include', 'may hold highlights with "text" only')
  return new Set(queryWords(target.text))
}

function optional(value: unknown): value is undefined | null {
  return value === undefined || value === null
}

/** A validated filter as JSON text. */
export function filterText(filter: unknown): string {
  parseFilter(filter)
  return JSON.stringify(filter)
}

function parseInclude(
  value: unknown,
  target: SearchTarget,
): Pick<SearchRequest, 'include' | 'highlighted'> {
  if (value === undefined) return { include: INCLUDE_DEFAULT, highlighted: null }
  if (!Array.isArray(value)) throw badField('include', 'must be an array')
  for (const name of value as unknown[]) {
    if (!INCLUDE_NAMES.some((known) => known === name)) {
      throw badField('include', `may hold ${INCLUDE_NAMES.join(', ')} only`)
    }
  }
  const include = {
    metadata: value.includes('metadata'),
    vector: value.includes('vector'),
    text: value.includes('text'),
  }
  return { include, highlighted: value.includes('highlights') ? highlightedWords(target) : null }
}

function integer(value: unknown, field: string, min: number): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < min) {
    throw badField(field, `must be an integer of at least ${min}`)
  }
  return value
}

function bounded(value: unknown, field: string, [min, max]: readonly [number, number]): number {
  const number = integer(value, field, min)
  if (number <= max) return number
  throw new VectordError('limit_exceeded', `"${field}" in the body must be at most ${max}.`, {
    details: { limit: field, max, part: 'body', field },
  })
}

function flag(value: unknown, field: string): boolean {
  if (value === undefined) return false
  if (typeof value !== 'boolean') throw badField(field, 'must be true or false')
  return value
}

function isBase64(value: unknown): boolean {
  if (value === undefined || value === 'array') return false
  if (value !== 'base64') throw badField('vector_encoding', 'must be "array" or "base64"')
  return true
}

function unknownField(name: string): VectordError {
  const [near] = nearNames(name, FIELDS)
  const hint = near === undefined ? '' : `; did you mean "${near}"?`
  return badField(echo(name), `is not a known field${hint}`)
}
