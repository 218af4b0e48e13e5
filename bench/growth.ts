/**
 * What becomes of build, search, memory and restart while an index grows?
 *
 * One index of GloVe grows through three sizes; at each one it is searched at a fixed ef, looked at,
 * shut down and started again. The ef stays, so that recall shows what growth costs.
 */

import { join } from 'node:path'
import { gloveSplit, type Split } from './support/glove.ts'
import { groundTruth } from './support/ground-truth.ts'
import { treeMemory } from './support/process-cpu.ts'
import { print, progress, readOptions, type Row } from './support/report.ts'
import { readAll, startTimed } from './support/restart.ts'
import { BenchServer, withFolder } from './support/server.ts'
import { createIndex, fill, GRAPH, K, searchBody, searchOnce } from './support/service.ts'
import { readVectors } from './support/vectors.ts'

const INDEX = 'glove'
const EF = 192
const QUERIES = 500
const MIB = 2 ** 20

const options = readOptions()
const sizes = options.quick ? [2500, 5000, 10_000] : [50_000, 100_000, 340_000]
await withFolder(run)

async function run(root: string): Promise<void> {
  let server = await BenchServer.start(root, { profile: options.profile })
  try {
    await createIndex(server, INDEX, gloveSplit(1, 1).base.dimension)
    const emptyRss = rss(server)
    const rows: Row[] = []
    let held = 0
    for (const size of sizes) {
      const split = gloveSplit(size, QUERIES)
      const added = readVectors({ ...split.base.ref, first: held, rows: size - held })
      const filled = await fill(server, INDEX, added, { firstId: held })
      const before = await look(server, split)
      const loadedRss = rss(server) - emptyRss
      await server.stop()
      const disk = readAll(join(root, 'data'))
      const search = searchBody(split, EF)
      const started = await startTimed(root, INDEX, { search, profile: options.profile })
      server = started.server
      await server.indexed(INDEX, size)
      const after = await look(server, split)
      rows.push({
        rows: size,
        added: size - held,
        ack_s: filled.wallMs / 1000,
        in_graph_s: filled.indexedMs / 1000,
        in_graph_per_s: (1000 * filled.points) / filled.indexedMs,
        p50_ms: before.p50Ms,
        p99_ms: before.p99Ms,
        recall: before.recall,
        rss_mib: loadedRss / MIB,
        rss_of_raw: loadedRss / split.base.data.byteLength,
        first_search_s: started.firstSearchMs / 1000,
        ready_s: started.readyMs / 1000,
        disk_mib: disk.bytes / MIB,
        read_of_disk_s: disk.ms / 1000,
        rss_of_raw_restarted: (rss(server) - emptyRss) / split.base.data.byteLength,
        recall_restarted: after.recall,
      })
      held = size
      progress(
        `${size} rows: recall ${before.recall.toFixed(3)}, p50 ${before.p50Ms.toFixed(2)} ms`,
      )
    }
    await server.stop()
    report(rows)
  } finally {
    await server.kill()
  }
}

function look(server: BenchServer, split: Split): ReturnType<typeof searchOnce> {
  return searchOnce(server, INDEX, { split, truth: groundTruth(split, K), ef: EF })
}

function rss(server: BenchServer): number {
  return treeMemory(server.pid).reduce((sum, { rssBytes }) => sum + rssBytes, 0)
}

/** One column for each size would be too wide on a terminal: three tables. */
function report(rows: readonly Row[]): void {
  const only = (...columns: readonly string[]): Row[] =>
    rows.map((row) => Object.fromEntries(columns.map((name) => [name, row[name] ?? null])))
  print(
    {
      bench: 'growth',
      parameters: {
        ...{ data: gloveSplit(sizes.at(-1) ?? 0, QUERIES).name, queries: QUERIES },
        ...{ metric: 'cosine', k: K, ef: EF, m: GRAPH.m, ef_construction: GRAPH.efConstruction },
      },
      tables: {
        build: only('rows', 'added', 'ack_s', 'in_graph_s', 'in_graph_per_s'),
        'search, 1 client': only('rows', 'p50_ms', 'p99_ms', 'recall', 'recall_restarted'),
        'memory above empty': only('rows', 'rss_mib', 'rss_of_raw', 'rss_of_raw_restarted'),
        restart: only('rows', 'first_search_s', 'ready_s', 'disk_mib', 'read_of_disk_s'),
      },
      targets: rows.map((row) => ({
        name: `recall@10 after restart / before, ${String(row['rows'])} rows`,
        value: Number(row['recall_restarted']) / Number(row['recall']),
        ...{ bound: 0.995, kind: 'at_least' },
      })),
      notes: ['the page cache was not dropped before a restart, nor before the files were read'],
    },
    options,
  )
}
