/** What commands read: a file, or standard input. */

import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import type { TableFormat } from '../client/table-files.ts'
import { UsageError } from './exit-codes.ts'

export interface Source {
  readonly bytes: AsyncIterable<Uint8Array>
  /** Null where nobody knows how long it is. */
  readonly bytesTotal: number | null
}

export const TABLE_FORMATS = ['parquet', 'arrow', 'ndjson', 'csv'] as const

/** NDJSON is not among them: its lines are points, one by one. */
const BY_ENDING: Readonly<Record<string, TableFormat>> = {
  parquet: 'parquet',
  arrow: 'arrow',
  arrows: 'arrow',
  feather: 'arrow',
  csv: 'csv',
}

/** Null where the ending of the name is that of no table. */
export function tableFormatOf(name: string): TableFormat | null {
  const ending = name.slice(name.lastIndexOf('.') + 1).toLowerCase()
  return Object.hasOwn(BY_ENDING, ending) ? (BY_ENDING[ending] ?? null) : null
}

/** @param file `-` is standard input. @throws {UsageError} where it cannot be read. */
export async function openSource(file: string): Promise<Source> {
  if (file === '-') return { bytes: process.stdin, bytesTotal: null }
  try {
    const stats = await stat(file)
    if (stats.isDirectory()) throw new UsageError(`${file} is a folder.`)
    const bytes = createReadStream(file, { highWaterMark: 2 ** 18 })
    return { bytes, bytesTotal: stats.isFile() ? stats.size : null }
  } catch (error) {
    if (error instanceof UsageError) throw error
    throw new UsageError(`The file ${file} cannot be read.`)
  }
}
