/**
 * A filter in a query string, where it is JSON text.
 */

import { VectordError } from '../lib/errors.ts'
import { parseJson } from './body-parsers.ts'
import { filterText } from './search-body.ts'

/** The JSON text of a filter that is valid. @throws {VectordError} `invalid_filter`. */
export function queryFilter(text: string): string {
  let filter: unknown
  try {
    filter = parseJson(text)
  } catch {
    throw new VectordError('invalid_filter', 'The filter in the query is not valid JSON.', {
      details: { path: 'filter', problem: 'is not valid JSON' },
    })
  }
  return filterText(filter)
}
