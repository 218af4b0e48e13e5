/**
 * What the reader of SQL sources needs of a database system: connections that look at a query and run
 * it page by page. MySQL and PostgreSQL each have one file that keeps this contract.
 */

import type { Cell, Column } from '../../domain/table.ts'
import { VectordError } from '../../lib/errors.ts'
import type { BatchStream } from './batch-queue.ts'
import type { SqlQuery } from './sql-source.ts'

export interface SqlSystem {
  /** @throws {VectordError} `source_unreachable`, `source_auth_failed`, `source_tls_failed`, … */
  connect(signal: AbortSignal): Promise<SqlSession>
}

/** One connection in one read-only transaction with one snapshot. One call at a time. */
export interface SqlSession {
  /**
   * Looks at the query without running it, and at its key.
   *
   * @throws {VectordError} where it cannot be run, or the key cannot be one.
   */
  describe(query: SqlQuery): Promise<SqlStatement>
  /** Ends the connection, and what runs on it on the server also. Bounded in time; never throws. */
  close(): Promise<void>
}

export interface SqlStatement {
  readonly columns: readonly Column[]
  /** Of the key among the columns; null where the query has none. */
  readonly keyIndex: number | null
  open(page: Page): BatchStream
}

export interface Page {
  /** A value of the key; null: from the first row. */
  readonly from: Cell
  /** Whether the row at `from` itself belongs to it. */
  readonly isInclusive: boolean
  /** Null: all. Only with a key. */
  readonly rowsMax: number | null
  /** Rows that were read before, to name a row in an error. */
  readonly rowsBefore: number
}

/** Why a value has no place in its column: a clause behind "the value". Caught where the row is known. */
export class ValueRefusal extends Error {
  override readonly name = 'ValueRefusal'
}

export interface RefusedValue {
  readonly column: string
  /** Counted from 1 in what was read. */
  readonly row: number
  readonly keyColumn: string | null
  readonly key: unknown
}

/** A refusal with the name of its row and column. */
export function nameRefusal(refusal: ValueRefusal, place: RefusedValue): VectordError {
  const { column, row, keyColumn, key } = place
  const isNamed = keyColumn !== null && ['string', 'number', 'bigint'].includes(typeof key)
  const keyText = isNamed ? String(key).slice(0, 100) : null
  const name = keyText === null ? `Row ${row}` : `Row ${row} (${String(keyColumn)} = ${keyText})`
  return new VectordError(
    'source_value_refused',
    `${name}, column "${column}": the value ${refusal.message}.`,
    { details: { row, column, key: keyText } },
  )
}
