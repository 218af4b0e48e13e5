/**
 * The HTTP contract of live recall and of its curve, by status; and what metrics tell of it.
 *
 * How: a real watch over an index whose recall the test sets.
 */

import assert from 'node:assert/strict'
import { it, type TestContext } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { recallRoutes, type TrialCurve } from '../../routes/recall.ts'
import { MemoryStore } from '../../src/buckets/memory-store.ts'
import { liveRecallGauges } from '../../src/core-report.ts'
import { parseApiKeys } from '../../src/http/auth.ts'
import type { HttpOptions } from '../../src/http/build-http.ts'
import { HTTP_LIMITS } from '../../src/http/limits.ts'
import { Metrics } from '../../src/http/metrics.ts'
import { VectordError } from '../../src/lib/errors.ts'
import { LiveRecallWatch } from '../../src/services/live-recall-watch.ts'
import { bearer, keyLine, openApp, type TestApp } from '../support/http-app.ts'
import { FakeIndex, searched } from '../support/watched-index.ts'

const RECALL = '/vectors/indexes/docs/recall'
const CURVE = '/vectors/hnsw/curve/docs'

interface World extends TestApp {
  readonly index: FakeIndex
  readonly watch: LiveRecallWatch
  readonly metrics: Metrics
  trial: () => Promise<TrialCurve | null>
  /** So many searches for `k`, each sampled. */
  search(count: number, k?: number): Promise<void>
  round(): Promise<void>
}

async function open(t: TestContext, options: Partial<HttpOptions> = {}): Promise<World> {
  const metrics = new Metrics()
  const app = await openApp(t, { ...options, metrics })
  const index = new FakeIndex()
  let now = 0
  const store = new MemoryStore()
  const watch = new LiveRecallWatch({
    settings: { sampleCpuShare: 1, maxSampleRate: 1, efMax: 500, roundIntervalMs: 60_000 },
    served: (name) => (name === 'docs' ? index : null),
    goalOf: () => 0.9,
    mayChangeEf: () => true,
    ...{ pointsTuned: () => null, onSignal: () => undefined, storeOf: () => store },
    ...{ decisions: { append: () => '' }, reservoir: { offer: () => undefined } },
    nowMs: () => now,
    onTrouble: (error) => {
      throw error
    },
  })
  const world: World = {
    ...{ ...app, index, watch, metrics, trial: () => Promise.resolve(null) },
    search: async (count, k = 10) => {
      for (let i = 0; i < count; i += 1) {
        now += 50
        watch.observe(searched(`r-${now}`, { k }))
        for (let turn = 0; turn < 3; turn += 1) await nextTurn()
      }
    },
    round: () => watch.round((now += 60_000)),
  }
  await app.app.register(recallRoutes, {
    ...{ indexes: app.indexes, limits: HTTP_LIMITS, metrics, nowMs: () => now, recall: watch },
    graphs: app.indexes,
    trialCurve: () => world.trial(),
  })
  liveRecallGauges(metrics, watch)
  await app.send('POST', '/vectors/indexes', { name: 'docs', dimension: 3 })
  return world
}

it('200: without samples recall is unknown and nothing is claimed', async (t) => {
  const { send } = await open(t)
  const { status, body } = await send('GET', RECALL)
  assert.equal(status, 200)
  assert.deepEqual(body, {
    recall_slo: {
      goal: 0.9,
      window: { samples: 0, age_s: null },
      status: 'unknown',
      budget_left: null,
    },
    ...{ generation: 1, ef: 40, ef_source: 'default', samples: 0, sampled_share: 0, age_s: null },
    strata: [],
  })
})

it('200: measured recall with its interval, per stratum, and the share that was sampled', async (t) => {
  const { send, index, search } = await open(t)
  index.recallAt = () => 0.8
  await search(200)
  await search(5, 100)
  const { body } = await send('GET', RECALL)
  const {
    recall_slo: slo,
    strata,
    ...rest
  } = body as {
    recall_slo: { status: string; budget_left: number }
    strata: {
      k_bucket: string
      recall: number
      interval: [number, number]
      lcb: number | null
      alarm: boolean
      n: number
      status: string
    }[]
  }
  assert.deepEqual(rest, {
    ...{ generation: 1, ef: 40, ef_source: 'default', samples: 205, sampled_share: 1, age_s: 0 },
  })
  assert.equal(slo.status, 'violated')
  assert.ok(slo.budget_left < 0, `${slo.budget_left}`)
  const [low, high] = strata[0]?.interval ?? [1, 0]
  assert.ok(low <= 0.8 && 0.8 <= high && high < 0.9, `${low} to ${high}`)
  assert.deepEqual(
    strata.map(({ k_bucket, n, alarm, status }) => [k_bucket, n, alarm, status]),
    [
      ['1-10', 200, true, 'violated'],
      ['51-200', 5, false, 'unknown'],
    ],
  )
  assert.deepEqual([strata[0]?.lcb === null, strata[1]?.lcb], [false, null])
})

