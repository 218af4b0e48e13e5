/**
 * PostgreSQL behind the contract of `sql-session.ts`. The server looks at a statement before it runs, and
 * copies its rows in their binary form, which is read twice as fast as its text.
 */

import type pg from 'pg'
import type { Column } from '../../domain/table.ts'
import { abortable } from '../../lib/abortable.ts'
import { VectordError } from '../../lib/errors.ts'
import { BatchQueue, type BatchStream } from './batch-queue.ts'
import type { SqlDsn } from './dsn.ts'
import { beginPostgres, connectPostgres, postgresError } from './postgres-connection.ts'
import { BinaryCopy, Description } from './postgres-protocol.ts'
import { type PostgresRead, PostgresRows } from './postgres-rows.ts'
import {
  asTable,
  catalogueSql,
  copySql,
  nullKeySql,
  pageSql,
  plainSql,
} from './postgres-statement.ts'
import { type PostgresColumn, postgresColumn } from './postgres-types.ts'
import { checkNames, keyIndexOf, refusedKey } from './sql-keys.ts'
import type { Page, SqlSession, SqlStatement, SqlSystem } from './sql-session.ts'
import type { SqlQuery } from './sql-source.ts'

/** How long a second connection may take that ends a query. */
const CANCEL_TIMEOUT_MS = 5000

export class PostgresSystem implements SqlSystem {
  readonly #dsn: SqlDsn
  readonly #timeoutMs: number

  constructor(dsn: SqlDsn, timeoutMs: number) {
    this.#dsn = dsn
    this.#timeoutMs = timeoutMs
  }

  async connect(signal: AbortSignal): Promise<SqlSession> {
    const client = await connectPostgres(this.#dsn, this.#timeoutMs, signal)
    try {
      await beginPostgres(client)
      const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid')
      return new PostgresSession(client, { dsn: this.#dsn, pid: rows[0]?.pid ?? 0 })
    } catch (error) {
      client.connection.stream.destroy()
      throw postgresError(error, 'connect', this.#dsn)
    }
  }
}

class PostgresSession implements SqlSession {
  readonly #client: pg.Client
  readonly #dsn: SqlDsn
  /** Of the process that serves us. */
  readonly #pid: number
  #queue: BatchQueue | null = null
  /** Whether the server is at work for us. */
  #isBusy = false

  constructor(client: pg.Client, { dsn, pid }: { readonly dsn: SqlDsn; readonly pid: number }) {
    this.#client = client
    this.#dsn = dsn
    this.#pid = pid
  }

  async describe(query: SqlQuery): Promise<SqlStatement> {
    this.#isBusy = true
    try {
      return await this.#describe(query)
    } catch (error) {
      throw postgresError(error, 'describe', this.#dsn)
    } finally {
      this.#isBusy = false
    }
  }

  async close(): Promise<void> {
    this.#queue?.end(new VectordError('operation_cancelled', 'The read was ended.'))
    // First: a server that is busy with a query does not notice that its client is gone.
    if (this.#isBusy) await this.#cancel()
    this.#client.connection.stream.destroy()
  }

  async #describe(query: SqlQuery): Promise<SqlStatement> {
    const plain = plainSql(query)
    const source = asTable(query)
    const fields = await this.#fields(plain)
    if ('query' in query.select) await this.#fields(`SELECT * FROM ${source}`)
    const found = fields.map(postgresColumn)
    const facts = 'table' in query.select ? await this.#look(query.select) : null
    const columns = found.map(({ name, type }): Column => {
      return { name, type, nullable: facts?.notNull.has(name) !== true }
    })
    checkNames(columns)
    const keyIndex = keyIndexOf(columns, query.key, query.after)
    const key = keyIndex === null ? null : (found[keyIndex] ?? null)
    if (key !== null) checkKey(key, facts)
    const nullKey = key === null || facts?.isKnown === true ? null : nullKeySql(source, key)
    // A query that nothing must be changed about runs as it stands: it may have an order.
    const isPlain = 'query' in query.select && found.every(({ isCast }) => !isCast)
    const open = (page: Page): BatchStream => {
      const paged = key === null ? null : { column: key, page }
      const sql = isPlain && key === null ? plain : pageSql(source, found, paged)
      const { rowsBefore } = page
      const read = { found, columns, keyIndex, rowsBefore, batchRows: query.batchRows }
      return this.#run(sql, read, page.isInclusive ? null : nullKey)
    }
    return { columns, keyIndex, open }
  }

  async #fields(sql: string): Promise<readonly pg.FieldDef[]> {
    const fields = await this.#client.query(new Description(sql)).fields
    if (fields.length > 0) return fields
    throw new VectordError('bad_request', 'The query is not one SELECT with columns.', {
      details: { field: 'select' },
    })
  }

  /** What the catalogue says of a table. */
  async #look(select: { table: string; schema?: string }): Promise<TableFacts> {
    interface Row {
      readonly attname: string
      readonly attnotnull: boolean
      readonly is_unique: boolean
      readonly is_known: boolean
    }
    const { rows } = await this.#client.query<Row>(catalogueSql(select))
    const names = (having: readonly Row[]): ReadonlySet<string> =>
      new Set(having.map(({ attname }) => attname))
    return {
      notNull: names(rows.filter((row) => row.attnotnull)),
      unique: names(rows.filter((row) => row.is_unique)),
      isKnown: rows[0]?.is_known === true,
    }
  }

  #run(sql: string, read: PostgresRead, nullKey: string | null): BatchStream {
    const queue = new BatchQueue(this.#client.connection.stream)
    const rows = new PostgresRows(queue, read)
    const end = (error: unknown): void => {
      this.#isBusy = false
      if (error === null) rows.flush()
      queue.end(error === null ? null : postgresError(error, 'read', this.#dsn))
    }
    this.#queue = queue
    this.#isBusy = true
    const copy = new BinaryCopy(copySql(sql), { rows, end })
    void this.#checkNullKey(nullKey, read).then(() => this.#client.query(copy), end)
    return queue
  }

  async #checkNullKey(nullKey: string | null, { found, keyIndex }: PostgresRead): Promise<void> {
    if (nullKey === null) return
    const { rows } = await this.#client.query(nullKey)
    if (rows.length > 0) throw refusedKey(found[keyIndex ?? 0]?.name ?? '', 'is NULL in some rows')
  }

  async #cancel(): Promise<void> {
    const signal = AbortSignal.timeout(CANCEL_TIMEOUT_MS)
    try {
      const second = await connectPostgres(this.#dsn, CANCEL_TIMEOUT_MS, signal)
      const cancelled = second.query('SELECT pg_cancel_backend($1)', [this.#pid])
      await abortable(cancelled, signal).finally(() => {
        second.connection.stream.destroy()
      })
    } catch {
      // It is gone already, or the server is out of reach and will notice that we are.
    }
  }
}

interface TableFacts {
  readonly notNull: ReadonlySet<string>
  /** Each the only column of a unique index. */
  readonly unique: ReadonlySet<string>
  /** Whether all this holds for every row: not for a view, nor for a table that others inherit. */
  readonly isKnown: boolean
}

function checkKey({ name, keyType }: PostgresColumn, facts: TableFacts | null): void {
  if (keyType === null) throw refusedKey(name, 'is of a type whose order is not that of its values')
  if (facts?.isKnown !== true) return
  if (!facts.notNull.has(name)) throw refusedKey(name, 'may be NULL')
  if (!facts.unique.has(name)) throw refusedKey(name, 'is not the only column of a unique index')
}
