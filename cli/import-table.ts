/**
 * `vectord import` of a table: a Parquet, Arrow, CSV or NDJSON file with columns, sent as it is.
 *
 * The service reads it, and one operation says how far it is.
 */

import type { IngestColumns, TableFormat } from '../client/table-files.ts'
import { startProgress } from './progress.ts'
import { clientOf, interruptible, type RemoteOptions } from './remote.ts'
import type { Source } from './source.ts'
import { print, printJson } from './terminal.ts'

export interface TableOptions extends RemoteOptions {
  readonly idColumn: string
  readonly vectorColumn?: string
  readonly textColumn?: string
  readonly metadataColumns?: readonly string[]
  readonly skipBadRows?: boolean
}

export async function importTable(
  index: string,
  { source, format }: { readonly source: Source; readonly format: TableFormat },
  options: TableOptions,
): Promise<void> {
  const progress = startProgress({ unit: 'bytes', quiet: options.quiet === true })
  const { bytesTotal: total } = source
  let done = 0
  const counted = async function* (): AsyncGenerator<Uint8Array> {
    for await (const piece of source.bytes) {
      done += piece.length
      progress.update({ done, total, note: 'sent' })
      yield piece
    }
  }
  try {
    const file = { format, bytes: ReadableStream.from(counted()) }
    const { rows, index: filled } = await interruptible((signal) =>
      clientOf(options)
        .index(index)
        .ingestFile(file, columnsOf(options), {
          signal,
          onProgress: ({ stage }) => {
            progress.update({ done, total, note: stage ?? 'waiting' })
          },
        }),
    )
    progress.stop()
    const points = filled?.points ?? 0
    const refused = filled?.refused ?? { count: 0, rows: [] }
    if (options.json === true) printJson({ index, rows, points, refused })
    else print(`${points} of ${rows} rows are points of "${index}".${toldOf(refused)}`)
  } finally {
    progress.stop()
  }
}

function columnsOf(options: TableOptions): IngestColumns {
  const { idColumn, vectorColumn, textColumn, metadataColumns, skipBadRows } = options
  return {
    id_column: idColumn,
    ...(vectorColumn !== undefined && { vector_column: vectorColumn }),
    ...(textColumn !== undefined && { text_column: textColumn }),
    ...(metadataColumns !== undefined && { metadata_columns: metadataColumns }),
    ...(skipBadRows === true && { on_bad_row: 'skip' }),
  }
}

interface Refused {
  readonly count: number
  readonly rows: readonly { readonly row: number; readonly field: string; problem: string }[]
}

function toldOf({ count, rows }: Refused): string {
  if (count === 0) return ''
  const told = rows.map(({ row, field, problem }) => `row ${row}: "${field}" ${problem}`)
  return ` Left out: ${count}.\n${told.join('\n')}`
}
