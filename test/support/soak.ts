/**
 * The soak (T16): one server under mixed load for as long as is asked for, and what it takes of the
 * machine meanwhile.
 *
 *     overwrites and deletes over a fixed set of ids, searches, fetches, checkpoints, rebuilds,
 *     promotions, an index that comes and goes ──▶ memory, descriptors, disk, live bytes, sampled
 *
 * What is live stays about the same after a while, so everything else has to: memory over the second
 * half is flat, the fewest descriptors of a quarter do not grow, and the disk holds no more than a
 * multiple of what is live. Nothing is judged by how long it took.
 */

import assert from 'node:assert/strict'
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { splitmix32 } from '../../src/lib/splitmix32.ts'
import { treeDescriptors, treeRss } from './process-tree.ts'
import { startService, type Service } from './service.ts'
import { SoakLoad, SOAK_INDEXES } from './soak-load.ts'

/** Machines are shared: a slow start is no failure. */
const READY_WITHIN_MS = 120_000
/** The first quarter fills the indexes and warms up; the halves are compared from then on. */
const SAMPLES = 80
const SAMPLE_EVERY_MS_MIN = 500
/** Of memory over the second half: heaps of Node breathe. */
const RSS_GROWTH_BYTES_MAX = 96 * 2 ** 20
/** Of the fewest descriptors, from the second quarter to the last. */
const DESCRIPTORS_GROWTH_MAX = 8
/** Two checkpoints, the graphs of kept generations, rows that are dead and not compacted yet. */
const DISK_FACTOR_MAX = 12
/** Logs up to the next checkpoint, and the graph cache, of all indexes. */
const DISK_SLACK_BYTES = 24 * 2 ** 20

const ENV = {
  VECTORD_SEARCH_FLAT_THRESHOLD: '200',
  VECTORD_GENERATIONS_KEEP: '1',
  VECTORD_GENERATIONS_CACHE_BYTES: String(2 ** 21),
  VECTORD_LOG_SEGMENT_BYTES: String(2 ** 20),
  VECTORD_LOG_GROUP_BYTES_MAX: String(2 ** 20),
  VECTORD_CHECKPOINT_LOG_BYTES: String(2 ** 21),
  VECTORD_CHECKPOINT_INTERVAL_MS: '5000',
  VECTORD_BUILDERS_IDLE_MS: '2000',
}

export interface SoakOptions {
  /** An empty folder. */
  readonly folder: string
  readonly seed: number
  readonly durationMs: number
}

interface Sample {
  readonly rss: number
  readonly descriptors: number
  readonly disk: number
  /** Vectors, metadata, ids and texts of live points. */
  readonly live: number
}

export interface SoakCounts {
  readonly samples: number
  /** Answers by status. */
  readonly statuses: Readonly<Record<string, number>>
  readonly rssMib: { readonly middle: number; readonly end: number; readonly max: number }
  readonly rssGrowthMib: number
  readonly descriptors: { readonly secondQuarter: number; readonly lastQuarter: number }
  readonly diskMib: number
  readonly liveMib: number
  /** The most of the second half. */
  readonly diskPerLive: number
}

/** @throws {AssertionError} where something grows that should not, or an answer is a surprise. */
export async function soak({ folder, seed, durationMs }: SoakOptions): Promise<SoakCounts> {
  const root = join(folder, 'root')
  const service = await startService(root, { env: ENV, startWithinMs: READY_WITHIN_MS })
  const load = new SoakLoad(service, splitmix32(seed))
  const stop = new AbortController()
  try {
    await service.ready(READY_WITHIN_MS)
    await load.prepare()
    const loading = load.run(stop.signal)
    const sampling = sampleUntil(service, root, Date.now() + durationMs)
    const samples = await Promise.race([sampling, loading.then(() => sampling)])
    stop.abort()
    await loading
    const counts = countsOf(samples, load.statuses)
    judge(samples, counts)
    assert.equal(await service.stop(), 0)
    return counts
  } finally {
    stop.abort()
    await service.kill()
  }
}

