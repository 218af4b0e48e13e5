/**
 * The process of `readInProcess`.
 */

import { once } from 'node:events'
import type { Readable } from 'node:stream'
import { createConnection } from 'mysql2'
import pg from 'pg'
import QueryStream from 'pg-query-stream'
import { openSqlSource } from '../../src/ingest/sql/open-sql-source.ts'
import type { SqlQuery } from '../../src/ingest/sql/sql-source.ts'
import type { SqlReadCall, SqlReadTimes } from './sql-read.ts'
import { serve } from './worker-process.ts'

const BATCH_ROWS = 8192

serve(async (call: SqlReadCall): Promise<SqlReadTimes> => {
  const cpu = process.cpuUsage()
  const start = performance.now()
  const rows = call.reader === 'plain' ? await readPlain(call) : await readSource(call)
  const { user, system } = process.cpuUsage(cpu)
  return {
    rows,
    ms: performance.now() - start,
    cpuMs: (user + system) / 1000,
    rssMib: process.resourceUsage().maxRSS / 1024,
  }
})

async function readSource({ reader, dsn, table }: SqlReadCall): Promise<number> {
  const text = `SELECT * FROM ${table}${reader === 'ordered query' ? ' ORDER BY id' : ''}`
  const isTable = reader === 'table' || reader === 'key'
  const query: SqlQuery = {
    select: isTable ? { table } : { query: text },
    key: reader === 'key' ? 'id' : null,
    after: null,
    batchRows: BATCH_ROWS,
  }
  // As the driver alone reads: without TLS.
  const source = openSqlSource(`${dsn}?sslmode=disable`)
  let rows = 0
  for await (const batch of source.read(query, new AbortController().signal)) rows += batch.rows
  await source.close()
  return rows
}

async function readPlain({ dsn, table }: SqlReadCall): Promise<number> {
  const sql = `SELECT * FROM ${table}`
  if (dsn.startsWith('mysql')) {
    const connection = createConnection({ uri: dsn })
    const rows = await count(connection.query({ sql, rowsAsArray: true }).stream())
    connection.end()
    return rows
  }
  const client = new pg.Client({ connectionString: dsn })
  await client.connect()
  const stream = new QueryStream(sql, [], { rowMode: 'array', batchSize: 1000 })
  const rows = await count(client.query(stream))
  await client.end()
  return rows
}

async function count(stream: Readable): Promise<number> {
  let rows = 0
  stream.on('data', () => {
    rows += 1
  })
  await once(stream, 'end')
  return rows
}
