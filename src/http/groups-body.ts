/**
 * The body of a grouped search: that of a search, whose `k` counts groups, with `group_by` and
 * `group_size`.
 */

import { VectordError } from '../lib/errors.ts'
import { badField, isObject } from './body-field.ts'
import type { HttpLimits } from './limits.ts'

export interface GroupsRequest {
  readonly field: string
  readonly groupSize: number
  /** The rest of the body, for the parser of searches. */
  readonly search: Readonly<Record<string, unknown>>
}

export const GROUP_SIZE_DEFAULT = 3
export const GROUP_SIZE_MAX = 10
/** Bytes of the name of a field. */
const FIELD_BYTES_MAX = 512

/** @throws {VectordError} that names the field. */
export function parseGroups(body: unknown): GroupsRequest {
  if (!isObject(body)) throw badField('', 'must be an object')
  const { group_by, group_size = GROUP_SIZE_DEFAULT, ...search } = body
  if (group_by === undefined) throw badField('group_by', 'is missing')
  if (typeof group_by !== 'string' || group_by === '' || !group_by.isWellFormed()) {
    throw badField('group_by', 'must be the name of a field of the metadata')
  }
  if (group_by.startsWith('$')) throw badField('group_by', 'must not begin with "$"')
  if (Buffer.byteLength(group_by) > FIELD_BYTES_MAX) {
    throw badField('group_by', `is longer than ${FIELD_BYTES_MAX} bytes`)
  }
  return { field: group_by, groupSize: groupSizeOf(group_size), search }
}

/** @throws {VectordError} `limit_exceeded` where one search could not bring so many hits. */
export function checkGroups(
  { groups, groupSize }: { readonly groups: number; readonly groupSize: number },
  { kMax }: HttpLimits,
): void {
  if (groups * groupSize <= kMax) return
  throw new VectordError('limit_exceeded', `"k" times "group_size" must be at most ${kMax}.`, {
    details: { limit: 'k', max: Math.floor(kMax / groupSize), part: 'body', field: 'k' },
  })
}

function groupSizeOf(value: unknown): number {
  const isFine = typeof value === 'number' && Number.isSafeInteger(value)
  if (isFine && value >= 1 && value <= GROUP_SIZE_MAX) return value
  throw badField('group_size', `must be an integer from 1 to ${GROUP_SIZE_MAX}`)
}
