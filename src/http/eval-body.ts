/**
 * The queries of an eval set, as clients send them. Written by hand: a schema would visit each of the
 * vectors' numbers a second time.
 */

import { QUERIES_MAX, QUERIES_MIN, TRUTH_MAX } from '../journal/eval-set.ts'
import { VectordError } from '../lib/errors.ts'
import { badField } from './body-field.ts'
import type { VectorRules } from './parse-target.ts'
import { readVector } from '../domain/vector-values.ts'

/** @throws {VectordError} `limit_exceeded` where a set of so many queries would be too large. */
export function checkEvalSize(
  { k, count }: { readonly k: number; readonly count: number },
  { limits }: Pick<VectorRules, 'limits'>,
): void {
  const bounds = [
    ['k', k, limits.kMax],
    ['queries', count, Math.min(QUERIES_MAX, limits.rowsMax)],
    ['queries times k', k * count, TRUTH_MAX],
  ] as const
  for (const [what, asked, max] of bounds) {
    if (asked <= max) continue
    throw new VectordError('limit_exceeded', `An eval set may have ${what} of at most ${max}.`, {
      details: { limit: what, max, asked },
    })
  }
}

/** The vectors row by row. @throws {VectordError} that names the row. */
export function parseQueries(value: readonly unknown[], rules: VectorRules): Float32Array {
  const { dimension, metric } = rules
  if (value.length < QUERIES_MIN) throw badField('queries', `must hold at least ${QUERIES_MIN}`)
  const vectors = new Float32Array(value.length * dimension)
  for (const [row, vector] of value.entries()) {
    const problem = readVector(vector, metric, vectors, { offset: row * dimension, dimension })
    if (problem === null) continue
    const at = problem.at === null ? '' : `[${problem.at}]`
    const field = `queries[${row}]${at}`
    const code = problem.kind === 'dimension' ? 'vector_dimension_mismatch' : 'invalid_vector'
    throw new VectordError(code, `"${field}" in the body ${problem.text}.`, {
      details: { part: 'body', field, problem: problem.text },
    })
  }
  return vectors
}
