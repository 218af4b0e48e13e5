/**
 * A file that holds a table, open for reading: what the readers of each format give.
 */

import type { Column, TableBatch } from '../domain/table.ts'

export interface TableReadOptions {
  /** Rows of a batch at most. */
  readonly batchRows: number
  /** Ends the reading between two batches, with its reason. */
  readonly signal: AbortSignal
}

export interface TableSource {
  readonly columns: readonly Column[]
  /** Null where only reading tells. */
  readonly rows: number | null
  /** Once; none where there are no rows. */
  batches(): AsyncGenerator<TableBatch, undefined>
  close(): Promise<void>
}
