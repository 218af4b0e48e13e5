/**
 * Says in one sentence what a schema found wrong: which field, and what it should have been.
 */

import type { FastifySchemaValidationError } from 'fastify'
import { NAME_PATTERN } from '../domain/names.ts'
import { VectordError } from '../lib/errors.ts'
import { nearNames } from './nearest.ts'

/** Characters of a name from the request that a message repeats. */
const ECHO_CHARS_MAX = 64

/** `validation` of Ajv, `context` one of `body`, `params`, `querystring`, `headers`. */
export function validationFault(
  validation: readonly FastifySchemaValidationError[],
  context: string,
): VectordError {
  const worst = deepest(validation)
  if (worst === undefined) return new VectordError('bad_request', 'The request is not valid.')
  const part = context === 'querystring' ? 'query' : context
  const problem = describe(worst)
  const field = [...worst.instancePath.split('/').filter(Boolean), ...problem.field].join('.')
  const at = field === '' ? `The ${part}` : `"${echo(field)}" in the ${part}`
  const isName = worst.keyword === 'pattern' && worst.params['pattern'] === NAME_PATTERN
  return new VectordError(isName ? 'invalid_name' : 'bad_request', `${at} ${problem.text}.`, {
    details: { part, field: echo(field), problem: problem.text },
  })
}

export function echo(text: string): string {
  return text.length <= ECHO_CHARS_MAX ? text : `${text.slice(0, ECHO_CHARS_MAX)}…`
}

/** Of the branches of a union, the one that got furthest tells most. */
function deepest(
  validation: readonly FastifySchemaValidationError[],
): FastifySchemaValidationError | undefined {
  const isUnion = (keyword: string): boolean => keyword === 'anyOf' || keyword === 'oneOf'
  return validation
    .filter((entry) => !isUnion(entry.keyword) || validation.length === 1)
    .reduce<FastifySchemaValidationError | undefined>(
      (best, entry) =>
        best === undefined || entry.instancePath.length > best.instancePath.length ? entry : best,
      undefined,
    )
}

interface Problem {
  /** Continues the path of the error. */
  readonly field: readonly string[]
  readonly text: string
}

function describe(error: FastifySchemaValidationError): Problem {
  const { keyword, params, message } = error
  if (keyword === 'additionalProperties') {
    const name = String(params['additionalProperty'])
    const [near] = nearNames(name, knownFields(error))
    const hint = near === undefined ? '' : `; did you mean "${near}"?`
    return { field: [name], text: `is not a known field${hint}` }
  }
  if (keyword === 'required') {
    return { field: [String(params['missingProperty'])], text: 'is missing' }
  }
  if (keyword === 'enum' && Array.isArray(params['allowedValues'])) {
    return { field: [], text: `must be one of: ${params['allowedValues'].map(String).join(', ')}` }
  }
  return { field: [], text: message ?? 'is not valid' }
}

/** Ajv adds `parentSchema` in its verbose mode; Fastify's type does not know it. */
function knownFields(error: FastifySchemaValidationError): string[] {
  const schema: unknown = 'parentSchema' in error ? error.parentSchema : null
  if (typeof schema !== 'object' || schema === null || !('properties' in schema)) return []
  return Object.keys(schema.properties ?? {})
}
