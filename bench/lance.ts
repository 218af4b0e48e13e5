/**
 * What does a Lance table cost through its core, beside LanceDB called directly on the same table?
 *
 * 100,000 vectors of 768 numbers, cosine, k 10: how long it takes to fill the table and to build each
 * kind of index, the settings with which a search finds 95 % of the true neighbours, its median
 * through the core and directly in turns, fetches by id, and appends of 100 rows with what they add
 * on disk. With `--s3` the same on a real S3 server, without the direct calls.
 */

import { randomUUID } from 'node:crypto'
import { connect, type Table } from '@lancedb/lancedb'
import { LanceCore } from '../src/dataplane/lance-core.ts'
import type { RemoteLanceTable } from '../src/dataplane/remote-lance-table.ts'
import {
  LANCE_INDEX_KINDS,
  type LanceIndexKind,
  type LanceRows,
  type LanceSearchSettings,
} from '../src/domain/lance-table.ts'
import type { BucketSpec } from '../src/domain/shard-spec.ts'
import { startS3Server } from '../test/support/s3-server.ts'
import { groundTruth, readTruth, recallOf, type Truth } from './support/ground-truth.ts'
import { print, progress, readOptions, type Row, type Target } from './support/report.ts'
import { withFolder } from './support/server.ts'
import { median, percentile } from './support/statistics.ts'
import { rowOf, type Vectors } from './support/vectors.ts'
import { wideSplit } from './support/wide.ts'

const INDEX = 'wide'
const K = 10
const RECALL_MIN = 0.95
const FILL_ROWS = 5000
const APPEND_ROWS = 100
const ROUNDS = 5
const NONE = { metadata: false, text: false, vector: false }
const KIB = 1024

/** From the cheapest on; the first with enough recall is used. */
const LADDERS: Readonly<Record<LanceIndexKind, readonly LanceSearchSettings[]>> = {
  ivf_pq: [
    { nprobes: 20, refineFactor: null, ef: null },
    ...[10, 20, 40, 80].flatMap((nprobes) =>
      [5, 10, 20, 40].map((refineFactor) => ({ nprobes, refineFactor, ef: null })),
    ),
    { nprobes: 160, refineFactor: 40, ef: null },
  ],
  ivf_hnsw_sq: [32, 64, 96, 128, 192, 256, 384, 512].map((ef) => ({
    ...{ nprobes: 20, refineFactor: 1, ef },
  })),
}

interface Place {
  readonly name: string
  readonly bucket: BucketSpec
}

const options = readOptions()
const rows = options.quick ? 10_000 : 100_000
const split = wideSplit(rows, 200)
const truth = readTruth(groundTruth(split, K))
const tables: Record<string, readonly Row[]> = {}
const targets: Target[] = []

await withFolder(async (root) => {
  await benchPlace({ name: 'local', bucket: { backend: 'local', root } }, root)
})
if (options.s3) await benchS3()
print(
  {
    bench: 'lance',
    parameters: { data: split.name, held_out_queries: split.queries.rows, metric: 'cosine', k: K },
    tables,
    targets,
    notes: ['directly: LanceDB in the process of the bench, on the same table, nothing synced'],
  },
  options,
)

async function benchS3(): Promise<void> {
  const server = await startS3Server()
  if (server === null) throw new Error('there is no S3 server')
  try {
    const bucket = `bench-${randomUUID()}`
    await server.createBucket(bucket)
    const { endpoint, accessKeyId, secretAccessKey } = server
    const credentials = { accessKeyId, secretAccessKey }
    const spec = { backend: 's3', bucket, prefix: '', region: 'us-east-1', endpoint, credentials }
    await benchPlace({ name: 's3', bucket: spec as BucketSpec }, null)
  } finally {
    await server.close()
  }
}

