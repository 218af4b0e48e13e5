/**
 * The common ground of the parsers that are written by hand: a fault names the field it is in.
 */

import { VectordError } from '../lib/errors.ts'

/** A fault of one field of the body, or with an empty `field` of the body as a whole. */
export function badField(field: string, problem: string): VectordError {
  const at = field === '' ? 'The body' : `"${field}" in the body`
  return new VectordError('bad_request', `${at} ${problem}.`, {
    details: { part: 'body', field, problem },
  })
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
