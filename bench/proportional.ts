/**
 * Do disk and memory stay proportional to the live points of an index that is written over for ever?
 *
 * Ten rounds: every point is written anew, then half of them are deleted, then the index is compacted.
 * After each round resident memory is compared with that of another server that was given the same live
 * points once, and everything on the disk with the least that they take there: the parts and the graph of
 * that server's checkpoint, without a log, older graphs or copies. Recall is compared with what it finds.
 */

import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { gloveSplit, type Split } from './support/glove.ts'
import { groundTruth } from './support/ground-truth.ts'
import { treeMemory } from './support/process-cpu.ts'
import { print, progress, readOptions, type Row } from './support/report.ts'
import { readAll } from './support/restart.ts'
import { BenchServer, withFolder } from './support/server.ts'
import { createIndex, fill, GRAPH, K, searchOnce } from './support/service.ts'

const INDEX = 'turned'
const EF = 192
const QUERIES = 500
const ROUNDS = 10
/** Ids of one delete. */
const DELETE_IDS = 5000
/** Resident memory is looked at when the processes have been at rest this long. */
const SETTLE_MS = 5000
/** What is held of the live points is at most so much more than after one write of them. */
const RATIO_MAX = 1.3
const RECALL_SHARE_MIN = 0.995
const MIB = 2 ** 20

const ENV = {
  // A builder that rests keeps the points of its index: it is to end before memory is looked at.
  VECTORD_BUILDERS_IDLE_MS: '0',
  // Sizes are measured here, no times: a busy machine is no reason to refuse.
  VECTORD_SERVER_SHED_EVENT_LOOP_DELAY_MS: '0',
}

interface Footprint {
  readonly diskBytes: number
  /** Above the service before it held anything. */
  readonly rssBytes: number
  readonly recall: number
  readonly rows: number
  readonly graphElements: number
}

const options = readOptions()
const points = options.quick ? 5000 : 60_000
const kept = points / 2
const all = gloveSplit(points, QUERIES)
const live = gloveSplit(kept, QUERIES)
const rawBytes = live.base.data.byteLength
const fresh = await withFolder(runFresh)
await withFolder(runRounds)

/** The live points, written once. */
async function runFresh(root: string): Promise<Footprint> {
  return withServer(root, async (server, emptyRss) => {
    await fill(server, INDEX, live.base)
    await server.call('POST', `/vectors/indexes/${INDEX}/checkpoint?wait=true`)
    const stored = join(root, 'data', 'buckets', 'primary', '_indexes', INDEX)
    return look(server, [join(stored, 'parts'), join(stored, 'graphs')], emptyRss)
  })
}

async function runRounds(root: string): Promise<void> {
  await withServer(root, async (server, emptyRss) => {
    const rounds: Row[] = []
    const seen: Footprint[] = []
    for (let round = 1; round <= ROUNDS; round += 1) {
      await fill(server, INDEX, all.base)
      await deleteRows(server, kept, points)
      const data = [join(root, 'data')]
      const before = diskBytes(data)
      await server.call('POST', `/vectors/indexes/${INDEX}/compact?wait=true`)
      const after = await look(server, data, emptyRss)
      seen.push(after)
      rounds.push(rowOf(round, before, after))
      progress(`round ${round}: disk ${ratio('diskBytes', after)}, RSS ${ratio('rssBytes', after)}`)
    }
    report(rounds, seen)
  })
}

async function withServer<T>(
  root: string,
  work: (server: BenchServer, emptyRss: number) => Promise<T>,
): Promise<T> {
  const server = await BenchServer.start(root, { profile: options.profile, env: ENV })
  try {
    await createIndex(server, INDEX, all.base.dimension)
    const outcome = await work(server, rss(server))
    await server.stop()
    return outcome
  } finally {
    await server.kill()
  }
}

async function deleteRows(server: BenchServer, from: number, to: number): Promise<void> {
  for (let first = from; first < to; first += DELETE_IDS) {
    const count = Math.min(DELETE_IDS, to - first)
    const ids = Array.from({ length: count }, (_, i) => String(first + i))
    await server.call('POST', `/vectors/indexes/${INDEX}/points/delete`, { ids })
  }
}

async function look(
  server: BenchServer,
  folders: readonly string[],
  emptyRss: number,
): Promise<Footprint> {
  const stats = await server.indexed(INDEX, kept)
  const { recall } = await searchOnce(server, INDEX, searched(live))
  await sleep(options.quick ? SETTLE_MS / 5 : SETTLE_MS)
  return {
    diskBytes: diskBytes(folders),
    rssBytes: rss(server) - emptyRss,
    recall,
    rows: stats.rows,
    graphElements: stats.graph_elements,
  }
}

function searched(split: Split): Parameters<typeof searchOnce>[2] {
  return { split, truth: groundTruth(split, K), ef: EF }
}

function rss(server: BenchServer): number {
  return treeMemory(server.pid).reduce((sum, { rssBytes }) => sum + rssBytes, 0)
}

function diskBytes(folders: readonly string[]): number {
  return folders.reduce((sum, folder) => sum + readAll(folder).bytes, 0)
}

function ratio(of: 'diskBytes' | 'rssBytes', footprint: Footprint): number {
  return footprint[of] / fresh[of]
}

function rowOf(round: number, diskBefore: number, after: Footprint): Row {
  return {
    round,
    disk_before_mib: diskBefore / MIB,
    disk_mib: after.diskBytes / MIB,
    disk_of_raw: after.diskBytes / rawBytes,
    disk_of_fresh: ratio('diskBytes', after),
    rss_mib: after.rssBytes / MIB,
    rss_of_raw: after.rssBytes / rawBytes,
    rss_of_fresh: ratio('rssBytes', after),
    rows: after.rows,
    graph_elements: after.graphElements,
    recall: after.recall,
  }
}

function report(rounds: readonly Row[], seen: readonly Footprint[]): void {
  const worst = (of: 'diskBytes' | 'rssBytes'): number =>
    Math.max(...seen.map((one) => ratio(of, one)))
  print(
    {
      bench: 'proportional',
      parameters: {
        ...{ data: all.name, points, live_points: kept, rounds: ROUNDS, queries: QUERIES },
        ...{ metric: 'cosine', k: K, ef: EF, m: GRAPH.m, ef_construction: GRAPH.efConstruction },
        raw_mib_of_live: rawBytes / MIB,
      },
      tables: {
        'the same live points, written once': [
          {
            disk_mib: fresh.diskBytes / MIB,
            disk_of_raw: fresh.diskBytes / rawBytes,
            rss_mib: fresh.rssBytes / MIB,
            rss_of_raw: fresh.rssBytes / rawBytes,
            recall: fresh.recall,
          },
        ],
        'after each round of write all, delete half, compact': rounds,
      },
      targets: [
        {
          name: `disk bytes / parts and graph of the fresh index, worst of ${ROUNDS} rounds`,
          ...{ value: worst('diskBytes'), bound: RATIO_MAX, kind: 'at_most' },
        },
        {
          name: `RSS above empty / that of the fresh index, worst of ${ROUNDS} rounds`,
          ...{ value: worst('rssBytes'), bound: RATIO_MAX, kind: 'at_most' },
        },
        {
          name: 'recall@10 / that of the fresh index, worst round',
          value: Math.min(...seen.map(({ recall }) => recall)) / fresh.recall,
          ...{ bound: RECALL_SHARE_MIN, kind: 'at_least' },
        },
      ],
      notes: [
        'disk is everything below the storage root, of the fresh index its parts and graph alone',
        'disk_before is after the writes and deletes of the round, before its compaction',
      ],
    },
    options,
  )
}
