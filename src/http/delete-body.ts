/**
 * The body of a delete: `{"ids": […]}` or `{"filter": {…}}`, one of the two.
 */

import { badField, isObject } from './body-field.ts'
import type { HttpLimits } from './limits.ts'
import { checkRows } from './points-builder.ts'
import { idProblem } from '../domain/row-values.ts'
import { filterText } from './search-body.ts'
import { VectordError } from '../lib/errors.ts'

export type DeleteRequest =
  | { readonly kind: 'ids'; readonly ids: readonly string[] }
  | { readonly kind: 'filter'; readonly filter: string }

/** @throws {VectordError} that names the field. Repeated ids count once. */
export function parseDelete(body: unknown, limits: HttpLimits): DeleteRequest {
  if (!isObject(body)) throw badField('', 'must be an object with ids or a filter')
  const [field, ...more] = Object.keys(body)
  if ((field !== 'ids' && field !== 'filter') || more.length > 0) {
    throw badField('', 'must have one field: ids or filter')
  }
  if (field === 'filter') return { kind: 'filter', filter: filterText(body['filter']) }
  const ids = body['ids']
  if (!Array.isArray(ids)) throw badField('ids', 'must be an array')
  checkRows(ids.length, limits.rowsMax, 'ids')
  return { kind: 'ids', ids: [...new Set(ids.map((id, i) => checkedId(id, i, limits.idBytesMax)))] }
}

function checkedId(id: unknown, position: number, bytesMax: number): string {
  const problem = idProblem(id, bytesMax)
  if (problem === null) return id as string
  const field = `ids[${position}]`
  if (problem.kind !== 'limit') throw badField(field, problem.text)
  throw new VectordError('limit_exceeded', `"${field}" in the body ${problem.text}.`, {
    details: { limit: 'id_bytes', max: bytesMax, part: 'body', field },
  })
}