/** @param root where LanceDB is called directly as well, or null. */
async function benchPlace({ name, bucket }: Place, root: string | null): Promise<void> {
  const core = new LanceCore({ log: told })
  try {
    const spec = {
      index: INDEX,
      dimension: split.base.dimension,
      metric: 'cosine',
      bucket,
    } as const
    await core.create(spec)
    const table = core.table(spec)
    const fillMs = await timed(() => fill(table, split.base))
    tables[`${name}: filled`] = [{ rows, s: fillMs / 1000, bytes_mib: await mib(table) }]
    progress(`${name}: filled in ${(fillMs / 1000).toFixed(1)} s`)
    const direct = root === null ? null : await (await connect(`${root}/_lance`)).openTable(INDEX)
    tables[`${name}: fetch by id`] = await fetches(table, direct)
    const searches: Row[] = []
    for (const kind of LANCE_INDEX_KINDS) {
      searches.push(await searchesBy({ kind, table, direct, name }))
    }
    tables[`${name}: search by index`] = searches
    tables[`${name}: append of ${APPEND_ROWS} rows`] = await appends(table, direct)
  } finally {
    await core.close(1000)
  }
}

function told(level: string, fields: Readonly<Record<string, unknown>>, message: string): void {
  if (level === 'error') progress(`${message}: ${JSON.stringify(fields)}`)
}

async function fill(table: RemoteLanceTable, base: Vectors): Promise<void> {
  for (let from = 0; from < base.rows; from += FILL_ROWS) {
    await table.append(rowsFrom(base, from, Math.min(base.rows, from + FILL_ROWS), 'p'))
  }
}

function rowsFrom(base: Vectors, from: number, end: number, prefix: string): LanceRows {
  const ids = Array.from({ length: end - from }, (_, i) => `${prefix}${from + i}`)
  return {
    ids,
    vectors: base.data.subarray(from * base.dimension, end * base.dimension),
    texts: ids.map(() => null),
    metadata: ids.map((_, i) => JSON.stringify({ year: 1990 + (i % 40), lang: 'en' })),
  }
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const startedMs = performance.now()
  await work()
  return performance.now() - startedMs
}

async function mib(table: RemoteLanceTable): Promise<number> {
  return (await table.stats()).bytes / KIB / KIB
}

async function fetches(table: RemoteLanceTable, direct: Table | null): Promise<Row[]> {
  const found: Row[] = []
  for (const btree of ['no', 'yes']) {
    if (btree === 'yes') await table.buildScalarIndex()
    await direct?.checkoutLatest()
    const times: number[] = []
    const directly: number[] = []
    const all = { metadata: true, text: true, vector: true }
    for (let round = 0; round < ROUNDS; round += 1) {
      const ids = Array.from({ length: 100 }, (_, i) => `p${((round * 100 + i) * 7919) % rows}`)
      for (const id of ids) times.push(await timed(() => table.fetch([id], all, null)))
      if (direct === null) continue
      for (const id of ids) {
        directly.push(await timed(() => direct.query().where(`id = '${id}'`).toArrow()))
      }
    }
    found.push({ btree, p50_ms: median(times), ...directRow(times, directly) })
  }
  return found
}

async function appends(table: RemoteLanceTable, direct: Table | null): Promise<Row[]> {
  const before = await table.stats()
  const times: number[] = []
  const count = 20
  for (let i = 0; i < count; i += 1) {
    const batch = rowsFrom(split.base, i * APPEND_ROWS, (i + 1) * APPEND_ROWS, 'new')
    times.push(await timed(() => table.append(batch)))
  }
  const { bytes } = await table.stats()
  const upserts: number[] = []
  for (let i = 0; i < count; i += 1) {
    const batch = rowsFrom(split.base, i * APPEND_ROWS, (i + 1) * APPEND_ROWS, 'new')
    upserts.push(await timed(() => table.upsert(batch)))
  }
  const directly: number[] = []
  if (direct !== null) {
    // The same rows as Arrow, so that only the commit is compared.
    const arrow = await direct.query().limit(APPEND_ROWS).toArrow()
    for (let i = 0; i < count; i += 1) directly.push(await timed(() => direct.add(arrow)))
  }
  return [
    {
      p50_ms: median(times),
      p95_ms: percentile(times, 0.95),
      upsert_p50_ms: median(upserts),
      added_kib: (bytes - before.bytes) / count / KIB,
      ...(directly.length > 0 && { direct_unsynced_p50_ms: median(directly) }),
    },
  ]
}

