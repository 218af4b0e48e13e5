/**
 * How fast does a table of a database become a dataset, and in how much memory?
 *
 * 5,000,000 rows of eight columns from a real MariaDB and a real PostgreSQL to Parquet in a local
 * bucket, over HTTP: until the dataset is published. Beside the driver's own stream of the same rows,
 * which throws them away. All of it on the same two cores; the ingest runs at a low priority. Memory
 * is compared with that of an ingest of a quarter of the rows.
 *
 *     npm run bench:sql-ingest -- --quick
 */

import { readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import type { SqlServer } from '../test/support/sql-server.ts'
import { processTree } from '../test/support/process-tree.ts'
import { treeCpuMs, treeMemory } from './support/process-cpu.ts'
import { print, progress, readOptions, type Row, type Target } from './support/report.ts'
import { BenchServer, withFolder } from './support/server.ts'
import { readInProcess } from './support/sql-read.ts'
import { loadTable, SQL_SYSTEMS, withSqlServer, type SqlSystem } from './support/sql-table.ts'

const LOOK_MS = 50
const MIB = 2 ** 20
const SHARE_MIN = 0.6
const GROWTH_MAX = 1.15

interface Ingested {
  readonly rows: number
  readonly ms: number
  /** Of the ingest's process. */
  readonly cpuMs: number
  readonly peakMib: number
  /** How much the front grew meanwhile. */
  readonly frontMib: number
}

interface Operation {
  readonly state: string
  /** Of one that failed. */
  readonly error?: object
}

const options = readOptions()
const rows = options.quick ? 200_000 : 5_000_000
const tables: Record<string, readonly Row[]> = {}
const targets: Target[] = []

for (const system of SQL_SYSTEMS) {
  await withSqlServer(system, (server) => withFolder((root) => measure(system, server, root)))
}
print(
  {
    bench: 'sql-ingest',
    parameters: { rows, columns: 8 },
    tables,
    targets,
    notes: [
      'the database runs on the same cores, so the share of the CPU tells more than of rows/s',
    ],
  },
  options,
)

async function measure(system: SqlSystem, database: SqlServer, root: string): Promise<void> {
  await loadTable(system, database, { table: 'large', rows })
  await loadTable(system, database, { table: 'small', rows: rows / 4 })
  progress(`${system}: ${rows} rows are there`)
  // A machine that is busy with databases is measured too.
  const env = { VECTORD_SERVER_SHED_EVENT_LOOP_DELAY_MS: '0' }
  const server = await BenchServer.start(root, { env, profile: options.profile })
  await server.answersAfterMs('GET', '/readyz')
  const small = await ingest(server, system, { table: 'small', dsn: database.dsn() })
  const plain = await readInProcess({ reader: 'plain', table: 'large', dsn: database.dsn() })
  const large = await ingest(server, system, { table: 'large', dsn: database.dsn() })
  await server.stop()
  if (plain.rows !== rows || large.rows !== rows) throw new Error('rows are missing')
  const rate = (count: number, ms: number): number => count / (ms / 1000)
  tables[system] = [
    {
      reader: 'the driver alone',
      'rows/s': rate(plain.rows, plain.ms),
      'rows/s of CPU': rate(plain.rows, plain.cpuMs),
      'peak MiB': plain.rssMib,
      'front MiB': null,
    },
    ...[small, large].map((one) => ({
      reader: `ingest of ${one.rows} rows`,
      'rows/s': rate(one.rows, one.ms),
      'rows/s of CPU': rate(one.rows, one.cpuMs),
      'peak MiB': one.peakMib,
      'front MiB': one.frontMib,
    })),
  ]
  targets.push(
    {
      name: `${system}: rows a second, share of the driver's`,
      value: plain.ms / large.ms,
      bound: SHARE_MIN,
      kind: 'at_least',
    },
    {
      name: `${system}: peak memory of four times the rows, times that of the rows`,
      value: large.peakMib / small.peakMib,
      bound: GROWTH_MAX,
      kind: 'at_most',
    },
  )
}

async function ingest(
  server: BenchServer,
  system: SqlSystem,
  { table, dsn }: { readonly table: string; readonly dsn: string },
): Promise<Ingested> {
  const path = system === 'MariaDB' ? '/ingest/mysql' : '/ingest/db'
  const before = front(server)
  const startedMs = performance.now()
  const { operation_id: id } = (await server.call('POST', path, {
    ...{ dsn: `${dsn}?sslmode=disable`, table, key: 'id', dataset: table },
  })) as { operation_id: string }
  let [peakMib, cpuMs, frontMib] = [0, 0, 0]
  for (;;) {
    const pid = await ingestProcess(server.pid)
    if (pid !== null) {
      cpuMs = Math.max(cpuMs, treeCpuMs(pid))
      peakMib = Math.max(peakMib, peakOf(pid))
    }
    frontMib = Math.max(frontMib, front(server) - before)
    const { state, error } = (await server.call('GET', `/operations/${id}`)) as Operation
    if (state === 'succeeded') break
    if (state === 'failed') throw new Error(JSON.stringify(error))
    await sleep(LOOK_MS)
  }
  const ms = performance.now() - startedMs
  const dataset = (await server.call('GET', `/datasets/${table}`)) as { rows: number }
  progress(`${system}, ${table}: ${dataset.rows} rows in ${(ms / 1000).toFixed(1)} s`)
  return { rows: dataset.rows, ms, cpuMs, peakMib, frontMib }
}

function peakOf(pid: number): number {
  return (treeMemory(pid)[0]?.peakBytes ?? 0) / MIB
}

function front(server: BenchServer): number {
  return (treeMemory(server.pid).find(({ pid }) => pid === server.pid)?.rssBytes ?? 0) / MIB
}

async function ingestProcess(root: number): Promise<number | null> {
  for (const pid of await processTree(root)) {
    const line = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
    if (line.includes('ingest-main')) return pid
  }
  return null
}
