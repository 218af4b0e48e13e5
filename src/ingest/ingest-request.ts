/**
 * What an ingest is asked to do, checked: where rows come from, and where they go.
 */

import type { TableFormat } from '../codecs/table-reader.ts'
import type { SqlSystemName } from './sql/dsn.ts'
import type { SqlQuery } from './sql/sql-source.ts'
import type { IndexTarget } from './watch.ts'

export type RequestSource =
  | {
      readonly kind: 'sql'
      readonly system: SqlSystemName
      /** A secret. */
      readonly dsn: string
      readonly query: Pick<SqlQuery, 'select' | 'key'>
    }
  | {
      readonly kind: 'upload'
      /** A file in scratch; whoever runs the request removes it. */
      readonly path: string
      readonly format: TableFormat
    }
  | {
      readonly kind: 'object'
      readonly bucket: string
      readonly key: string
      readonly format: TableFormat
      /** Names the object for ever; a dataset takes it once. Null takes it again each time. */
      readonly identity: string | null
    }

export interface DatasetTarget {
  readonly name: string
  readonly mode: 'replace' | 'append'
  /** Goes on behind the watermark of the dataset. */
  readonly resume: boolean
}

export interface IngestRequest {
  readonly source: RequestSource
  /** Where the dataset lies. */
  readonly bucket: string
  /** Of this and an index one is there. */
  readonly dataset: DatasetTarget | null
  readonly index: IndexTarget | null
  /** Rows that are read at a time. */
  readonly batchRows: number
}
