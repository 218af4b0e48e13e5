/**
 * Which format a file has: by its content type where it comes as a body, by its ending in a bucket.
 */

import type { TableFormat } from '../codecs/table-reader.ts'
import { VectordError } from '../lib/errors.ts'

const BY_TYPE: Readonly<Record<string, TableFormat>> = {
  'application/vnd.apache.parquet': 'parquet',
  'application/vnd.apache.arrow.stream': 'arrow',
  'application/vnd.apache.arrow.file': 'arrow',
  'application/x-ndjson': 'ndjson',
  'text/csv': 'csv',
}

const BY_ENDING: Readonly<Record<string, TableFormat>> = {
  parquet: 'parquet',
  arrow: 'arrow',
  arrows: 'arrow',
  feather: 'arrow',
  ndjson: 'ndjson',
  jsonl: 'ndjson',
  csv: 'csv',
}

/** Content types of bodies that are files. */
export const FILE_TYPES = Object.keys(BY_TYPE)

/** @param type a content type, with parameters or without. Null where it is no file of ours. */
export function formatOfType(type: string): TableFormat | null {
  return own(BY_TYPE, type.split(';')[0]?.trim().toLowerCase() ?? '')
}

/** Null where the ending of the key says no format. */
export function formatOfKey(key: string): TableFormat | null {
  const name = key.slice(key.lastIndexOf('/') + 1)
  return own(BY_ENDING, name.slice(name.lastIndexOf('.') + 1).toLowerCase())
}

/** @throws {VectordError} `bad_request` where neither says it. */
export function formatFor(key: string, asked: TableFormat | null): TableFormat {
  const format = asked ?? formatOfKey(key)
  if (format !== null) return format
  const message = 'The ending of the key says no format; name it in "format".'
  throw new VectordError('bad_request', message, { details: { field: 'format', key } })
}

function own(table: Readonly<Record<string, TableFormat>>, name: string): TableFormat | null {
  return Object.hasOwn(table, name) ? (table[name] ?? null) : null
}
