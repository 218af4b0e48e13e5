/**
 * Lance indexes of a real service: writes that survive a kill -9, searches against plain distances,
 * copies between the backends while the source is written to, settings that are solved for recall.
 */

import assert from 'node:assert/strict'
import { it, type TestContext } from 'node:test'
import { plainDistance } from '../support/model/plain-distance.ts'
import { startService, temporaryFolder, type Service } from '../support/service.ts'
import { clusteredVectors, vectorAt, type VectorSet } from '../support/vectors.ts'

const DIMENSION = 24

interface Found {
  readonly results: readonly { readonly id: string; readonly distance: number }[]
  readonly path: string
  readonly exhausted: boolean
  readonly lsn: number
}

interface Measured {
  readonly current: { readonly recall_ucb: number }
  readonly solved: {
    readonly reached: boolean
    readonly changed: boolean
    readonly kept: { readonly recall_lcb: number }
  }
}

interface Page {
  readonly points: readonly { readonly id: string; readonly version: number }[]
  readonly next_cursor: string | null
}

interface Overview {
  readonly indexes: readonly {
    readonly searches: { readonly qps: number; readonly p99_ms: number | null }
  }[]
}

const data = clusteredVectors(4000, DIMENSION, { clusters: 40, seed: 7 })
/** Wide clouds that overlap: what an index of few lists and short codes finds least of. */
const cloud = clusteredVectors(2600, DIMENSION, { clusters: 400, seed: 11 })

async function serve(
  t: TestContext,
  root: string,
  env: Readonly<Record<string, string>> = {},
): Promise<Service> {
  const service = await startService(root, { env })
  t.after(() => service.kill())
  await service.ready()
  return service
}

async function create(service: Service, name: string, more: object = {}): Promise<void> {
  const index = { name, dimension: DIMENSION, metric: 'l2', backend: 'lance', ...more }
  await service.must('POST', '/vectors/indexes', index)
}

function pointsOf(from: number, to: number, of = data): object[] {
  return Array.from({ length: to - from }, (_, i) => {
    const n = from + i
    return { id: `p${n}`, vector: [...vectorAt(of, n)], metadata: { n, even: n % 2 === 0 } }
  })
}

async function fill(service: Service, name: string, count: number, of = data): Promise<void> {
  for (let from = 0; from < count; from += 1000) {
    const points = pointsOf(from, Math.min(count, from + 1000), of)
    await service.must('POST', `/vectors/indexes/${name}/points`, { points })
  }
}

function nearest(
  query: Float32Array,
  among: readonly number[],
  k: number,
  of: VectorSet = data,
): number[] {
  return among
    .map((n) => ({ n, distance: plainDistance('l2', query, vectorAt(of, n)) }))
    .sort((a, b) => a.distance - b.distance)
    .slice(0, k)
    .map(({ n }) => n)
}

const range = (from: number, to: number): number[] =>
  Array.from({ length: to - from }, (_, i) => from + i)

async function search(service: Service, name: string, body: object): Promise<Found> {
  return (await service.must('POST', `/vectors/indexes/${name}/search`, body)) as Found
}

async function scrollAll(service: Service, name: string): Promise<Page['points']> {
  const points: Page['points'][number][] = []
  for (let cursor: string | null = ''; cursor !== null;) {
    const after: string = cursor === '' ? '' : `&cursor=${cursor}`
    const path = `/vectors/indexes/${name}/points?limit=1000${after}`
    const page = (await service.must('GET', path)) as Page
    points.push(...page.points)
    cursor = page.next_cursor
  }
  return points
}

