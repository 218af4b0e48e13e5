/**
 * How fast do durable writes come in, and how fast do they enter the graph, beside hnswlib alone?
 *
 * One writer sends batches of 500 over HTTP, obeying 429 with its `Retry-After`; the clock for "in
 * the graph" stops when no row waits in the delta. hnswlib's `addPoint` in a loop in one process
 * runs before and after each, and the mean of the two is what it is compared with. Afterwards every
 * row is counted and recall is that of the same searches as ever.
 */

import { Baseline, type BuildTimes } from './support/baseline.ts'
import { gloveSplit, type Split } from './support/glove.ts'
import { groundTruth, type TruthRef } from './support/ground-truth.ts'
import type { IngestForm } from './support/ingest-load.ts'
import { treeCpuMs } from './support/process-cpu.ts'
import { print, progress, readOptions, type Row, type Target } from './support/report.ts'
import { BenchServer, withFolder } from './support/server.ts'
import {
  createIndex,
  fill,
  GRAPH,
  K,
  RECALL_MIN,
  searchOnce,
  type Filled,
} from './support/service.ts'
import { mean } from './support/statistics.ts'

const INDEX = 'glove'
const BATCH = 500
/** Reaches 0.95 on 100,000 rows of this data, see `search.ts`. */
const EF = 192
const FORMS: readonly IngestForm[] = ['columns', 'rows']
const SMALL_WRITERS = 16

interface Ingested {
  readonly what: string
  readonly filled: Filled
  readonly serviceCpuMs: number
  readonly recall: number
}

const options = readOptions()
const rows = options.quick ? 10_000 : 100_000
const smallRows = options.quick ? 2000 : 20_000
const split = gloveSplit(rows, 1000)
const small = gloveSplit(smallRows, 1000)
const builds = [await bareBuild(split)]
const ingested: Ingested[] = []
for (const form of FORMS) {
  const name = `1 writer, batches of ${BATCH}, ${form}`
  ingested.push(await ingest(name, split, { form, batch: BATCH, writers: 1 }))
  builds.push(await bareBuild(split))
}
const oneByOne = await ingest(`${SMALL_WRITERS} writers, batches of 1, rows`, small, {
  ...{ form: 'rows', batch: 1, writers: SMALL_WRITERS },
})
print(
  {
    bench: 'ingest',
    parameters: {
      ...{ data: split.name, metric: 'cosine', m: GRAPH.m, ef_construction: GRAPH.efConstruction },
      ...{ seed: GRAPH.seed, ack: 'applied (durable and searchable)' },
      ...{ ef_of_recall: EF, rows_of_batches_of_1: smallRows },
      loop: 'hnswlib-node addPoint of every row in one process, nothing durable',
    },
    tables: {
      ingest: [...ingested, oneByOne].map(ingestRow),
      'hnswlib alone, before, between and after': builds.map((build) => ({
        points_per_s: build.pointsPerS,
        wall_s: build.wallMs / 1000,
        cpu_ms_per_point: build.cpuMs / rows,
      })),
    },
    targets: [...ingested.flatMap(targetsOf), recallTarget(oneByOne)],
    notes: [
      'points/s to the graph is from the first request until no row waits in the delta',
      'service CPU is that of all its processes; waited is the time the writer spent on Retry-After',
    ],
  },
  options,
)

function targetsOf(run: Ingested, place: number): Target[] {
  const beside = mean(builds.slice(place, place + 2).map((build) => build.pointsPerS))
  const value = inGraphPerS(run.filled) / beside
  return [
    { name: `in the graph / hnswlib alone (${run.what})`, value, bound: 0.8, kind: 'at_least' },
    recallTarget(run),
  ]
}

function recallTarget({ what, recall }: Ingested): Target {
  return {
    name: `recall@10 afterwards (${what})`,
    value: recall,
    bound: RECALL_MIN,
    kind: 'at_least',
  }
}

function inGraphPerS(filled: Filled): number {
  return (1000 * filled.points) / filled.indexedMs
}

function ingestRow({ what, filled, serviceCpuMs, recall }: Ingested): Row {
  return {
    what,
    points: filled.points,
    acknowledged_per_s: filled.pointsPerS,
    in_graph_per_s: inGraphPerS(filled),
    p50_ms: filled.p50Ms,
    p99_ms: filled.p99Ms,
    refused_429: filled.refused,
    waited_s: filled.waitedMs / 1000,
    service_cpu_ms_per_point: serviceCpuMs / filled.points,
    body_bytes: Math.round(filled.bodyBytes),
    recall,
  }
}

async function bareBuild({ base }: Split): Promise<BuildTimes> {
  const baseline = new Baseline()
  try {
    const build = await baseline.build(base.ref, GRAPH)
    progress(`hnswlib alone: ${Math.round(build.pointsPerS)} points/s`)
    return build
  } finally {
    await baseline.close()
  }
}

/** A server of its own for each, so that none starts with the garbage of another. */
async function ingest(
  what: string,
  data: Split,
  how: { readonly form: IngestForm; readonly batch: number; readonly writers: number },
): Promise<Ingested> {
  progress(what)
  const truth: TruthRef = groundTruth(data, K)
  return withFolder(async (root) => {
    const server = await BenchServer.start(root, { profile: options.profile })
    try {
      await createIndex(server, INDEX, data.base.dimension)
      const before = treeCpuMs(server.pid)
      const filled = await fill(server, INDEX, data.base, how)
      const serviceCpuMs = treeCpuMs(server.pid) - before
      const { recall } = await searchOnce(server, INDEX, { split: data, truth, ef: EF })
      await server.stop()
      return { what, filled, serviceCpuMs, recall }
    } finally {
      await server.kill()
    }
  })
}
