/**
 * How much memory do 100,000 vectors of 768 numbers take, and how long is a restart?
 *
 * RSS of all processes of the service, above its own RSS before it held anything, against the bytes
 * of the vectors alone; after ingest, and again after a restart. Restarts are timed after a
 * shutdown (everything is in the checkpoint) and after a kill (the log is replayed), and compared
 * with reading the same files. The page cache is not dropped: both read from it.
 */

import { groundTruth } from './support/ground-truth.ts'
import { treeMemory } from './support/process-cpu.ts'
import { print, progress, readOptions, type Row, type Target } from './support/report.ts'
import { readAll, startTimed, type Restart } from './support/restart.ts'
import { BenchServer, withFolder } from './support/server.ts'
import {
  createIndex,
  fill,
  GRAPH,
  K,
  RECALL_MIN,
  searchBody,
  searchOnce,
} from './support/service.ts'
import { wideSplit } from './support/wide.ts'

const INDEX = 'wide'
const EF = 128
/** Buffers of an ingest are given back some time after it. */
const SETTLE_MS = 5000
const MIB = 2 ** 20

interface Footprint {
  readonly what: string
  readonly processes: number
  readonly frontRssBytes: number
  readonly rssBytes: number
  readonly pssBytes: number
  readonly peakBytes: number
}

const options = readOptions()
const rows = options.quick ? 10_000 : 100_000
const split = wideSplit(rows, 200)
const truth = groundTruth(split, K)
const rawBytes = split.base.data.byteLength
await withFolder(run)

async function run(root: string): Promise<void> {
  const footprints: Footprint[] = []
  const restarts: Row[] = []
  const recalls: Row[] = []
  const searchesOf = async (server: BenchServer, when: string): Promise<void> => {
    const { delta_points } = await server.stats(INDEX)
    const { recall, p50Ms } = await searchOnce(server, INDEX, { split, truth, ef: EF })
    recalls.push({ when, delta_points, recall, p50_ms: p50Ms })
  }
  const look = async (server: BenchServer, what: string): Promise<void> => {
    await searchesOf(server, what)
    await server.indexed(INDEX, rows)
    await searchesOf(server, `${what}, all in the graph`)
    await new Promise((resolve) => setTimeout(resolve, options.quick ? 1000 : SETTLE_MS))
    footprints.push(footprint(what, server))
    progress(`${what}: ${Math.round((footprints.at(-1)?.rssBytes ?? 0) / MIB)} MiB`)
  }
  const again = async (what: string): Promise<BenchServer> => {
    const disk = readAll(root)
    const search = searchBody(split, EF)
    const { server, ...times } = await startTimed(root, INDEX, { search, profile: options.profile })
    progress(`${what}: ready after ${(times.readyMs / 1000).toFixed(1)} s`)
    restarts.push(restartRow(what, times, disk.bytes, disk.ms))
    return server
  }

  let server = await BenchServer.start(root, { profile: options.profile })
  try {
    await createIndex(server, INDEX, split.base.dimension)
    footprints.push(footprint('empty', server))
    const filled = await fill(server, INDEX, split.base)
    await look(server, 'after ingest')
    const stats = await server.stats(INDEX)
    await server.kill()
    server = await again('after kill -9')
    await look(server, 'after kill -9 and restart')
    await server.stop()
    server = await again('after shutdown')
    await look(server, 'after shutdown and restart')
    await server.stop()
    const [empty, ...full] = footprints
    if (empty === undefined) throw new Error('the empty service is looked at first')
    print(
      {
        bench: 'memory',
        parameters: {
          ...{ data: split.name, metric: 'cosine', m: GRAPH.m, ef: EF },
          ...{ ef_construction: GRAPH.efConstruction, raw_mib: rawBytes / MIB },
          ...{ ingest_s: filled.wallMs / 1000, in_graph_s: filled.indexedMs / 1000 },
          ...{ core_says_mib: stats.memory_bytes / MIB, payload_mib: stats.payload_bytes / MIB },
        },
        tables: {
          'memory of all processes': footprints.map((seen) => footprintRow(seen, empty)),
          'restart, from the start of the process': restarts,
          searches: recalls,
        },
        targets: [
          ...full.map(({ what, rssBytes }) => memoryTarget(what, rssBytes - empty.rssBytes)),
          ...recalls.map((row) => recallTarget(String(row['when']), Number(row['recall']))),
        ],
        notes: [
          'the page cache was not dropped before a restart, nor before the files were read',
          'RSS counts pages shared between processes in each; PSS splits them',
        ],
      },
      options,
    )
  } finally {
    await server.kill()
  }
}

function footprint(what: string, server: BenchServer): Footprint {
  const memory = treeMemory(server.pid)
  const sum = (of: 'rssBytes' | 'pssBytes' | 'peakBytes'): number =>
    memory.reduce((total, one) => total + one[of], 0)
  return {
    what,
    processes: memory.length,
    frontRssBytes: memory.find(({ pid }) => pid === server.pid)?.rssBytes ?? 0,
    rssBytes: sum('rssBytes'),
    pssBytes: sum('pssBytes'),
    peakBytes: sum('peakBytes'),
  }
}

function footprintRow(seen: Footprint, empty: Footprint): Row {
  const above = seen.rssBytes - empty.rssBytes
  return {
    when: seen.what,
    processes: seen.processes,
    rss_mib: seen.rssBytes / MIB,
    front_rss_mib: seen.frontRssBytes / MIB,
    rss_above_empty_mib: above / MIB,
    of_raw_bytes: above / rawBytes,
    pss_above_empty_of_raw: (seen.pssBytes - empty.pssBytes) / rawBytes,
    peak_rss_mib: seen.peakBytes / MIB,
  }
}

function restartRow(what: string, times: Restart, bytes: number, readMs: number): Row {
  return {
    what,
    listening_s: times.listeningMs / 1000,
    first_search_s: times.firstSearchMs / 1000,
    ready_s: times.readyMs / 1000,
    disk_mib: bytes / MIB,
    read_of_disk_s: readMs / 1000,
    ready_of_read: times.readyMs / readMs,
  }
}

function memoryTarget(what: string, aboveBytes: number): Target {
  const value = aboveBytes / rawBytes
  return { name: `RSS above empty / raw bytes, ${what}`, value, bound: 2.5, kind: 'at_most' }
}

function recallTarget(what: string, value: number): Target {
  return { name: `recall@10 ${what}`, value, bound: RECALL_MIN, kind: 'at_least' }
}