it('a Lance index answers as plain distances do, and after a kill -9 every acknowledged write is there', async (t) => {
  const root = await temporaryFolder(t)
  let service = await serve(t, root)
  await create(service, 'books')
  await fill(service, 'books', 600)
  const query = vectorAt(data, 2000)
  const vector = [...query]

  const found = await search(service, 'books', { vector, k: 7 })
  assert.equal(found.path, 'exact')
  const ids = found.results.map(({ id }) => id)
  assert.deepEqual(
    ids,
    nearest(query, range(0, 600), 7).map((n) => `p${n}`),
  )
  const filtered = await search(service, 'books', { vector, k: 5, filter: { even: true } })
  const even = range(0, 600).filter((n) => n % 2 === 0)
  assert.deepEqual(
    filtered.results.map(({ id }) => id),
    nearest(query, even, 5).map((n) => `p${n}`),
  )
  const byId = await search(service, 'books', { id: 'p3', k: 600 })
  assert.equal(byId.exhausted, true, 'of 600 points one is left out')
  assert.ok(byId.results.every(({ id }) => id !== 'p3'))

  const { indexes } = (await service.must('GET', '/overview')) as Overview
  assert.ok((indexes[0]?.searches.qps ?? 0) > 0, 'its searches are counted')
  assert.ok((indexes[0]?.searches.p99_ms ?? 0) > 0)

  const before = found.lsn
  await service.must('POST', '/vectors/indexes/books/points/delete', { ids: ['p1', 'p2', 'none'] })
  const gone = await service.must('POST', '/vectors/indexes/books/points/delete', {
    filter: { n: { $gte: 500 } },
  })
  assert.equal((gone as { deleted: number }).deleted, 100)
  const moved = { id: 'p4', vector, metadata: { n: 4, moved: true } }
  const last = (await service.must('POST', '/vectors/indexes/books/points', {
    points: [moved],
  })) as { lsn: number }
  await service.kill()

  service = await serve(t, root)
  const kept = await scrollAll(service, 'books')
  const expected = range(0, 500).filter((n) => n !== 1 && n !== 2)
  assert.deepEqual(kept.map(({ id }) => id).sort(), expected.map((n) => `p${n}`).sort())
  assert.equal((await search(service, 'books', { vector, k: 1 })).results[0]?.id, 'p4')
  const then = await search(service, 'books', { vector, k: 7, as_of: before })
  assert.deepEqual(
    then.results.map(({ id }) => id),
    ids,
  )
  const info = (await service.must('GET', '/vectors/indexes/books')) as Record<string, unknown>
  assert.deepEqual([info['backend'], info['points'], info['lsn']], ['lance', 498, last.lsn])
  const report = (await service.must('POST', '/vectors/indexes/books/verify?wait=true')) as object
  assert.deepEqual(report, { clean: true, faults: [], log_records: 0, live_points: 498 })
  const minLsn = { vector, k: 1, min_lsn: last.lsn + 100, deadline_ms: 200 }
  assert.equal((await service.request('POST', '/vectors/indexes/books/search', minLsn)).status, 504)
})

it('what only graphs have is refused by name, and a deleted name can be used again', async (t) => {
  const service = await serve(t, await temporaryFolder(t))
  await create(service, 'x')
  await fill(service, 'x', 30)
  const refusals: (readonly [string, string, object?])[] = [
    ['POST', '/vectors/indexes/x/rebuild'],
    ['POST', '/vectors/indexes/x/compact'],
    ['GET', '/vectors/indexes/x/generations'],
    ['GET', '/vectors/indexes/x/points/p1/versions'],
    ['GET', '/vectors/indexes/x/storage'],
    ['GET', '/vectors/hnsw/promoted/x'],
    ['GET', '/vectors/hnsw/trials/x'],
    ['GET', '/vectors/hnsw/curve/x'],
    ['GET', '/vectors/agent/explain/x'],
    ['PUT', '/vectors/hnsw/evals/e', { index: 'x', k: 10 }],
    ['PUT', '/vectors/agent/x', { mode: 'observe' }],
    ['PATCH', '/vectors/indexes/x', { hnsw: { ef_search: 50 } }],
    ['PATCH', '/vectors/indexes/x', { retention: { keep_last_versions: 3 } }],
    ['PATCH', '/vectors/indexes/x', { bucket: 'rescue' }],
    ['POST', '/vectors/indexes/x/search', { text: 'words' }],
    ['POST', '/vectors/lance/migrate/x', { to: 'lance', name: 'y' }],
  ]
  for (const [method, path, body] of refusals) {
    const reply = await service.request(method, path, body)
    const { code } = (reply.body as { error: { code: string } }).error
    assert.deepEqual([path, reply.status, code], [path, 409, 'wrong_backend'])
  }
  await service.must('POST', '/vectors/indexes', { name: 'h', dimension: 3 })
  for (const path of ['stats/h', 'versions/h', 'doc/h/p1']) {
    assert.equal((await service.request('GET', `/vectors/lance/${path}`)).status, 409)
  }
  const recall = await service.request('POST', '/vectors/lance/recall/h', {})
  assert.equal(recall.status, 409)
  assert.equal((await service.request('GET', '/vectors/lance/stats/none')).status, 404)
  const list = (await service.must('GET', '/vectors/indexes')) as { indexes: { name: string }[] }
  assert.deepEqual(
    list.indexes.map(({ name }) => name),
    ['h', 'x'],
  )
  const bad = { name: 'w', dimension: 4, backend: 'lance', shards: 2 }
  assert.equal((await service.request('POST', '/vectors/indexes', bad)).status, 400)
  assert.equal((await service.request('DELETE', '/vectors/indexes/x')).status, 204)
  await create(service, 'x')
  const after = await search(service, 'x', { vector: [...vectorAt(data, 0)], k: 5 })
  assert.deepEqual([after.results, after.exhausted], [[], true])
})

