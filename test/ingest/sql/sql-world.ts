/**
 * What the suite of SQL sources needs of a database server beside the source itself: to make tables, and
 * to see what the server is doing.
 */

import type { TestContext } from 'node:test'
import type { Cell, TableBatch } from '../../../src/domain/table.ts'
import { openSqlSource } from '../../../src/ingest/sql/open-sql-source.ts'
import type { SqlQuery, SqlSource, SqlSourceOptions } from '../../../src/ingest/sql/sql-source.ts'
import type { SqlServer } from '../../support/sql-server.ts'
import { TcpProxy } from '../../support/tcp-proxy.ts'

export interface SqlWorld {
  readonly server: SqlServer
  /** Runs a statement with all rights, outside of any source. */
  run(sql: string): Promise<readonly (readonly unknown[])[]>
  /** A name as the system writes it. */
  quote(name: string): string
  /** Names that a table and a column may have, each a trap of its own. */
  readonly hostileNames: readonly string[]
  /** A table `t` of `rows` rows with `id` from 1, and `body` of `bytes` bytes. */
  fill(table: string, options: { readonly rows: number; readonly bytes: number }): Promise<void>
  /** A query that takes `seconds`, with `mark` in it. */
  slowQuery(seconds: number, mark: string): string
  /** How many statements run that have `mark` in them. */
  running(mark: string): Promise<number>
  /** Connections of sources: those of this world are left out. */
  connections(): Promise<number>
  /** Makes a proxy say that the server behind it has no TLS. */
  hideTls(proxy: TcpProxy): void
  /** Statements that change something or write a file, each of which must be refused. */
  readonly changes: readonly string[]
  close(): Promise<void>
}

let tables = 0

/** The name of a table that no other case has. */
export function newTable(): string {
  tables += 1
  return `t${tables}`
}

export const NO_SIGNAL = new AbortController().signal

/** Reads everything of a table but what `query` says otherwise. */
export function queryOf(query: Partial<SqlQuery>): SqlQuery {
  return { select: { table: 't' }, key: null, after: null, batchRows: 1000, ...query }
}

export function openSource(t: TestContext, dsn: string, options: SqlSourceOptions = {}): SqlSource {
  const source = openSqlSource(dsn, { reconnect: QUICK_RECONNECT, ...options })
  t.after(() => source.close())
  return source
}

const QUICK_RECONNECT = { tries: 8, waitMs: 10, waitMaxMs: 500 }

/** All rows, each a list of cells in the order of the columns. */
export async function readRows(
  source: SqlSource,
  query: Partial<SqlQuery>,
  seen: (batch: TableBatch) => void = () => undefined,
): Promise<Cell[][]> {
  const rows: Cell[][] = []
  for await (const batch of source.read(queryOf(query), NO_SIGNAL)) {
    seen(batch)
    rows.push(...rowsOf(batch))
  }
  return rows
}

export function rowsOf({ rows, cells }: TableBatch): Cell[][] {
  return Array.from({ length: rows }, (_, row) => cells.map((column) => column[row] ?? null))
}

/** A proxy before the server, and the DSN through it. */
export async function throughProxy(
  t: TestContext,
  { server }: SqlWorld,
): Promise<{ readonly proxy: TcpProxy; readonly dsn: string }> {
  const proxy = await TcpProxy.start(server.port)
  t.after(() => proxy.close())
  return { proxy, dsn: server.dsn().replace(`:${server.port}/`, `:${proxy.port}/`) }
}

/** Waits until `check` holds. @throws when it does not in time. */
export async function until(what: string, check: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 5000
  while (!(await check())) {
    if (Date.now() > deadline) throw new Error(`not in time: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}
