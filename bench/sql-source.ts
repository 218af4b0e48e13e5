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

import type { SqlServer } from '../test/support/sql-server.ts'
import { print, progress, readOptions, type Row, type Target } from './support/report.ts'
import {
  readInProcess,
  SQL_READERS,
  type SqlReaderKind,
  type SqlReadTimes,
} from './support/sql-read.ts'
import { loadTable, SQL_SYSTEMS, withSqlServer, type SqlSystem } from './support/sql-table.ts'

const ROUNDS = 3
/** Of the driver's rows a second of CPU. */
const SHARE_MIN = 0.6
/** How much more memory four times the rows may take. */
const GROWTH_MAX = 1.15

const options = readOptions()
const rows = options.quick ? 100_000 : 1_000_000

interface System {
  readonly name: SqlSystem
  readonly server: SqlServer
}

interface Measured {
  readonly system: string
  readonly best: ReadonlyMap<SqlReaderKind, SqlReadTimes>
  readonly large: SqlReadTimes
}

const measured: Measured[] = []
for (const name of SQL_SYSTEMS) {
  await withSqlServer(name, async (server) => {
    progress(`${name}: ${rows} rows, and four times as many`)
    await loadTable(name, server, { table: 'small', rows })
    await loadTable(name, server, { table: 'large', rows: 4 * rows })
    measured.push(await measure({ name, server }))
  })
}
report(measured)

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
