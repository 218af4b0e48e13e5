/**
 * Rows of a table on their way between databases, files and datasets: a bounded batch, column by column.
 *
 * Every reader makes these batches and every writer takes them, so that no type of a driver or of
 * Arrow travels. A batch is never empty of columns; it may be empty of rows.
 */

export const COLUMN_TYPES = [
  'boolean',
  'int32',
  'int64',
  'float64',
  'timestamp',
  'utf8',
  'binary',
  'vector',
] as const
export type ColumnType = (typeof COLUMN_TYPES)[number]

export interface Column {
  readonly name: string
  readonly type: ColumnType
  readonly nullable: boolean
  /** Numbers in each vector of a column of vectors; left out for other columns. */
  readonly dimension?: number
}

/**
 * A value of a column; null where it has none.
 *
 *     boolean boolean · int32 number · int64 bigint · float64 number · utf8 string · binary bytes
 *     timestamp bigint: microseconds since the Unix epoch, in UTC · vector Float32Array
 */
export type Cell = boolean | number | bigint | string | Uint8Array | Float32Array | null

export interface TableBatch {
  readonly columns: readonly Column[]
  readonly rows: number
  /** For each column its cells, one for each row. */
  readonly cells: readonly (readonly Cell[])[]
}
