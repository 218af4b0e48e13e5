/**
 * Live recall of a real service: low recall is found and told as it is, the ef is raised until the
 * goal is held, and the raised ef is there again after a restart.
 */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { startService, temporaryFolder, type Service } from '../support/service.ts'
import { randomVectors, vectorAt } from '../support/vectors.ts'

const POINTS = 3000
const DIMENSION = 32
const QUERIES = 300
const GOAL = 0.9
/** Far too few candidates for points without structure. */
const EF = 10
const INDEX = '/vectors/indexes/cloud'

const points = randomVectors(POINTS, DIMENSION, 1)
const queries = randomVectors(QUERIES, DIMENSION, 2)

interface Found {
  readonly results: readonly { readonly id: string }[]
  readonly path: string
  readonly ef_used: number
}

interface Recall {
  readonly recall_slo: { readonly status: string; readonly goal: number }
  readonly ef: number
  readonly ef_source: string
  readonly samples: number
  readonly strata: readonly {
    readonly n: number
    readonly recall: number
    readonly interval: readonly [number, number]
  }[]
}

it('low recall is told as it is; the ef is raised to hold the goal, and survives a restart', async (t) => {
  const root = await temporaryFolder(t)
  let service = await start(root, { roundMs: 3_600_000 })
  t.after(() => service.kill())
  await fill(service)

  const found = await searchAll(service)
  assert.ok(found.every(({ path, ef_used }) => path === 'graph' && ef_used === EF))
  const measured = await recallOf(service, ({ samples }) => samples >= 0.9 * QUERIES)
  const actual = await exactRecall(service, found)
  const [low, high] = measured.strata[0]?.interval ?? [1, 0]
  t.diagnostic(JSON.stringify({ actual, measured: measured.strata[0] }))
  assert.ok(low <= actual && actual <= high, `${actual} is not in ${low} to ${high}`)
  assert.ok(Math.abs((measured.strata[0]?.recall ?? 0) - actual) < 0.02, `${actual}`)
  assert.ok(actual < GOAL)
  assert.equal(measured.recall_slo.status, 'violated')
  assert.deepEqual([measured.ef, measured.ef_source], [EF, 'default'])

  assert.equal(await service.stop(), 0)
  service = await start(root, { roundMs: 200 })
  await service.ready()
  // The agent has looked at the index: it may change the ef.
  await service.eventually(
    `${INDEX}/recall`,
    ({ body }) => (body as Recall).recall_slo.goal === GOAL,
  )
  const raised = await searchUntil(service, ({ recall_slo }) => recall_slo.status === 'ok')
  assert.equal(raised.ef_source, 'live')
  assert.ok(raised.ef > EF, `${raised.ef}`)
  const metrics = (await service.request('GET', '/metrics')).text
  t.diagnostic([...metrics.matchAll(/^vectord_live_[a-z_]+[{ ].*$/gm)].join(' '))
  assert.match(metrics, new RegExp(`^vectord_live_ef\\{index="cloud"\\} ${raised.ef}$`, 'm'))
  const better = await exactRecall(service, await searchAll(service))
  t.diagnostic(JSON.stringify({ ef: raised.ef, recall: better }))
  assert.ok(better > GOAL - 0.01, `${better} at ef ${raised.ef}`)

  assert.equal(await service.stop(), 0)
  service = await start(root, { roundMs: 3_600_000 })
  await service.ready()
  await search(service, 0)
  const again = await recallOf(service, ({ ef_source }) => ef_source === 'live')
  assert.ok(again.ef > EF && again.recall_slo.status === 'unknown', JSON.stringify(again))
  assert.equal((await search(service, 1)).ef_used, again.ef)
})

function start(root: string, { roundMs }: { readonly roundMs: number }): Promise<Service> {
  return startService(root, {
    env: {
      VECTORD_AGENT_ENABLED: 'true',
      VECTORD_AGENT_MODE: 'auto',
      VECTORD_AGENT_MAX_TRIALS_PER_HOUR: '0',
      VECTORD_AGENT_MIN_RECALL: String(GOAL),
      VECTORD_RECALL_SAMPLE_CPU_SHARE: '1',
      VECTORD_RECALL_MAX_SAMPLE_RATE: '1',
      VECTORD_RECALL_ROUND_INTERVAL_MS: String(roundMs),
      VECTORD_SEARCH_FLAT_THRESHOLD: '100',
    },
  })
}

async function fill(service: Service): Promise<void> {
  const settings = { name: 'cloud', dimension: DIMENSION, metric: 'l2' }
  const hnsw = { m: 8, ef_construction: 60, ef_search: EF }
  const made = await service.request('POST', '/vectors/indexes', { ...settings, hnsw })
  assert.equal(made.status, 201, made.text)
  const rows = Array.from({ length: POINTS }, (_, row) => {
    return { id: `p-${row}`, vector: Array.from(vectorAt(points, row)) }
  })
  const reply = await service.request('POST', `${INDEX}/points`, { points: rows })
  assert.equal(reply.status, 200, reply.text)
  const inGraph = new RegExp(`"delta_points":0,"graph_elements":${POINTS}\\b`)
  await service.eventually(`${INDEX}/health`, ({ text }) => inGraph.test(text))
}

async function search(service: Service, query: number, more: object = {}): Promise<Found> {
  const vector = Array.from(vectorAt(queries, query))
  const body = { vector, k: 10, include: [], ...more }
  const reply = await service.request('POST', `${INDEX}/search`, body)
  assert.equal(reply.status, 200, reply.text)
  return reply.body as Found
}

async function searchAll(service: Service): Promise<readonly Found[]> {
  const found: Found[] = []
  for (let query = 0; query < QUERIES; query += 1) found.push(await search(service, query))
  return found
}

/** Share of the true neighbours that were found. */
async function exactRecall(service: Service, found: readonly Found[]): Promise<number> {
  let hits = 0
  for (const [query, { results }] of found.entries()) {
    const truth = await search(service, query, { exact: true })
    const ids = new Set(truth.results.map(({ id }) => id))
    hits += results.filter(({ id }) => ids.has(id)).length
  }
  return hits / (10 * found.length)
}

async function recallOf(service: Service, until: (recall: Recall) => boolean): Promise<Recall> {
  const { body } = await service.eventually(`${INDEX}/recall`, (reply) =>
    until(reply.body as Recall),
  )
  return body as Recall
}

/** Searches on until live recall is as wanted; at most thirty times all queries. */
async function searchUntil(service: Service, until: (recall: Recall) => boolean): Promise<Recall> {
  for (let query = 0; query < 30 * QUERIES; query += 1) {
    await search(service, query % QUERIES)
    if (query % 50 !== 49) continue
    const { body } = await service.request('GET', `${INDEX}/recall`)
    if (until(body as Recall)) return body as Recall
  }
  assert.fail(`recall did not get as wanted\n${service.log.join('\n')}`)
}
