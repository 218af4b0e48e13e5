/**
 * Opens a SQL source by its DSN.
 */

import { parseDsn } from './dsn.ts'
import { MysqlSystem } from './mysql-session.ts'
import { PostgresSystem } from './postgres-session.ts'
import { PAGE_ROWS, RECONNECT, SqlReader } from './sql-reader.ts'
import type { SqlSource, SqlSourceOptions } from './sql-source.ts'

const CONNECT_TIMEOUT_MS = 10_000

/**
 * Connects to nothing yet.
 *
 * @param dsn `mysql://`, `mariadb://`, `postgres://` or `postgresql://`, see docs/sql-sources.md.
 * @throws {VectordError} `bad_request` where it is none.
 */
export function openSqlSource(text: string, options: SqlSourceOptions = {}): SqlSource {
  const dsn = parseDsn(text)
  const timeoutMs = dsn.connectTimeoutMs ?? options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS
  const system =
    dsn.system === 'mysql' ? new MysqlSystem(dsn, timeoutMs) : new PostgresSystem(dsn, timeoutMs)
  return new SqlReader({
    name: dsn.system,
    dsn: text,
    system,
    pageRows: options.pageRows ?? PAGE_ROWS,
    reconnect: options.reconnect ?? RECONNECT,
  })
}
