/**
 * What the process of an ingest is asked to do, and what is said between it and the service.
 *
 *     service                                   process
 *        start(job) ─────────────────────────────▶ reads the source
 *        ◀─── points(n, batch) │ part(n, file) ───  one or two at a time on their way
 *        taken(n) ───────────────────────────────▶ makes the next
 *        ◀─── alive(rows) ────────────────────────  twice a second
 *        stop ───────────────────────────────────▶ ends its query on the server, and fails
 *        ◀─── done(summary) │ failed(error) ───────
 *
 * Both ends are the same version of the same program.
 */

import type { TableFormat } from '../codecs/table-reader.ts'
import type { WireError } from '../dataplane/error-codec.ts'
import type { PiiFlag } from '../datasets/pii.ts'
import type { Cell, Column } from '../domain/table.ts'
import type { UpsertBatch } from '../domain/write-batch.ts'
import type { PointMapping } from './point-mapping.ts'
import type { PointRules, Refusals } from './row-points.ts'
import type { SqlQuery } from './sql/sql-source.ts'

export type IngestSource =
  | {
      readonly kind: 'sql'
      /** A secret: it stands in no log, no error and no argument of a process. */
      readonly dsn: string
      readonly query: SqlQuery
    }
  | {
      readonly kind: 'file'
      /** A local file that nobody changes. */
      readonly path: string
      readonly format: TableFormat
      readonly batchRows: number
    }

/** What becomes points of an index. */
export interface PointsJob {
  readonly mapping: PointMapping
  readonly rules: PointRules
  /** Whether a row that is no point fails the whole, or is left out and listed. */
  readonly onBadRow: 'fail' | 'skip'
}

export interface IngestJob {
  readonly source: IngestSource
  /** An empty folder for parts of a dataset; null writes none. */
  readonly partsFolder: string | null
  /** The columns of the dataset that the parts are appended to; null where there is none yet. */
  readonly appendTo: readonly Column[] | null
  /** Null makes no points. */
  readonly points: PointsJob | null
}

/** A Parquet file in the scratch folder; the service takes it from there. */
export interface WrittenPart {
  readonly path: string
  readonly rows: number
  readonly bytes: number
  readonly sha256: string
}

export interface IngestSummary {
  readonly columns: readonly Column[]
  /** For each column what its values look like. */
  readonly pii: readonly (readonly PiiFlag[])[]
  readonly rows: number
  /** The last value of the key of the query; null where it has no key or no row. */
  readonly lastKey: Cell
  readonly points: number
  readonly refusals: Refusals
}

export type ServiceMessage =
  | { readonly kind: 'start'; readonly job: IngestJob }
  | { readonly kind: 'taken'; readonly id: number }
  | { readonly kind: 'stop' }

export type ProcessMessage =
  | {
      readonly kind: 'alive'
      readonly rows: number
      readonly total: number | null
      /** Milliseconds of CPU that it has used since its start. */
      readonly cpuMs: number
    }
  | { readonly kind: 'points'; readonly id: number; readonly batch: UpsertBatch }
  | { readonly kind: 'part'; readonly id: number; readonly part: WrittenPart }
  | { readonly kind: 'done'; readonly summary: IngestSummary }
  | { readonly kind: 'failed'; readonly error: WireError }
