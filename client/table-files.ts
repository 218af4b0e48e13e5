/**
 * Tables as files: what an index is exported as, and what it can be filled from. Both as streams: of
 * neither is more in memory than what is under way.
 */

import type { Operations, WaitOptions } from './operations.ts'
import { pathOf, type Transport } from './transport.ts'
import type { Answer, CallOptions, Filter } from './types.ts'

export type TableFormat = 'parquet' | 'arrow' | 'ndjson' | 'csv'

const CONTENT_TYPES: Readonly<Record<TableFormat, string>> = {
  parquet: 'application/vnd.apache.parquet',
  arrow: 'application/vnd.apache.arrow.stream',
  ndjson: 'application/x-ndjson',
  csv: 'text/csv',
}

export interface ExportOptions extends CallOptions {
  /** `parquet` by default. */
  readonly format?: TableFormat
  /** True by default. */
  readonly includeVectors?: boolean
  readonly filter?: Filter
}

export interface ExportedFile {
  /** Every write up to this one is in the file, and none after it. */
  readonly lsn: number
  /** Errors where the service or the way to it breaks off: a file that ends is whole. */
  readonly bytes: ReadableStream<Uint8Array>
}

export interface TableFile {
  readonly format: TableFormat
  readonly bytes: ReadableStream<Uint8Array>
}

/** Which columns of a file are points; the names are those of the API. */
export interface IngestColumns {
  readonly id_column: string
  readonly vector_column?: string
  readonly text_column?: string
  /** All others, but those of vectors and bytes, where it is left out. */
  readonly metadata_columns?: readonly string[]
  /** `skip` leaves rows out that are no points, and lists them; `fail` is the default. */
  readonly on_bad_row?: 'fail' | 'skip'
}

export type Ingested = Answer<'/ingest/file', 'post'>
type Started = Answer<'/ingest/file', 'post', 202>

/** The file itself, as it comes. A call is tried again until its first byte is there. */
export async function exportTable(
  transport: Transport,
  index: string,
  options: ExportOptions,
): Promise<ExportedFile> {
  const { format, includeVectors, filter } = options
  const { headers, bytes } = await transport.body({
    ...{ method: 'GET', path: pathOf`/vectors/indexes/${index}/export`, again: 'repeatable' },
    query: {
      format,
      include_vectors: includeVectors,
      filter: filter === undefined ? undefined : JSON.stringify(filter),
    },
    options,
  })
  return { lsn: Number(headers.get('x-vectord-lsn')), bytes }
}

/**
 * Sends a file and waits until its rows are in the index. It is sent once, and no time bounds the
 * sending but `timeoutMs`.
 *
 * @throws {OperationFailedError} naming the row or the place in the file; rows before it stay.
 */
export async function ingestTable(
  { transport, operations }: { readonly transport: Transport; readonly operations: Operations },
  { index, file, columns }: { index: string; file: TableFile; columns: IngestColumns },
  options: WaitOptions,
): Promise<Ingested> {
  const { metadata_columns: metadata, ...others } = columns
  const { operation_id: id } = await transport.json<Started>({
    ...{ method: 'POST', path: '/ingest/file', again: 'once' },
    query: { index, ...others, metadata_columns: metadata?.join(',') },
    file: { type: CONTENT_TYPES[file.format], bytes: file.bytes },
    options: { timeoutMs: Infinity, ...options },
  })
  const { result } = await operations.wait(id, options)
  return result as Ingested
}