it('an index is copied to the other backend and back, each as of one moment, while it is written to', async (t) => {
  const service = await serve(t, await temporaryFolder(t))
  await create(service, 'graph', { backend: 'hnsw' })
  await fill(service, 'graph', 1500)

  const copied = await whileWriting(service, 'graph', () =>
    service.must('POST', '/vectors/lance/migrate/graph?wait=true', { to: 'lance', name: 'table' }),
  )
  const { source_lsn: lsn, points } = copied as { source_lsn: number; points: number }
  const source = (await scrollAll(service, 'graph')).filter(({ version }) => version <= lsn)
  const target = await scrollAll(service, 'table')
  assert.equal(target.length, points)
  assert.deepEqual(target.map(({ id }) => id).sort(), source.map(({ id }) => id).sort())

  const back = await whileWriting(service, 'table', () =>
    service.must('POST', '/vectors/lance/migrate/table?wait=true', { to: 'hnsw', name: 'again' }),
  )
  const { source_lsn: version, points: again } = back as { source_lsn: number; points: number }
  const found = (await scrollAll(service, 'again')).map(({ id }) => id).sort()
  const table = (await scrollAll(service, 'table')).filter((point) => point.version <= version)
  assert.equal(found.length, again)
  assert.deepEqual(found, table.map(({ id }) => id).sort())

  const query = vectorAt(data, 3000)
  const wanted = { vector: [...query], k: 5, filter: { n: { $lt: 1500 } } }
  const expected = nearest(query, range(0, 1500), 5).map((n) => `p${n}`)
  for (const name of ['graph', 'table', 'again']) {
    const { results } = await search(service, name, { ...wanted, exact: true })
    assert.deepEqual([name, results.map(({ id }) => id)], [name, expected])
  }
  const taken = { to: 'lance', name: 'again' }
  assert.equal((await service.request('POST', '/vectors/lance/migrate/graph', taken)).status, 409)
})

it('a copy that was killed on its way leaves no index behind, and its name is free', async (t) => {
  const root = await temporaryFolder(t)
  let service = await serve(t, root)
  await create(service, 'source', { backend: 'hnsw' })
  // Large points: the copy must take longer than the two questions below.
  const metadata = { filler: 'x'.repeat(4000) }
  for (let from = 0; from < 4000; from += 1000) {
    const points = pointsOf(from, from + 1000).map((point) => ({ ...point, metadata }))
    await service.must('POST', '/vectors/indexes/source/points', { points })
  }
  await service.must('POST', '/vectors/lance/migrate/source', { to: 'lance', name: 'half' })
  await service.eventually('/operations', ({ text }) => text.includes('"copying"'))
  const [read, made] = await Promise.all([
    service.request('GET', '/vectors/indexes/half'),
    service.request('POST', '/vectors/indexes', { name: 'half', dimension: 3 }),
  ])
  assert.deepEqual([read.status, made.status], [404, 409])
  await service.kill()

  service = await serve(t, root)
  assert.equal((await service.request('GET', '/vectors/indexes/half')).status, 404)
  await create(service, 'half')
  assert.deepEqual(await scrollAll(service, 'half'), [])
})

it('settings are solved for a floor of recall, live searches are measured, new points are found', async (t) => {
  const recall = { VECTORD_RECALL_MAX_SAMPLE_RATE: '1', VECTORD_RECALL_SAMPLE_CPU_SHARE: '1' }
  const service = await serve(t, await temporaryFolder(t), recall)
  await create(service, 'x')
  await fill(service, 'x', 2500, cloud)
  const floor = 0.85
  const kind = { kind: 'ivf_pq', solve: false }
  await service.must('POST', '/vectors/lance/index/x?wait=true', kind)
  await service.must('PATCH', '/vectors/indexes/x', { lance: { nprobes: 1, refine_factor: 1 } })
  const { current, solved } = (await service.must('POST', '/vectors/lance/recall/x?wait=true', {
    ...{ min_recall: floor, queries: 200 },
  })) as Measured
  assert.ok(current.recall_ucb < floor, 'few lists and short codes find little')
  assert.ok(solved.reached && solved.changed && solved.kept.recall_lcb >= floor)
  const { lance, revision } = (await service.must('GET', '/vectors/indexes/x')) as {
    revision: number
    lance: { index_kind: string; shown: { min_recall: number; recall_lcb: number } | null }
  }
  assert.deepEqual([lance.index_kind, lance.shown?.min_recall], ['ivf_pq', floor])
  assert.equal(revision, 5, 'created, activated, built, changed, solved')

  // Queries that nobody was shown: every one is counted here, against plain distances.
  let hits = 0
  const queries = range(2500, 2600)
  for (const n of queries) {
    const query = vectorAt(cloud, n)
    const found = await search(service, 'x', { vector: [...query], k: 10 })
    assert.equal(found.path, 'ivf')
    const truth = new Set(nearest(query, range(0, 2500), 10, cloud).map((near) => `p${near}`))
    hits += found.results.filter(({ id }) => truth.has(id)).length
  }
  const actual = hits / (10 * queries.length)
  t.diagnostic(JSON.stringify({ actual, current, kept: solved.kept }))
  assert.ok(actual >= floor - 0.02, `recall ${actual}`)
  const live = await service.eventually('/vectors/indexes/x/recall', ({ body }) => {
    return (body as { samples: number }).samples >= 20
  })
  const [stratum] = (live.body as { strata: { recall: number; n: number }[] }).strata
  assert.ok(Math.abs((stratum?.recall ?? 0) - actual) < 0.1, JSON.stringify(stratum))

  const fresh = vectorAt(cloud, 2550)
  const points = [{ id: 'fresh', vector: [...fresh] }]
  await service.must('POST', '/vectors/lance/append/x', { points })
  assert.equal((await service.request('POST', '/vectors/lance/append/x', { points })).status, 409)
  const [first] = (await search(service, 'x', { vector: [...fresh], k: 1 })).results
  assert.equal(first?.id, 'fresh', 'a row that the index lacks is found too')
  const { version } = (await service.must('POST', '/vectors/lance/optimize/x?wait=true')) as {
    version: number
  }
  const stats = (await service.must('GET', '/vectors/lance/stats/x')) as {
    rows: number
    version: number
    indices: { column: string; unindexed_rows: number }[]
  }
  assert.deepEqual([stats.rows, stats.version], [2501, version])
  assert.deepEqual(
    stats.indices.map(({ column, unindexed_rows }) => [column, unindexed_rows]),
    [['vector', 0]],
  )
  const metrics = (await service.request('GET', '/metrics')).text
  assert.match(metrics, /vectord_lance_core_up 1/)
  assert.match(metrics, /vectord_live_recall_samples_total\{index="x"\} \d+/)
})

