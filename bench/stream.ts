/**
 * How fast does a stream take points, and what does it cost searches and memory?
 *
 * Half of the rows are in the graph before. Then, on one server: searches alone; the other half
 * streamed by writers that obey `Retry-After`, with the same searches beside it; single points, from
 * the request until a search finds them; and a flood far above what the graph takes in, during
 * which the memory of the front is watched. Refused requests are cheap and their points count as
 * offered. Recall is that of all rows after the second step.
 */

import { setTimeout as sleep } from 'node:timers/promises'
import { gloveSplit } from './support/glove.ts'
import { groundTruth } from './support/ground-truth.ts'
import { treeMemory } from './support/process-cpu.ts'
import { print, progress, readOptions, type Row } from './support/report.ts'
import { SearchLoad, type CheckedRun } from './support/search-load.ts'
import { BenchServer, withFolder } from './support/server.ts'
import { fill, GRAPH, K, RECALL_MIN, searchOnce } from './support/service.ts'
import { median } from './support/statistics.ts'
import { StreamLoad, type StreamAnswer } from './support/stream-load.ts'
import type { Vectors, VectorsRef } from './support/vectors.ts'

const INDEX = 'glove'
const EF = 192
const BATCH = 64
const WRITERS = 8
const FLOOD_BATCH = 500
/** More points under way than three buffers hold, so that most are refused at any time. */
const FLOOD_WRITERS = 64
/** Of searches; medians are over blocks. */
const BLOCK_MS = 2000
const MEMORY_EVERY_MS = 250
/** Cores tell their statistics a few times a second. */
const STATS_MS = 1000
const MIB = 2 ** 20
/** Of the front above its memory before: the buffer, bodies under way, and garbage. */
const FRONT_MIB_MAX = 384

const options = readOptions()
const rows = options.quick ? 10_000 : 100_000
const probes = options.quick ? 100 : 500
const idleMs = options.quick ? 3000 : 15_000
const floodMs = options.quick ? 5000 : 60_000
const split = gloveSplit(rows, 1000)
const { ref } = split.base
const before = rows / 2

await withFolder(async (root) => {
  // The bound of the buffer is measured, not the shedding of load that would come to its help.
  const env = { VECTORD_SERVER_SHED_EVENT_LOOP_DELAY_MS: '0' }
  const server = await BenchServer.start(root, { profile: options.profile, env })
  try {
    await createStreamed(server)
    await fill(server, INDEX, part(0, before))
    report(await measure(server))
    await server.stop()
  } finally {
    await server.kill()
  }
})

interface Measured {
  readonly idle: readonly CheckedRun[]
  readonly beside: readonly CheckedRun[]
  readonly taken: StreamAnswer
  readonly searchableMs: number
  readonly recall: number
  readonly probe: StreamAnswer
  readonly flood: StreamAnswer
  readonly applied: number
  readonly memory: { readonly before: number; readonly peak: number }
}

async function createStreamed(server: BenchServer): Promise<void> {
  await server.answersAfterMs('GET', '/readyz')
  await server.call('POST', '/vectors/indexes', {
    ...{ name: INDEX, dimension: ref.dimension, metric: 'cosine', stream: {} },
    hnsw: { m: GRAPH.m, ef_construction: GRAPH.efConstruction, seed: GRAPH.seed },
  })
  await server.answersAfterMs('GET', '/readyz')
}

async function measure(server: BenchServer): Promise<Measured> {
  const truth = groundTruth(split, K)
  const searches = new SearchLoad()
  const load = new StreamLoad()
  const to = { url: server.url, index: INDEX }
  try {
    await searches.setup({
      ...{ ...to, queries: split.queries.ref, truth, k: K, ef: EF, form: 'json', filters: [] },
    })
    progress('searches alone')
    const idle = await blocksOf(searches, sleep(idleMs))
    progress('stream, with searches beside it')
    const rest = refOf(before, rows - before)
    const start = performance.now()
    const streaming = load
      .run({ ...to, kind: 'fill', vectors: rest, firstId: before, batch: BATCH, writers: WRITERS })
      .then(async (answer) => {
        // A search sees everything that was answered before it.
        await server.call('POST', `/vectors/indexes/${INDEX}/search`, { id: '0', k: 1 })
        return { answer, searchableMs: performance.now() - start }
      })
    const beside = await blocksOf(searches, streaming)
    const { answer: taken, searchableMs } = await streaming
    await server.indexed(INDEX, rows)
    const { recall } = await searchOnce(server, INDEX, { split, truth, ef: EF })
    progress('single points')
    const probe = await load.run({
      ...to,
      kind: 'probe',
      vectors: refOf(rows, probes),
      firstId: rows,
    })
    progress('flood')
    return { idle, beside, taken, searchableMs, recall, probe, ...(await flooded(server, load)) }
  } finally {
    await load.close()
    await searches.close()
  }
}

