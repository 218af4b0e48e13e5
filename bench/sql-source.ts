/**
 * How fast is a database read into batches, beside its driver that only reads rows, and in how much memory?
 *
 * A real MariaDB and a real PostgreSQL, on the same cores, with a table of eight columns: a key, two
 * texts, a decimal, a double, a boolean, a time and an integer with NULLs. Each reading is a process of
 * its own, in turns; the quickest of each kind counts. CPU is that of the reading process. Memory is
 * compared with that of a table of four times the rows.
 *
 *     npm run bench:sql-source -- --quick
 */

import { createConnection } from 'mysql2/promise'
import pg from 'pg'
import { startMariadb } from '../test/support/mariadb-server.ts'
import { startPostgres } from '../test/support/postgres-server.ts'
import type { SqlServer } from '../test/support/sql-server.ts'
import { print, progress, readOptions, type Row, type Target } from './support/report.ts'
import {
  readInProcess,
  SQL_READERS,
  type SqlReaderKind,
  type SqlReadTimes,
} from './support/sql-read.ts'

const ROUNDS = 3
/** Of the driver's rows a second of CPU. */
const SHARE_MIN = 0.6
/** How much more memory four times the rows may take. */
const GROWTH_MAX = 1.15

const options = readOptions()
const rows = options.quick ? 100_000 : 1_000_000

const COLUMNS = (time: string, boolean: string, double: string): string =>
  `(id bigint NOT NULL PRIMARY KEY, name varchar(60) NOT NULL, body text, price decimal(10,2),
    score ${double}, active ${boolean} NOT NULL, created ${time} NOT NULL, category int)`
const BODY = 'A text of some length that describes the product in a few words of English, number '

interface System {
  readonly name: string
  readonly server: SqlServer
}

interface Measured {
  readonly system: string
  readonly best: ReadonlyMap<SqlReaderKind, SqlReadTimes>
  readonly large: SqlReadTimes
}

process.env['VECTORD_TEST_REQUIRE_SERVICES'] = '1'
const measured = [await withServer('MariaDB'), await withServer('PostgreSQL')]
report(measured)

async function withServer(name: 'MariaDB' | 'PostgreSQL'): Promise<Measured> {
  const server = await (name === 'MariaDB' ? startMariadb() : startPostgres())
  if (server === null) throw new Error(`${name} cannot be started`)
  try {
    progress(`${name}: ${rows} rows, and four times as many`)
    const load = name === 'MariaDB' ? loadMariadb : loadPostgres
    await load(server, 'small', rows)
    await load(server, 'large', 4 * rows)
    return await measure({ name, server })
  } finally {
    await server.close()
  }
}

async function measure({ name, server }: System): Promise<Measured> {
  const best = new Map<SqlReaderKind, SqlReadTimes>()
  for (let round = 1; round <= ROUNDS; round += 1) {
    progress(`${name}: round ${round} of ${ROUNDS}`)
    for (const reader of SQL_READERS) {
      const times = await read(server, reader, { table: 'small', expected: rows })
      const before = best.get(reader)
      if (before === undefined || times.cpuMs < before.cpuMs) best.set(reader, times)
    }
  }
  const large = await read(server, 'key', { table: 'large', expected: 4 * rows })
  return { system: name, best, large }
}

async function read(
  server: SqlServer,
  reader: SqlReaderKind,
  { table, expected }: { readonly table: string; readonly expected: number },
): Promise<SqlReadTimes> {
  const times = await readInProcess({ reader, table, dsn: server.dsn() })
  if (times.rows === expected) return times
  throw new Error(`${reader}: ${times.rows} rows of ${expected}`)
}

async function loadMariadb(server: SqlServer, table: string, count: number): Promise<void> {
  const connection = await createConnection(server.dsn())
  await connection.query(`CREATE TABLE ${table} ${COLUMNS('datetime(6)', 'tinyint(1)', 'double')}`)
  await connection.query(`INSERT INTO ${table} SELECT seq, CONCAT('Product ', seq),
    CONCAT('${BODY}', seq, ' ', MD5(seq)), seq / 7 % 1000, seq / 3.0e0, seq % 2,
    TIMESTAMP('2020-01-01') + INTERVAL seq * 1234567 MICROSECOND,
    IF(seq % 10 = 0, NULL, seq % 100) FROM seq_1_to_${count}`)
  await connection.end()
}

async function loadPostgres(server: SqlServer, table: string, count: number): Promise<void> {
  const client = new pg.Client({ connectionString: server.dsn() })
  await client.connect()
  await client.query(`CREATE TABLE ${table} ${COLUMNS('timestamp', 'boolean', 'double precision')}`)
  await client.query(`INSERT INTO ${table} SELECT n, 'Product ' || n,
    '${BODY}' || n || ' ' || md5(n::text), (n / 7.0) % 1000, n / 3.0::float8, n % 2 = 1,
    timestamp '2020-01-01' + n * interval '1234567 microseconds',
    CASE WHEN n % 10 = 0 THEN NULL ELSE n % 100 END FROM generate_series(1, ${count}) n`)
  await client.query(`VACUUM ANALYZE ${table}`)
  await client.end()
}

function report(all: readonly Measured[]): void {
  const tables: Record<string, readonly Row[]> = {}
  const targets: Target[] = []
  for (const { system, best, large } of all) {
    const plain = timesOf(best, 'plain')
    tables[system] = SQL_READERS.map((reader) => {
      const times = timesOf(best, reader)
      return {
        reader,
        'rows/s': times.rows / (times.ms / 1000),
        'rows/s of CPU': times.rows / (times.cpuMs / 1000),
        'share of plain': plain.cpuMs / times.cpuMs,
        'peak MiB': times.rssMib,
      }
    })
    for (const reader of ['table', 'key', 'query'] as const) {
      const value = plain.cpuMs / timesOf(best, reader).cpuMs
      const name = `${system}, ${reader}: rows a second of CPU, share of the driver's`
      targets.push({ name, value, bound: SHARE_MIN, kind: 'at_least' })
    }
    const growth = large.rssMib / timesOf(best, 'key').rssMib
    const name = `${system}: peak memory of four times the rows, times that of the rows`
    targets.push({ name, value: growth, bound: GROWTH_MAX, kind: 'at_most' })
  }
  const notes = [
    'a query of MariaDB that has an order of its own is read as it stands, times as text',
  ]
  print({ bench: 'sql-source', parameters: { rows, columns: 8 }, tables, targets, notes }, options)
}

function timesOf(
  best: ReadonlyMap<SqlReaderKind, SqlReadTimes>,
  kind: SqlReaderKind,
): SqlReadTimes {
  const times = best.get(kind)
  if (times === undefined) throw new Error(`no reading of ${kind}`)
  return times
}