interface Searched {
  readonly kind: LanceIndexKind
  readonly table: RemoteLanceTable
  readonly direct: Table | null
  readonly name: string
}

async function searchesBy({ kind, table, direct, name }: Searched): Promise<Row> {
  const buildMs = await timed(() => table.buildIndex(kind))
  progress(`${name}: ${kind} built in ${(buildMs / 1000).toFixed(1)} s`)
  await direct?.checkoutLatest()
  const { settings, recall } = await solve(table, kind)
  const times: number[] = []
  const directly: number[] = []
  for (let round = 0; round < ROUNDS; round += 1) {
    times.push(...(await searchAll((query) => searchOnce(table, query, settings))))
    if (direct === null) continue
    directly.push(...(await searchAll((query) => searchDirectly(direct, query, settings))))
  }
  targets.push({
    name: `${name}: recall@10 of ${kind}`,
    value: recall,
    bound: RECALL_MIN,
    kind: 'at_least',
  })
  if (direct !== null) {
    const above = median(times) - 1.15 * median(directly)
    const what = `${name}: ms of the core above 1.15 of LanceDB, ${kind}`
    targets.push({ name: what, value: above, bound: 1, kind: 'at_most' })
  }
  return {
    ...{ kind, build_s: buildMs / 1000, nprobes: settings.nprobes },
    ...{ refine_factor: settings.refineFactor, ef: settings.ef, recall },
    ...{ p50_ms: median(times), p99_ms: percentile(times, 0.99), ...directRow(times, directly) },
  }
}

function directRow(times: readonly number[], directly: readonly number[]): Row {
  if (directly.length === 0) return {}
  const direct = median(directly)
  return { direct_p50_ms: direct, of_direct: median(times) / direct }
}

async function solve(
  table: RemoteLanceTable,
  kind: LanceIndexKind,
): Promise<{ readonly settings: LanceSearchSettings; readonly recall: number }> {
  let best = { settings: LADDERS[kind][0] as LanceSearchSettings, recall: 0 }
  for (const settings of LADDERS[kind]) {
    const recall = await recallWith(table, settings, truth)
    progress(`${kind} ${JSON.stringify(settings)}: recall ${recall.toFixed(3)}`)
    if (recall > best.recall) best = { settings, recall }
    if (recall >= RECALL_MIN) break
  }
  return best
}

async function recallWith(
  table: RemoteLanceTable,
  settings: LanceSearchSettings,
  expected: Truth,
): Promise<number> {
  let sum = 0
  for (let query = 0; query < split.queries.rows; query += 1) {
    const { hits } = await searchOnce(table, rowOf(split.queries, query), settings)
    const found = hits.map(({ id }) => Number(id.slice(1)))
    sum += recallOf(expected, query, found)
  }
  return sum / split.queries.rows
}

async function searchAll(search: (query: Float32Array) => Promise<unknown>): Promise<number[]> {
  const times: number[] = []
  for (let query = 0; query < split.queries.rows; query += 1) {
    times.push(await timed(() => search(rowOf(split.queries, query))))
  }
  return times
}

function searchOnce(
  table: RemoteLanceTable,
  vector: Float32Array,
  settings: LanceSearchSettings,
): ReturnType<RemoteLanceTable['search']> {
  const rest = { k: K, exact: false, filter: null, include: NONE, asOf: null }
  return table.search({ vector, ...rest, ...settings })
}

function searchDirectly(
  table: Table,
  vector: Float32Array,
  { nprobes, refineFactor, ef }: LanceSearchSettings,
): Promise<unknown> {
  const query = table.query().nearestTo(vector).distanceType('cosine').limit(K)
  query.select(['id', '_distance'])
  if (nprobes !== null) query.nprobes(nprobes)
  if (refineFactor !== null) query.refineFactor(refineFactor)
  if (ef !== null) query.ef(Math.max(ef, K * (refineFactor ?? 1)))
  return query.toArrow()
}
