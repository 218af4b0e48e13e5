/**
 * What does an index cost on each backend, over HTTP and on the same data?
 *
 * 100,000 vectors of 768 numbers go into an index of HNSW, are migrated to a Lance table, and are
 * searched there by each kind of index, with the settings that the service solved for a recall of
 * 0.95 on rows of its own; the recall that is told here is that of queries which it never saw. Then
 * fetches by id, appends of 100 rows, and what lies in the bucket. One client; with `--s3` the same
 * on a real S3 server of this machine as well.
 */

import { randomUUID } from 'node:crypto'
import { readdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { startS3Server } from '../test/support/s3-server.ts'
import { groundTruth } from './support/ground-truth.ts'
import { base64Vector } from './support/json-vector.ts'
import { print, progress, readOptions, type Row, type Target } from './support/report.ts'
import { BenchServer, withFolder } from './support/server.ts'
import { createIndex, EF_LADDER, fill, K, RECALL_MIN, searchOnce } from './support/service.ts'
import { median } from './support/statistics.ts'
import { rowOf } from './support/vectors.ts'
import { wideSplit } from './support/wide.ts'

const KINDS = ['ivf_pq', 'ivf_hnsw_sq'] as const
const FETCHES = 200
const APPENDS = 20
const APPEND_ROWS = 100
const MIB = 2 ** 20
/** No sample of live searches, so that a search costs what it costs. */
const ENV = { VECTORD_RECALL_MAX_SAMPLE_RATE: '0', VECTORD_SERVER_SHED_EVENT_LOOP_DELAY_MS: '0' }

interface Built {
  readonly recall: {
    readonly solved: {
      readonly reached: boolean
      readonly kept: Row
      readonly tried: readonly object[]
    }
  }
}

const options = readOptions()
const rows = options.quick ? 10_000 : 100_000
const split = wideSplit(rows, 200)
const truth = groundTruth(split, K)
const tables: Record<string, readonly Row[]> = {}
const targets: Target[] = []

await withFolder((root) => benchPlace('local', root, {}))
if (options.s3) await onS3()
print(
  {
    bench: 'lance-service',
    parameters: { data: split.name, held_out_queries: split.queries.rows, metric: 'cosine', k: K },
    tables,
    targets,
    notes: ['one client; bytes of HNSW: log, checkpoint and graph; of Lance: all versions'],
  },
  options,
)

async function onS3(): Promise<void> {
  const s3 = await startS3Server()
  if (s3 === null) throw new Error('there is no S3 server')
  try {
    const bucket = `bench-${randomUUID()}`
    await s3.createBucket(bucket)
    await withFolder(async (root) => {
      const file = join(root, 'credentials.json')
      const { accessKeyId, secretAccessKey } = s3
      const secret = { access_key_id: accessKeyId, secret_access_key: secretAccessKey }
      writeFileSync(file, JSON.stringify(secret), { mode: 0o600 })
      await benchPlace('s3', root, {
        VECTORD_PRIMARY_BACKEND: 's3',
        VECTORD_PRIMARY_BUCKET: bucket,
        VECTORD_PRIMARY_ENDPOINT: s3.endpoint,
        VECTORD_PRIMARY_CREDENTIALS_FILE: file,
      })
    })
  } finally {
    await s3.close()
  }
}

async function benchPlace(
  place: string,
  root: string,
  env: Readonly<Record<string, string>>,
): Promise<void> {
  const server = await BenchServer.start(root, { env: { ...ENV, ...env } })
  const found: Row[] = []
  const solutions: Row[] = []
  await createIndex(server, 'graph', split.base.dimension)
  const filled = await fill(server, 'graph', split.base, { form: 'columns' })
  await server.call('POST', '/vectors/indexes/graph/checkpoint?wait=true')
  const bytes = place === 'local' ? folderBytes(join(root, 'data', 'buckets')) : null
  const ef = await smallestEf(server)
  const graph = {
    backend: 'hnsw',
    build_s: filled.indexedMs / 1000,
    ...(await measure(server, 'graph', ef)),
  }
  found.push({ ...graph, bytes_mib: bytes === null ? null : bytes / MIB })
  const wish = { to: 'lance', name: 'table' }
  const migrateMs = await timed(() =>
    server.call('POST', '/vectors/lance/migrate/graph?wait=true', wish),
  )
  progress(`${place}: migrated in ${(migrateMs / 1000).toFixed(1)} s`)
  for (const kind of KINDS) {
    const body = { kind, min_recall: RECALL_MIN }
    let built: unknown
    const buildMs = await timed(async () => {
      built = await server.call('POST', '/vectors/lance/index/table?wait=true', body)
    })
    const { solved } = (built as Built).recall
    if (kind === KINDS[0]) {
      await server.call('POST', '/vectors/lance/scalar-index/table?wait=true')
    }
    progress(`${place}: ${kind} built and solved in ${(buildMs / 1000).toFixed(1)} s`)
    const one = await measure(server, 'table', null)
    const stats = (await server.call('GET', '/vectors/lance/stats/table')) as { bytes: number }
    found.push({ backend: kind, build_s: buildMs / 1000, ...one, bytes_mib: stats.bytes / MIB })
    solutions.push({ backend: kind, reached: String(solved.reached), ...solved.kept })
    for (const each of solved.tried) progress(JSON.stringify(each))
    targets.push({
      ...{ name: `${place}: recall@10 of ${kind}, as solved`, bound: RECALL_MIN },
      ...{ value: Number(one['recall']), kind: 'at_least' },
    })
  }
  tables[`${place}: what was solved, on rows of the table`] = solutions
  tables[`${place}: migrated in ${(migrateMs / 1000).toFixed(1)} s`] = found
  await server.stop()
}

/** Searches by every query, fetches of one point and appends of 100, each the median of one client. */
async function measure(server: BenchServer, index: string, ef: number | null): Promise<Row> {
  await searchOnce(server, index, { split, truth, ef })
  const { p50Ms, p99Ms, recall } = await searchOnce(server, index, { split, truth, ef })
  const fetched: number[] = []
  for (let i = 0; i < FETCHES; i += 1) {
    const path = `/vectors/indexes/${index}/points/${(i * 7919) % rows}?include=vector`
    fetched.push(await timed(() => server.call('GET', path)))
  }
  const appended: number[] = []
  for (let i = 0; i < APPENDS; i += 1) {
    const points = Array.from({ length: APPEND_ROWS }, (_, row) => ({
      id: `new-${randomUUID()}`,
      vector: base64Vector(rowOf(split.base, i * APPEND_ROWS + row)),
    }))
    const path = `/vectors/indexes/${index}/points`
    appended.push(await timed(() => server.call('POST', path, { points })))
    // Out of the way again, so that the truth stays true.
    const ids = points.map(({ id }) => id)
    await server.call('POST', `${path}/delete`, { ids })
  }
  progress(`${index}: recall ${recall.toFixed(3)}, p50 ${p50Ms.toFixed(2)} ms`)
  return {
    ...{ ef, recall, p50_ms: p50Ms, p99_ms: p99Ms },
    ...{ fetch_p50_ms: median(fetched), append_p50_ms: median(appended) },
  }
}

async function smallestEf(server: BenchServer): Promise<number> {
  for (const ef of EF_LADDER) {
    const { recall } = await searchOnce(server, 'graph', { split, truth, ef })
    if (recall >= RECALL_MIN) return ef
  }
  throw new Error(`no ef up to ${String(EF_LADDER.at(-1))} reaches ${RECALL_MIN}`)
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const startedMs = performance.now()
  await work()
  return performance.now() - startedMs
}

function folderBytes(folder: string): number {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .reduce((sum, entry) => sum + statSync(join(entry.parentPath, entry.name)).size, 0)
}
