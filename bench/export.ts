/**
 * How fast is an index exported in each format, and what does that take of memory?
 *
 * 100,000 points of 768 numbers with a little metadata, read by one client on the same machine that
 * throws the bytes away. The raw vectors are 307 MB. Resident memory is looked at every few
 * milliseconds: of the front, how much it grows; of the export process, its peak as the system counts it.
 * The process gives way to everybody, so beside other work its CPU seconds tell more than the time.
 */

import { readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { processTree } from '../test/support/process-tree.ts'
import { normal } from './support/prng.ts'
import { treeCpuMs } from './support/process-cpu.ts'
import { print, progress, readOptions, type Row } from './support/report.ts'
import { BenchServer, withFolder } from './support/server.ts'

const FORMATS = ['parquet', 'arrow', 'ndjson', 'csv'] as const
const DIMENSION = 768
const BATCH = 500
const SEED = 768
const LOOK_MS = 10
const MIB = 2 ** 20
/** What the front may hold of exports, whatever their size. */
const FRONT_MIB_MAX = 64
const CHILD_MIB_MAX = 512

const ENV = {
  // No graph: it is not exported, and building it takes longest.
  VECTORD_SEARCH_FLAT_THRESHOLD: '1000000',
  VECTORD_SERVER_SHED_EVENT_LOOP_DELAY_MS: '0',
}

const options = readOptions()
const points = options.quick ? 10_000 : 100_000
await withFolder(run)

async function run(root: string): Promise<void> {
  const server = await BenchServer.start(root, { profile: options.profile, env: ENV })
  await fill(server)
  await server.call('POST', '/vectors/indexes/wide/checkpoint?wait=true')
  const rows: Row[] = []
  for (const format of FORMATS) rows.push(await measure(server, format))
  await server.stop()
  const most = (column: string): number => Math.max(...rows.map((row) => Number(row[column])))
  print(
    {
      bench: 'export',
      parameters: { points, dimension: DIMENSION, raw_mib: (points * DIMENSION * 4) / MIB },
      tables: { exports: rows },
      targets: [
        {
          name: 'growth of the front, MiB',
          value: most('front_mib'),
          bound: FRONT_MIB_MAX,
          kind: 'at_most',
        },
        {
          name: 'peak of the process, MiB',
          value: most('child_mib'),
          bound: CHILD_MIB_MAX,
          kind: 'at_most',
        },
      ],
      notes: ['one client on the same machine; the process runs at niceness 10'],
    },
    options,
  )
}

async function fill(server: BenchServer): Promise<void> {
  await server.answersAfterMs('GET', '/readyz')
  await server.call('POST', '/vectors/indexes', {
    name: 'wide',
    dimension: DIMENSION,
    metric: 'l2',
  })
  await server.answersAfterMs('GET', '/readyz')
  const random = normal(SEED)
  for (let from = 0; from < points; from += BATCH) {
    const vectors = Float32Array.from({ length: BATCH * DIMENSION }, random)
    const numbers = Array.from({ length: BATCH }, (_, i) => from + i)
    await server.call('POST', '/vectors/indexes/wide/points', {
      ids: numbers.map((n) => `p${n}`),
      vectors: Buffer.from(vectors.buffer).toString('base64'),
      metadata: numbers.map((n) => ({ n, group: `g${n % 10}` })),
    })
  }
  progress(`${points} points written`)
}

async function measure(server: BenchServer, format: (typeof FORMATS)[number]): Promise<Row> {
  const path = `/vectors/indexes/wide/export?format=${format}`
  const before = await memory(server.pid, 'VmRSS')
  const over = new AbortController()
  const peaks = watch(server, over.signal)
  const startedMs = performance.now()
  const response = await fetch(new URL(path, server.url))
  if (!response.ok || response.body === null) throw new Error(await response.text())
  const firstMs = performance.now() - startedMs
  let bytes = 0
  for await (const chunk of response.body) bytes += (chunk as Uint8Array).byteLength
  const seconds = (performance.now() - startedMs) / 1000
  over.abort()
  const { front, child, cpuMs } = await peaks
  progress(`${format}: ${seconds.toFixed(1)} s`)
  return {
    format,
    file_mib: bytes / MIB,
    seconds,
    mib_a_second: bytes / MIB / seconds,
    points_a_second: points / seconds,
    cpu_s: cpuMs / 1000,
    first_byte_ms: firstMs,
    front_mib: Math.max(0, front - before) / MIB,
    child_mib: child / MIB,
  }
}

/** Peaks of resident bytes while it runs, and the CPU that the process took. */
async function watch(
  server: BenchServer,
  signal: AbortSignal,
): Promise<{ readonly front: number; readonly child: number; readonly cpuMs: number }> {
  let cpuMs = 0
  let front = 0
  let child = 0
  let pid: number | null = null
  while (!signal.aborted) {
    pid ??= await exportProcess(server.pid)
    front = Math.max(front, await memory(server.pid, 'VmRSS'))
    if (pid !== null) {
      child = Math.max(child, await memory(pid, 'VmHWM'))
      cpuMs = Math.max(cpuMs, treeCpuMs(pid))
    }
    await sleep(LOOK_MS)
  }
  return { front, child, cpuMs }
}

async function exportProcess(root: number): Promise<number | null> {
  for (const pid of await processTree(root)) {
    const line = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
    if (line.includes('export-main')) return pid
  }
  return null
}

async function memory(pid: number, field: 'VmRSS' | 'VmHWM'): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '')
  return 1024 * Number(new RegExp(`^${field}:\\s+(\\d+)`, 'm').exec(status)?.[1] ?? 0)
}
