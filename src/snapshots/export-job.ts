/**
 * What an export process is asked for: all that it must know, for it sees nothing of the front.
 */

import type { TableFormat } from '../codecs/table-reader.ts'
import type { CheckpointContent } from '../domain/checkpoint.ts'
import type { BucketSpec } from '../domain/shard-spec.ts'

interface ExportSource {
  readonly bucket: BucketSpec
  /** Pinned by whoever asks. Null for an index that was never written. */
  readonly content: CheckpointContent | null
  /** A local folder of its own; made by the process, removed by whoever asks. */
  readonly scratch: string
}

export interface ExportRows extends ExportSource {
  readonly kind: 'rows'
  readonly dimension: number
  readonly format: TableFormat
  readonly includeVectors: boolean
  /** JSON text of a validated filter; null takes every point. */
  readonly filter: string | null
}

/** How many live points there are: `ExportSender.done` tells the number. */
export interface CountRows extends ExportSource {
  readonly kind: 'count'
}

export type ExportJob = ExportRows | CountRows