async function sampleUntil(service: Service, root: string, endMs: number): Promise<Sample[]> {
  const everyMs = Math.max(SAMPLE_EVERY_MS_MIN, (endMs - Date.now()) / SAMPLES)
  const samples: Sample[] = []
  while (Date.now() < endMs) {
    await sleep(everyMs)
    samples.push({
      rss: await treeRss(service.pid),
      descriptors: await treeDescriptors(service.pid),
      disk: await bytesIn(root),
      live: await liveBytes(service),
    })
  }
  return samples
}

function judge(samples: readonly Sample[], counts: SoakCounts): void {
  assert.ok(samples.length >= 8, 'a soak needs samples')
  const shown = JSON.stringify(counts)
  assert.ok(counts.rssGrowthMib * 2 ** 20 <= RSS_GROWTH_BYTES_MAX, `memory grows: ${shown}`)
  const { secondQuarter, lastQuarter } = counts.descriptors
  assert.ok(lastQuarter <= secondQuarter + DESCRIPTORS_GROWTH_MAX, `descriptors grow: ${shown}`)
  for (const { disk, live } of half(samples)) {
    assert.ok(disk <= DISK_SLACK_BYTES + DISK_FACTOR_MAX * live, `disk ${disk} for ${live} live`)
  }
}

function countsOf(
  samples: readonly Sample[],
  statuses: Readonly<Record<string, number>>,
): SoakCounts {
  const late = half(samples)
  const quarter = Math.floor(samples.length / 4)
  const rss = late.map((sample) => sample.rss)
  const fewest = (of: readonly Sample[]): number =>
    Math.min(...of.map(({ descriptors }) => descriptors))
  const last = samples.at(-1)
  return {
    samples: samples.length,
    statuses,
    rssMib: {
      middle: mib(median(rss.slice(0, quarter))),
      end: mib(median(rss.slice(-quarter))),
      max: mib(Math.max(...samples.map((sample) => sample.rss))),
    },
    rssGrowthMib: mib(slope(rss) * rss.length),
    descriptors: {
      secondQuarter: fewest(samples.slice(quarter, 2 * quarter)),
      lastQuarter: fewest(samples.slice(-quarter)),
    },
    diskMib: mib(last?.disk ?? 0),
    liveMib: mib(last?.live ?? 0),
    diskPerLive: round(Math.max(...late.map(({ disk, live }) => disk / live))),
  }
}

/** By least squares, in units a sample. */
function slope(values: readonly number[]): number {
  const meanX = (values.length - 1) / 2
  const meanY = values.reduce((sum, value) => sum + value, 0) / values.length
  let above = 0
  let below = 0
  for (const [x, y] of values.entries()) {
    above += (x - meanX) * (y - meanY)
    below += (x - meanX) ** 2
  }
  return above / below
}

async function liveBytes(service: Service): Promise<number> {
  const { indexes } = (await service.must('GET', '/vectors/indexes')) as {
    readonly indexes: readonly {
      readonly name: string
      readonly stats: { readonly raw_bytes: number; readonly payload_bytes: number } | null
    }[]
  }
  return indexes
    .filter(({ name }) => SOAK_INDEXES.some((kept) => kept.name === name))
    .reduce((sum, { stats }) => sum + (stats?.raw_bytes ?? 0) + (stats?.payload_bytes ?? 0), 0)
}

/** Files come and go while they are counted. */
async function bytesIn(folder: string): Promise<number> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => [])
  let bytes = 0
  for (const entry of entries) {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) bytes += await bytesIn(path)
    else bytes += (await stat(path).catch(() => null))?.size ?? 0
  }
  return bytes
}

function half<T>(items: readonly T[]): readonly T[] {
  return items.slice(Math.floor(items.length / 2))
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN
}

function mib(bytes: number): number {
  return round(bytes / 2 ** 20)
}

function round(value: number): number {
  return Math.round(100 * value) / 100
}
