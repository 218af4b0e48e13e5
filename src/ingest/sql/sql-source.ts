/**
 * A table or a query of somebody's database, read in batches: the contract that MariaDB, MySQL and
 * PostgreSQL keep alike (docs/sql-sources.md).
 *
 * A source never changes anything on the server: all is read in one read-only transaction. Memory is
 * constant: the server is read no faster than batches are taken.
 */

import type { Cell, Column, TableBatch } from '../../domain/table.ts'

export interface SqlQuery {
  readonly select:
    | {
        readonly table: string
        /** Left out: the database of the DSN, and in PostgreSQL its search path. */
        readonly schema?: string
        /** Left out: all, in their order. */
        readonly columns?: readonly string[]
      }
    /** One SELECT, which is given to the server as it is. */
    | { readonly query: string }
  /**
   * The column by which it pages and resumes: unique, without NULL, of whole numbers, text, bytes or
   * times. Rows come in its order. Null: one stream in the server's order, which cannot be resumed.
   */
  readonly key: string | null
  /** Rows behind this value of the key; null: from the start. */
  readonly after: Cell
  /** Rows in each batch at most; wide rows make smaller batches. */
  readonly batchRows: number
}

export interface SqlSource {
  readonly system: 'mysql' | 'postgresql'
  /** Names the server without a password. */
  readonly redactedDsn: string
  /**
   * The columns that `read` gives; runs nothing.
   *
   * @throws {VectordError} as `read` does.
   */
  columns(query: SqlQuery, signal: AbortSignal): Promise<readonly Column[]>
  /**
   * A connection that is lost is opened again where the query has a key, and reading goes on behind the
   * last row that was given: none is given twice. That part is read from a newer snapshot.
   *
   * When the caller stops early or `signal` is aborted, the query is ended on the server too.
   *
   * @throws {VectordError} `source_unreachable` (without a key also in the middle), `source_auth_failed`,
   *   `source_tls_failed`, `source_not_found`, `bad_request` for a query that cannot be run,
   *   `source_failed` when the server gives up on it, `source_value_refused` for a value that has no
   *   place in its column. The reason of `signal` where that is aborted.
   */
  read(query: SqlQuery, signal: AbortSignal): AsyncIterable<TableBatch>
  /** Ends what is being read. Idempotent. */
  close(): Promise<void>
}

export interface SqlSourceOptions {
  /** For one connection, in milliseconds, unless the DSN has `connect_timeout`. */
  readonly connectTimeoutMs?: number
  /** Rows that one statement asks for where the query has a key. */
  readonly pageRows?: number
  /** How often a lost connection is opened again without a row in between, and how long that waits. */
  readonly reconnect?: ReconnectOptions
}

export interface ReconnectOptions {
  readonly tries: number
  /** Before the first try; it doubles with each. */
  readonly waitMs: number
  readonly waitMaxMs: number
}