/** Searches in blocks until `until` is settled: percentiles of one run alone hide a bad second. */
async function blocksOf(searches: SearchLoad, until: Promise<unknown>): Promise<CheckedRun[]> {
  const blocks: CheckedRun[] = []
  const wait = { isOver: false }
  const end = until.finally(() => {
    wait.isOver = true
  })
  do {
    blocks.push(await searches.run({ clients: 1, durationMs: BLOCK_MS, pauseMs: 5 }))
  } while (!wait.isOver)
  await end
  return blocks
}

async function flooded(
  server: BenchServer,
  load: StreamLoad,
): Promise<Pick<Measured, 'flood' | 'applied' | 'memory'>> {
  const front = (): number => {
    return treeMemory(server.pid).find(({ pid }) => pid === server.pid)?.rssBytes ?? 0
  }
  const livePoints = async (): Promise<number> => (await server.stats(INDEX)).live_points
  await sleep(STATS_MS)
  const pointsBefore = await livePoints()
  const memory = { before: front(), peak: 0 }
  const watch = setInterval(() => {
    memory.peak = Math.max(memory.peak, front())
  }, MEMORY_EVERY_MS)
  try {
    const flood = await load.run({
      ...{ kind: 'flood', url: server.url, index: INDEX, vectors: refOf(0, before) },
      ...{ firstId: 10 * rows, batch: FLOOD_BATCH, writers: FLOOD_WRITERS, durationMs: floodMs },
    })
    // Not earlier than the last of what was acknowledged is searchable.
    await server.call('POST', `/vectors/indexes/${INDEX}/search`, { id: '0', k: 1 })
    await sleep(STATS_MS)
    return { flood, applied: (await livePoints()) - pointsBefore, memory }
  } finally {
    clearInterval(watch)
  }
}

function report(run: Measured): void {
  const { idle, beside, taken, probe, flood, memory } = run
  const growthMib = (memory.peak - memory.before) / MIB
  print(
    {
      bench: 'stream',
      parameters: {
        ...{
          data: split.name,
          metric: 'cosine',
          m: GRAPH.m,
          ef_construction: GRAPH.efConstruction,
        },
        ...{ ef: EF, in_the_graph_before: before, streamed: rows - before },
        ...{ writers: WRITERS, points_of_a_request: BATCH, stream: 'defaults: 10000, 128, 50 ms' },
        load_shedding: 'off',
      },
      tables: {
        stream: [streamRow('writers that wait', taken), streamRow('flood', flood)],
        'write to searchable, one point at a time': [
          {
            points: probe.accepted,
            unreached: probe.unreached,
            p50_ms: probe.p50Ms,
            p99_ms: probe.p99Ms,
          },
        ],
        searches: [searchRow('alone', idle), searchRow('beside the stream', beside)],
        'memory of the front': [
          { before_mib: memory.before / MIB, peak_mib: memory.peak / MIB, growth_mib: growthMib },
        ],
      },
      targets: [
        { name: 'recall@10 afterwards', value: run.recall, bound: RECALL_MIN, kind: 'at_least' },
        {
          ...{ name: 'offered / applied in the flood', value: flood.offered / run.applied },
          ...{ bound: 10, kind: 'at_least' },
        },
        {
          ...{ name: 'MiB that the front grew by in the flood', value: growthMib },
          ...{ bound: FRONT_MIB_MAX, kind: 'at_most' },
        },
        {
          ...{ name: 'points of the flood applied / acknowledged' },
          ...{ value: run.applied / flood.accepted, bound: 1, kind: 'at_least' },
        },
      ],
      notes: [
        `searchable: ${Math.round((1000 * taken.accepted) / run.searchableMs)} points/s, until a ` +
          'search that came after the last 202 was answered',
        'a single point waits the flush interval of 50 ms: nothing else fills its batch',
        `${run.applied} points of the flood were searchable a second after it`,
      ],
    },
    options,
  )
}

function streamRow(what: string, answer: StreamAnswer): Row {
  return {
    what,
    offered: answer.offered,
    accepted: answer.accepted,
    accepted_per_s: (1000 * answer.accepted) / answer.wallMs,
    refused_429: answer.refused,
    p50_ms: answer.p50Ms,
    p99_ms: answer.p99Ms,
  }
}

function searchRow(what: string, blocks: readonly CheckedRun[]): Row {
  const p99s = blocks.map(({ p99Ms }) => p99Ms)
  return {
    what,
    blocks: blocks.length,
    answers: blocks.reduce((sum, { answers }) => sum + answers, 0),
    p50_ms: median(blocks.map(({ p50Ms }) => p50Ms)),
    p99_ms: median(p99s),
    worst_p99_ms: Math.max(...p99s),
  }
}

function refOf(first: number, count: number): VectorsRef {
  return { ...ref, first: ref.first + first, rows: count }
}

function part(first: number, count: number): Vectors {
  const { dimension, data } = split.base
  const from = first * dimension
  const own = data.subarray(from, from + count * dimension)
  return { ref: refOf(first, count), rows: count, dimension, data: own }
}
