/**
 * Reads a SQL source, whatever its system: pages in the order of the key, and connections that are lost.
 *
 *     connect ─► describe ─► page ─► page ─► … ─► end          one session, one snapshot
 *        ▲                     │
 *        └── wait, behind the last row given ◄── lost          where the query has a key
 */

import { setTimeout as sleep } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import type { Column, TableBatch } from '../../domain/table.ts'
import { hasCode, VectordError } from '../../lib/errors.ts'
import { abortable } from '../../lib/abortable.ts'
import { invariant } from '../../lib/invariant.ts'
import type { BatchStream } from './batch-queue.ts'
import { redactDsn, type SqlSystemName } from './dsn.ts'
import { KeyOrder, type Overlap, refusedKey } from './sql-keys.ts'
import {
  type Page,
  type SqlSession,
  type SqlStatement,
  type SqlSystem,
  ValueRefusal,
} from './sql-session.ts'
import type { ReconnectOptions, SqlQuery, SqlSource } from './sql-source.ts'

/** Rows of one statement: enough that planning it does not count, few enough that it ends soon. */
export const PAGE_ROWS = 100_000

/** Some 30 seconds in all: a server that restarts is back by then. */
export const RECONNECT: ReconnectOptions = { tries: 8, waitMs: 200, waitMaxMs: 8000 }

export interface SqlReaderOptions {
  readonly name: SqlSystemName
  readonly dsn: string
  readonly system: SqlSystem
  readonly pageRows: number
  readonly reconnect: ReconnectOptions
}

export class SqlReader implements SqlSource {
  readonly system: SqlSystemName
  readonly redactedDsn: string
  readonly #options: SqlReaderOptions
  readonly #closing = new AbortController()

  constructor(options: SqlReaderOptions) {
    invariant(options.pageRows >= 1, 'a page has rows')
    this.#options = options
    this.system = options.name
    this.redactedDsn = redactDsn(options.dsn)
  }

  async columns(query: SqlQuery, signal: AbortSignal): Promise<readonly Column[]> {
    const reading = this.#start(query, signal)
    try {
      return (await reading.statement()).columns
    } finally {
      await reading.stop()
    }
  }

  async *read(query: SqlQuery, signal: AbortSignal): AsyncGenerator<TableBatch> {
    const reading = this.#start(query, signal)
    try {
      yield* reading.batches()
    } finally {
      await reading.stop()
    }
  }

  async close(): Promise<void> {
    this.#closing.abort(new VectordError('operation_cancelled', 'The SQL source was closed.'))
  }

