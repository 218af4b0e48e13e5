/**
 * What a search body looks for: `vector`, `id` or `text` with its `mode`.
 *
 *     vector | id                  neighbours
 *     text                         mode, or else: vector where the index has an embedder, keyword where not
 *     text, mode hybrid            neighbours by the embedder, joined with keywords
 *     text, vector, mode hybrid    neighbours of the client's own vector, joined with keywords
 */

import type { Metric } from '../domain/metric.ts'
import {
  SEARCH_MODES,
  type EmbedQuery,
  type SearchMode,
  type SearchTarget,
} from '../domain/search-target.ts'
import { VectordError } from '../lib/errors.ts'
import { badField } from './body-field.ts'
import type { HttpLimits } from './limits.ts'
import { idProblem, textProblem } from '../domain/row-values.ts'
import { readVector } from '../domain/vector-values.ts'

/** UTF-16 units of the text of a query. */
export const QUERY_TEXT_UNITS_MAX = 32_768

export interface VectorRules {
  readonly dimension: number
  readonly metric: Metric
  readonly limits: HttpLimits
}

export interface TargetRules extends VectorRules {
  /** Null where the index has no embedder. */
  readonly embed: EmbedQuery | null
}

interface TargetFields {
  readonly vector?: unknown
  readonly id?: unknown
  readonly text?: unknown
  readonly mode?: unknown
}

/** @throws {VectordError} that names the field; `not_configured` where an embedder is needed. */
export function parseTarget(fields: TargetFields, rules: TargetRules): SearchTarget {
  const { vector, id, text, mode } = fields
  if (text !== undefined && id === undefined) return textTarget(fields, rules)
  const given = Number(vector !== undefined) + Number(id !== undefined) + Number(text !== undefined)
  if (given !== 1) throw badField('vector', 'or "id" or "text" must be given, one of them')
  if (mode !== undefined) throw badField('mode', 'needs "text"')
  if (vector !== undefined) {
    return { mode: 'neighbours', near: { vector: queryVector(vector, rules) } }
  }
  const problem = idProblem(id, rules.limits.idBytesMax)
  if (problem !== null) throw badField('id', problem.text)
  return { mode: 'neighbours', near: { id: id as string } }
}

function textTarget(fields: TargetFields, rules: TargetRules): SearchTarget {
  const { vector } = fields
  const { embed } = rules
  const text = queryText(fields.text)
  const mode = modeOf(fields.mode, embed === null ? 'keyword' : 'vector')
  if (vector !== undefined) {
    if (mode === 'hybrid') {
      return { mode, text, near: { vector: queryVector(vector, rules) } }
    }
    throw badField('mode', 'must be "hybrid" where "vector" and "text" are both given')
  }
  if (mode === 'keyword') return { mode, text }
  if (embed === null) throw withoutEmbedder(mode)
  return mode === 'vector' ? { mode, text, embed } : { mode, text, near: embed }
}

function withoutEmbedder(mode: SearchMode): VectordError {
  const text =
    mode === 'hybrid'
      ? 'A hybrid search needs a "vector" in the body, or an index with an embedder.'
      : 'Searching by the meaning of a text needs an index with an embedder; mode "keyword" does not.'
  return new VectordError('not_configured', text, { details: { mode } })
}

function modeOf(value: unknown, otherwise: SearchMode): SearchMode {
  if (value === undefined) return otherwise
  const mode = SEARCH_MODES.find((known) => known === value)
  if (mode === undefined) throw badField('mode', `must be one of ${SEARCH_MODES.join(', ')}`)
  return mode
}

function queryText(value: unknown): string {
  const problem = textProblem(value)
  if (problem !== null) throw badField('text', problem.text)
  const text = value as string
  if (text.trim() === '') throw badField('text', 'must not be empty')
  if (text.length <= QUERY_TEXT_UNITS_MAX) return text
  throw new VectordError(
    'limit_exceeded',
    `"text" in the body must have at most ${QUERY_TEXT_UNITS_MAX} characters.`,
    { details: { limit: 'text', max: QUERY_TEXT_UNITS_MAX, part: 'body', field: 'text' } },
  )
}

function queryVector(value: unknown, rules: VectorRules): Float32Array {
  const { dimension, metric } = rules
  const vector = new Float32Array(dimension)
  const problem = readVector(value, metric, vector, { offset: 0, dimension })
  if (problem === null) return vector
  const field = problem.at === null ? 'vector' : `vector[${problem.at}]`
  const code = problem.kind === 'dimension' ? 'vector_dimension_mismatch' : 'invalid_vector'
  throw new VectordError(code, `"${field}" in the body ${problem.text}.`, {
    details: { part: 'body', field, problem: problem.text },
  })
}