it('200: the source of ef is live once it was raised, and promoted before that', async (t) => {
  const { send, index, search, round } = await open(t)
  index.steering.usePromoted({ hnsw: index.hnsw, source: 'promoted:t-1' })
  assert.match((await send('GET', RECALL)).text, /"ef":40,"ef_source":"promoted"/)
  index.recallAt = (ef) => (ef > 60 ? 0.97 : 0.8)
  await search(150)
  await round()
  assert.match((await send('GET', RECALL)).text, /"ef":80,"ef_source":"live"/)
})

it('200: an index that does not serve has no generation', async (t) => {
  const { send, index } = await open(t)
  index.state = 'unavailable'
  assert.match((await send('GET', RECALL)).text, /"generation":null/)
})

it('200: the curve of live searches, and beside it that of the promoted trial', async (t) => {
  const world = await open(t)
  const empty = await world.send('GET', CURVE)
  const nothing = { index: 'docs', generation: 1, ef: 40, live: null, promoted: null }
  assert.deepEqual([empty.status, empty.body], [200, nothing])
  world.index.recallAt = (ef) => 0.93 + ef / 5000
  await world.search(150)
  const point = { ef: 50, queries: 500, recall: 0.9, recallLcb: 0.89, p10: 0.8, cpuUs: 40 }
  const times = { p50Us: 1, p95Us: 2, p99Us: 3 }
  world.trial = () => Promise.resolve({ trialId: 't-1', k: 10, curve: [{ ...point, ...times }] })
  const { body } = await world.send('GET', CURVE)
  const { live, promoted } = body as {
    live: { k_bucket: string; filter_bucket: string; points: Record<string, number>[] }
    promoted: unknown
  }
  assert.deepEqual([live.k_bucket, live.filter_bucket], ['1-10', '1'])
  assert.deepEqual(
    live.points.map(({ ef, n }) => [ef, n]),
    [20, 28, 40, 57, 80, 113].map((ef) => [ef, 150]),
  )
  for (const { recall = 0, recall_lcb: lcb = 1, recall_ucb: ucb = 0 } of live.points) {
    assert.ok(lcb < recall && recall < ucb, `${lcb} ${recall} ${ucb}`)
  }
  assert.deepEqual(promoted, {
    ...{ trial_id: 't-1', k: 10 },
    points: [{ ef: 50, n: 500, recall: 0.9, recall_lcb: 0.89, cpu_us: 40 }],
  })
})

it('400, 403 and 404: an unknown query, a key of other indexes, an unknown index', async (t) => {
  const keys = parseApiKeys([keyLine('all', 'admin', 'a'), keyLine('few', 'read', 'f', 'team_')])
  const { send } = await open(t, { keys })
  for (const url of [RECALL, CURVE]) {
    const unknown = url.replace('docs', 'dosc')
    assert.equal((await send('GET', `${url}?k=1`, undefined, bearer('a'))).code, 'bad_request')
    assert.equal((await send('GET', url)).status, 401)
    assert.equal((await send('GET', url, undefined, bearer('f'))).code, 'forbidden')
    assert.equal((await send('GET', unknown, undefined, bearer('a'))).code, 'index_not_found')
  }
})

it('503: a trial that cannot be read is no curve without one', async (t) => {
  const world = await open(t)
  world.trial = () => Promise.reject(new VectordError('bucket_unreachable', 'Down.'))
  assert.equal((await world.send('GET', CURVE)).code, 'bucket_unreachable')
})

it('metrics tell recall, its bound, the alarm and the ef, and recall only once it is known', async (t) => {
  const { metrics, index, search } = await open(t)
  index.recallAt = () => 0.8
  await search(50)
  assert.doesNotMatch(await metrics.text(), /^vectord_live_recall\{/m)
  assert.match(await metrics.text(), /^vectord_live_recall_samples_total\{index="docs"\} 50$/m)
  await search(150)
  const text = await metrics.text()
  assert.match(text, /^vectord_live_recall\{index="docs"\} 0\.(7|8)\d*$/m)
  assert.match(text, /^vectord_live_recall_lower_bound\{index="docs"\} 0\.(7|8)\d*$/m)
  assert.match(text, /^vectord_live_recall_alarm\{index="docs"\} 1$/m)
  assert.match(text, /^vectord_live_ef\{index="docs"\} 40$/m)
  assert.match(text, /^vectord_live_recall_dropped_total\{reason="busy"\} 0$/m)
  assert.match(text, /^vectord_live_recall_work_seconds_total 0\.2$/m)
})
