/**
 * MySQL and MariaDB behind the contract of `sql-session.ts`, by prepared statements: the server looks at
 * a statement before it runs, takes one at a time, and sends rows in the binary protocol.
 */

import type { Connection } from 'mysql2'
import { abortable } from '../../lib/abortable.ts'
import { VectordError } from '../../lib/errors.ts'
import { BatchQueue, type BatchStream } from './batch-queue.ts'
import type { SqlDsn } from './dsn.ts'
import {
  beginMysql,
  connectMysql,
  describeMysql,
  mysqlError,
  runMysql,
} from './mysql-connection.ts'
import { type MysqlRead, MysqlRows } from './mysql-rows.ts'
import { asTable, canBeMerged, pageSql, plainSql, tableName, viewSql } from './mysql-statement.ts'
import { type MysqlColumn, mysqlColumn, type MysqlRow, tableColumn } from './mysql-types.ts'
import { checkNames, keyIndexOf, refusedKey } from './sql-keys.ts'
import type { Page, SqlSession, SqlStatement, SqlSystem } from './sql-session.ts'
import type { SqlQuery } from './sql-source.ts'

/** How long a second connection may take that ends a query. */
const KILL_TIMEOUT_MS = 5000

export class MysqlSystem implements SqlSystem {
  readonly #dsn: SqlDsn
  readonly #timeoutMs: number

  constructor(dsn: SqlDsn, timeoutMs: number) {
    this.#dsn = dsn
    this.#timeoutMs = timeoutMs
  }

  async connect(signal: AbortSignal): Promise<SqlSession> {
    const connection = await connectMysql(this.#dsn, this.#timeoutMs, signal)
    try {
      await beginMysql(connection)
    } catch (error) {
      connection.destroy()
      throw mysqlError(error, 'connect', this.#dsn)
    }
    return new MysqlSession(connection, this.#dsn)
  }
}

class MysqlSession implements SqlSession {
  readonly #connection: Connection
  readonly #dsn: SqlDsn
  #queue: BatchQueue | null = null
  /** Whether the server is at work for us. */
  #isBusy = false

  constructor(connection: Connection, dsn: SqlDsn) {
    this.#connection = connection
    this.#dsn = dsn
    // The driver tells a lost connection to those who wait for an answer, not to those who take rows.
    connection.on('error', (error: Error) => {
      this.#queue?.end(mysqlError(error, 'read', this.#dsn))
    })
  }

  async describe(query: SqlQuery): Promise<SqlStatement> {
    this.#isBusy = true
    try {
      return await this.#describe(query)
    } catch (error) {
      throw mysqlError(error, 'describe', this.#dsn)
    } finally {
      this.#isBusy = false
    }
  }

  async close(): Promise<void> {
    this.#queue?.end(new VectordError('operation_cancelled', 'The read was ended.'))
    // First: a server that is busy with a query does not notice that its client is gone.
    if (this.#isBusy) await this.#kill()
    this.#connection.destroy()
  }

  async #describe(query: SqlQuery): Promise<SqlStatement> {
    const connection = this.#connection
    const plain = plainSql(query)
    const source = asTable(query)
    const wrapped = `SELECT * FROM ${source}`
    const fields = await describeMysql(connection, plain)
    if ('query' in query.select) await describeMysql(connection, wrapped)
    const found = fields.map(mysqlColumn)
    const facts = 'table' in query.select ? await this.#look(query.select) : null
    const columns = found.map((column) => {
      return tableColumn(column, facts?.notNull.has(column.name.toLowerCase()) !== true)
    })
    checkNames(columns)
    const keyIndex = keyIndexOf(columns, query.key, query.after)
    const key = keyIndex === null ? null : (found[keyIndex] ?? null)
    if (key !== null) checkKey(key, facts)
    const mustBeWrapped = key !== null || found.some(({ kind }) => kind === 'geometry')
    // A query runs as it stands where that makes a difference; wrapped, its times are read faster.
    const isWrapped = mustBeWrapped || canBeMerged(query)
    const open = (page: Page): BatchStream => {
      const paged = key === null ? null : { column: key, page }
      const sql = isWrapped ? pageSql(source, found, paged) : plain
      const { rowsBefore } = page
      return this.#run(sql, { found, columns, keyIndex, rowsBefore, batchRows: query.batchRows })
    }
    return { columns, keyIndex, open }
  }

  /** What the catalogue says of a table; null for a view, whose keys it does not know. */
  async #look(select: { table: string; schema?: string }): Promise<TableFacts | null> {
    const connection = this.#connection
    const views = await runMysql(connection, viewSql(select))
    if (views.length > 0) return null
    const name = tableName(select)
    const shown = await runMysql(connection, `SHOW FULL COLUMNS FROM ${name}`)
    const notNull = shown.filter((row) => row[3] === 'NO').map((row) => String(row[0]))
    const keys = await runMysql(connection, `SHOW KEYS FROM ${name}`)
    const lowerCase = (names: readonly string[]): ReadonlySet<string> =>
      new Set(names.map((each) => each.toLowerCase()))
    return { notNull: lowerCase(notNull), unique: lowerCase(uniqueColumns(keys)) }
  }

  #run(sql: string, read: MysqlRead): BatchStream {
    const connection = this.#connection
    const queue = new BatchQueue(connection)
    const rows = new MysqlRows(queue, read)
    const fail = (error: unknown): void => {
      this.#isBusy = false
      queue.end(mysqlError(error, 'read', this.#dsn))
    }
    this.#queue = queue
    this.#isBusy = true
    connection.prepare(sql, (error, statement) => {
      if (error !== null) {
        fail(error)
        return
      }
      const execution = statement.execute([])
      execution.on('result', (row) => {
        rows.add(row as unknown as MysqlRow)
      })
      execution.on('error', fail)
      execution.on('end', () => {
        this.#isBusy = false
        connection.unprepare(sql)
        rows.flush()
        queue.end(null)
      })
    })
    return queue
  }

  async #kill(): Promise<void> {
    const signal = AbortSignal.timeout(KILL_TIMEOUT_MS)
    try {
      const second = await connectMysql(this.#dsn, KILL_TIMEOUT_MS, signal)
      const killed = runMysql(second, `KILL ${this.#connection.threadId}`)
      await abortable(killed, signal).finally(() => {
        second.destroy()
      })
    } catch {
      // It is gone already, or the server is out of reach and will notice that we are.
    }
  }
}

interface TableFacts {
  /** Names in lower case, as those of all columns compare. */
  readonly notNull: ReadonlySet<string>
  /** Each the only column of a unique index. */
  readonly unique: ReadonlySet<string>
}

/** From the rows of SHOW KEYS. */
function uniqueColumns(keys: readonly (readonly unknown[])[]): readonly string[] {
  const byKey = Map.groupBy(keys, (row) => String(row[2]))
  return [...byKey.values()].flatMap((rows) => {
    const [, nonUnique, , , column, , , prefix] = rows[0] ?? []
    const isUnique = rows.length === 1 && Number(nonUnique) === 0 && prefix === null
    return isUnique && typeof column === 'string' ? [column] : []
  })
}

function checkKey({ name, canBeKey }: MysqlColumn, facts: TableFacts | null): void {
  if (!canBeKey) throw refusedKey(name, 'is of a type whose order is not that of its values')
  if (facts === null) return
  if (!facts.notNull.has(name.toLowerCase())) throw refusedKey(name, 'may be NULL')
  if (!facts.unique.has(name.toLowerCase())) {
    throw refusedKey(name, 'is not the only column of a unique index')
  }
}