it('texts are embedded before they are written, streams and groups work as with every index', async (t) => {
  const service = await serve(t, await temporaryFolder(t))
  const index = { name: 'notes', backend: 'lance', embedder: 'local', stream: {} }
  await service.must('POST', '/vectors/indexes', index)
  const texts = [
    'a cat sleeps on the sofa',
    'stock prices fell sharply today',
    'dogs love long walks',
  ]
  const points = texts.map((text, i) => ({ id: `t${i}`, text, metadata: { kind: i % 2 } }))
  await service.must('POST', '/vectors/indexes/notes/points', { points })
  const found = await search(service, 'notes', { text: 'a kitten naps', k: 1, include: ['text'] })
  assert.equal(found.results[0]?.id, 't0')
  const hybrid = { text: 'cat', mode: 'hybrid', k: 1 }
  const refused = await service.request('POST', '/vectors/indexes/notes/search', hybrid)
  assert.equal((refused.body as { error: { code: string } }).error.code, 'wrong_backend')
  const bare = { points: [{ id: 'bare' }] }
  assert.equal((await service.request('POST', '/vectors/indexes/notes/points', bare)).status, 400)

  const streamed = { points: [{ id: 's', text: 'markets and shares', metadata: { kind: 1 } }] }
  const taken = await service.request('POST', '/vectors/indexes/notes/stream', streamed)
  assert.equal(taken.status, 202)
  const lsn = Number(taken.headers.get('x-vectord-lsn'))
  const groups = (await service.must('POST', '/vectors/indexes/notes/search/groups', {
    ...{ text: 'shares on the market', group_by: 'kind', k: 2, group_size: 2, min_lsn: lsn },
  })) as { groups: { key: number; hits: { id: string }[] }[] }
  assert.deepEqual(
    groups.groups.map(({ key, hits }) => [key, hits.map(({ id }) => id).sort()]),
    [
      [1, ['s', 't1']],
      [0, ['t0', 't2']],
    ],
  )
  const profile = { model: 'm', bound_indexes: ['notes'], backend: 'lance' }
  await service.must('PUT', '/vectors/profiles/desk', profile)
  const scoped = (await service.must('POST', '/vectors/profile/desk/search', {
    ...{ index: 'notes', text: 'a kitten naps', k: 1 },
  })) as Found
  assert.deepEqual([scoped.results[0]?.id, scoped.path], ['t0', 'exact'])
})

/** Runs `work` while points are written and deleted; all of them are acknowledged at its end. */
async function whileWriting<T>(service: Service, name: string, work: () => Promise<T>): Promise<T> {
  const over = new AbortController()
  const writing = (async (): Promise<void> => {
    for (let i = 0; !over.signal.aborted; i += 1) {
      const n = 2000 + (i % 500)
      const point = { id: `w${name}${i}`, vector: [...vectorAt(data, n)], metadata: { n } }
      await service.must('POST', `/vectors/indexes/${name}/points`, { points: [point] })
    }
  })()
  try {
    return await work()
  } finally {
    over.abort()
    await writing
  }
}