  #start(query: SqlQuery, signal: AbortSignal): Reading {
    const either = AbortSignal.any([signal, this.#closing.signal])
    either.throwIfAborted()
    checkQuery(query)
    return new Reading(this.#options, query, either)
  }
}

/** One read, over as many sessions as it takes. */
class Reading {
  readonly #options: SqlReaderOptions
  readonly #query: SqlQuery
  readonly #signal: AbortSignal
  #session: SqlSession | null = null
  #columns: readonly Column[] | null = null
  #order: KeyOrder | null = null
  #rows = 0
  /** Lost connections since the last row. */
  #losses = 0

  constructor(options: SqlReaderOptions, query: SqlQuery, signal: AbortSignal) {
    this.#options = options
    this.#query = query
    this.#signal = signal
  }

  /** Connects, and looks at the query. */
  async statement(): Promise<SqlStatement> {
    this.#session = await this.#options.system.connect(this.#signal)
    return abortable(this.#session.describe(this.#query), this.#signal)
  }

  async *batches(): AsyncGenerator<TableBatch> {
    for (;;) {
      try {
        yield* this.#pages(await this.statement())
        return
      } catch (error) {
        this.#signal.throwIfAborted()
        if (!this.#mayResume(error)) throw error
        await this.stop()
        await this.#wait()
      }
    }
  }

  /** Ends the session, and what runs in it on the server. */
  async stop(): Promise<void> {
    const session = this.#session
    this.#session = null
    await session?.close()
  }

  async *#pages(statement: SqlStatement): AsyncGenerator<TableBatch> {
    const { columns, keyIndex } = statement
    this.#checkColumns(columns)
    const keyColumn = keyIndex === null ? undefined : columns[keyIndex]
    if (keyIndex === null || keyColumn === undefined) {
      const all = { from: null, isInclusive: false, rowsMax: null, rowsBefore: 0 }
      yield* this.#page(statement.open(all), (batch) => batch)
      return
    }
    const order = (this.#order ??= new KeyOrder(keyColumn, keyIndex, this.#query.after))
    let overlap: Overlap = this.#rows === 0 ? 'none' : 'may'
    for (;;) {
      const isInclusive = overlap !== 'none'
      const repeated = isInclusive ? 1 : 0
      const rowsMax = this.#options.pageRows + repeated
      const rowsBefore = this.#rows - repeated
      const page = { from: order.last, isInclusive, rowsMax, rowsBefore }
      const ofFirst = overlap
      const stream = openPage(statement, page, keyColumn)
      const read = yield* this.#page(stream, (batch, isFirst) =>
        order.take(batch, isFirst ? ofFirst : 'none'),
      )
      if (read < rowsMax) return
      overlap = 'must'
    }
  }

  /** @returns how many rows it had, with those that `check` took away. */
  async *#page(
    stream: BatchStream,
    check: (batch: TableBatch, isFirst: boolean) => TableBatch,
  ): AsyncGenerator<TableBatch, number> {
    let read = 0
    for (;;) {
      const batch = await abortable(stream.next(), this.#signal)
      if (batch === null) return read
      const fresh = check(batch, read === 0)
      read += batch.rows
      if (fresh.rows === 0) continue
      this.#rows += fresh.rows
      this.#losses = 0
      yield fresh
      this.#signal.throwIfAborted()
    }
  }

  #checkColumns(columns: readonly Column[]): void {
    this.#columns ??= columns
    if (isDeepStrictEqual(columns, this.#columns)) return
    throw new VectordError('source_failed', 'The columns of the source changed while it was read.')
  }

  /** A server that was never reached is said at once: the request may name the wrong one. */
  #mayResume(error: unknown): boolean {
    const { tries } = this.#options.reconnect
    const wasReached = this.#columns !== null
    const hasKey = this.#query.key !== null
    return hasCode(error, 'source_unreachable') && wasReached && hasKey && this.#losses < tries
  }

  async #wait(): Promise<void> {
    const { waitMs, waitMaxMs } = this.#options.reconnect
    const wait = Math.min(waitMaxMs, waitMs * 2 ** this.#losses)
    this.#losses += 1
    await sleep(wait, undefined, { signal: this.#signal }).catch(() => undefined)
    this.#signal.throwIfAborted()
  }
}

/** @throws {VectordError} `bad_request` where the server could not be told where the page begins. */
function openPage(statement: SqlStatement, page: Page, key: Column): BatchStream {
  try {
    return statement.open(page)
  } catch (error) {
    if (!(error instanceof ValueRefusal)) throw error
    throw refusedKey(key.name, `has a value that ${error.message}`)
  }
}

function checkQuery({ select, batchRows }: SqlQuery): void {
  invariant(Number.isInteger(batchRows) && batchRows >= 1, 'a batch has rows')
  if ('query' in select) {
    checkText(select.query.trim(), 'query')
    return
  }
  checkText(select.table, 'table')
  if (select.schema !== undefined) checkText(select.schema, 'schema')
  for (const column of select.columns ?? ['all']) checkText(column, 'columns')
  if (select.columns?.length === 0) {
    throw new VectordError('bad_request', '`columns` names none.', {
      details: { field: 'columns' },
    })
  }
}

function checkText(text: string, field: string): void {
  if (text !== '' && !text.includes('\0')) return
  throw new VectordError('bad_request', `\`${field}\` is empty or holds a NUL.`, {
    details: { field },
  })
}
