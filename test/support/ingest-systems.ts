/**
 * The databases that ingests are tested with: how a table of items is made in each, and what only a
 * server can tell.
 */

import { setTimeout as sleep } from 'node:timers/promises'
import mysql from 'mysql2/promise'
import pg from 'pg'
import { startMariadb } from './mariadb-server.ts'
import { startPostgres } from './postgres-server.ts'
import type { SqlServer } from './sql-server.ts'

/** A server may listen before it takes queries. */
export async function whenUp(work: () => Promise<unknown>): Promise<void> {
  for (let tries = 1; ; tries += 1) {
    try {
      await work()
      return
    } catch (error) {
      if (tries === 100) throw error
      await sleep(100)
    }
  }
}

export interface IngestSystem {
  readonly route: string
  readonly start: () => Promise<SqlServer | null>
  /** Runs statements one after the other, and answers the rows of the last. */
  readonly run: (dsn: string, ...statements: readonly string[]) => Promise<readonly object[]>
  readonly setUp: readonly string[]
  /** A query that takes as long as it is let. */
  readonly endless: string
  /** How many endless ones the server has under way. */
  readonly running: string
  readonly quote: (name: string) => string
}

export function ingestSystems(rows: number): Readonly<Record<string, IngestSystem>> {
  return { MariaDB: mariadb(rows), PostgreSQL: postgres(rows) }
}

const mariadb = (rows: number): IngestSystem => ({
  route: '/ingest/mysql',
  start: startMariadb,
  run: async (dsn, ...statements) => {
    const client = await mysql.createConnection(dsn)
    try {
      let rows: readonly object[] = []
      for (const statement of statements) rows = (await client.query(statement))[0] as object[]
      return rows
    } finally {
      await client.end()
    }
  },
  setUp: [
    'CREATE TABLE items (id BIGINT PRIMARY KEY, v TEXT, email VARCHAR(64), n INT NULL)',
    `INSERT INTO items SELECT seq, CONCAT('[', seq, ',1,2,3]'), CONCAT('u', seq, '@example.org'),
       IF(seq % 3 = 0, NULL, seq) FROM seq_1_to_${rows}`,
  ],
  endless: "SELECT SLEEP(600) AS id, '[1,2,3,4]' AS v",
  running:
    "SELECT COUNT(*) AS n FROM information_schema.processlist WHERE info LIKE '%SLEEP(600)%' AND id <> CONNECTION_ID()",
  quote: (name) => `\`${name.replaceAll('`', '``')}\``,
})

const postgres = (rows: number): IngestSystem => ({
  route: '/ingest/db',
  start: startPostgres,
  run: async (dsn, ...statements) => {
    const client = new pg.Client({ connectionString: dsn })
    await client.connect()
    try {
      let rows: readonly object[] = []
      for (const statement of statements) rows = (await client.query(statement)).rows as object[]
      return rows
    } finally {
      await client.end()
    }
  },
  setUp: [
    'CREATE TABLE items (id bigint PRIMARY KEY, v real[], email text, n int)',
    `INSERT INTO items SELECT s, ARRAY[s, 1, 2, 3]::real[], 'u' || s || '@example.org',
       CASE WHEN s % 3 = 0 THEN NULL ELSE s END FROM generate_series(1, ${rows}) s`,
  ],
  endless: "SELECT pg_sleep(600)::text AS id, '[1,2,3,4]' AS v",
  running:
    "SELECT COUNT(*)::int AS n FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%pg_sleep(600)%' AND pid <> pg_backend_pid()",
  quote: (name) => `"${name.replaceAll('"', '""')}"`,
})
