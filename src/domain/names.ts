/**
 * Names of indexes, buckets, profiles and eval sets: they become parts of object keys.
 *
 * Odd names are refused, never sanitised: two names must not share one key.
 */

import { VectordError } from '../lib/errors.ts'

export const NAME_PATTERN = '^[A-Za-z0-9_-]{1,128}$'

const NAME = new RegExp(NAME_PATTERN)

/** @throws {VectordError} `invalid_name`; `what` is the noun that the message names. */
export function checkName(what: string, name: string): string {
  if (!NAME.test(name)) {
    throw new VectordError(
      'invalid_name',
      `The ${what} name must have 1 to 128 letters, digits, "_" or "-".`,
      { details: { what, pattern: NAME_PATTERN } },
    )
  }
  return name
}
