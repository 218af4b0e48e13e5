/**
 * What an export process is asked for: all that it must know, for it sees nothing of the front.
 */

import type { TableFormat } from '../codecs/table-reader.ts'
import type { CheckpointContent } from '../domain/checkpoint.ts'
import type { LanceTableSpec } from '../domain/lance-table.ts'
import type { BucketSpec } from '../domain/shard-spec.ts'

/** A local folder of its own; made by the process where it needs one, removed by whoever asks. */
interface ExportScratch {
  readonly scratch: string
}

interface ExportSource extends ExportScratch {
  readonly bucket: BucketSpec
  /** Pinned by whoever asks. Null for an index that was never written. */
  readonly content: CheckpointContent | null
}

/** What is to be in the file, and in which form. */
export interface ExportForm {
  readonly dimension: number
  readonly format: TableFormat
  readonly includeVectors: boolean
  /** JSON text of a validated filter; null takes every point. */
  readonly filter: string | null
}

/** The points of a checkpoint. */
export interface ExportRows extends ExportSource, ExportForm {
  readonly kind: 'rows'
}

/** The points of one version of a Lance table. */
export interface ExportTable extends ExportScratch, ExportForm {
  readonly kind: 'table'
  readonly table: LanceTableSpec
  readonly version: number
}

/** How many live points there are: `ExportSender.done` tells the number. */
export interface CountRows extends ExportSource {
  readonly kind: 'count'
}

export type ExportJob = ExportRows | ExportTable | CountRows
