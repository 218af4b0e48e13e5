/**
 * What is wrong with a file that holds a table, and where, for whoever sent it.
 */

import { basename } from 'node:path'
import { VectordError } from '../lib/errors.ts'
import { TypeFault } from './arrow-cells.ts'
import { RowFault } from './table-shape.ts'

/** Where in a file: counted from 0, but lines from 1 as editors do. */
export type FilePlace =
  | { readonly row_group: number }
  | { readonly batch: number }
  | { readonly line: number }
  | Readonly<Record<string, never>>

/**
 * @param rowsBefore rows of the place before the batch that `cause` is about.
 * @returns `file_corrupt`, `invalid_value` for a value, `storage_error` where the file system failed,
 *   and what is an error of vectord already.
 */
export function tableFault(
  path: string,
  place: FilePlace,
  cause: unknown,
  rowsBefore = 0,
): VectordError {
  if (cause instanceof VectordError) return cause
  const file = basename(path)
  if (cause instanceof RowFault) {
    const row = rowsBefore + cause.row
    const message = `Row ${row} of column "${cause.column}" in "${file}"${told(place)}: ${cause.message}.`
    return new VectordError('invalid_value', message, {
      details: { file, ...place, row, column: cause.column },
      cause,
    })
  }
  if (cause instanceof TypeFault) {
    const { column, type } = cause
    return new VectordError('invalid_value', `In "${file}" ${cause.message}.`, {
      details: { file, column, type },
      cause,
    })
  }
  const errno = (cause as { code?: unknown } | null)?.code
  if (typeof errno === 'string') {
    return new VectordError('storage_error', `The file "${file}" could not be read: ${errno}.`, {
      details: { file, errno },
      cause,
    })
  }
  return corruptFile(path, place, cause instanceof Error ? cause.message : String(cause), cause)
}

export function corruptFile(
  path: string,
  place: FilePlace,
  problem: string,
  cause?: unknown,
): VectordError {
  const file = basename(path)
  return new VectordError('file_corrupt', `"${file}" cannot be read${told(place)}: ${problem}.`, {
    details: { file, ...place, problem },
    ...(cause !== undefined && { cause }),
  })
}

function told(place: FilePlace): string {
  const entry = Object.entries(place)[0]
  return entry === undefined ? '' : ` at ${entry[0].replace('_', ' ')} ${entry[1]}`
}
