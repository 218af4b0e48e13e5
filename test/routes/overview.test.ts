/** GET /overview: what it tells of indexes and of the service, and whom. */

import assert from 'node:assert/strict'
import { it, type TestContext } from 'node:test'
import { overviewRoutes } from '../../routes/overview.ts'
import { parseApiKeys } from '../../src/http/auth.ts'
import type { RecallReport } from '../../src/services/recall-report.ts'
import { SearchRates } from '../../src/services/search-rates.ts'
import { bearer, keyLine, NOW_MS, openApp, type TestApp } from '../support/http-app.ts'

interface Overview {
  readonly indexes: readonly {
    readonly name: string
    readonly state: string
    readonly searches: { readonly qps: number; readonly failed: number }
    readonly recall: Readonly<Record<string, unknown>>
  }[]
  readonly searches: { readonly qps: number }
  readonly memory: object | null
  readonly cores: readonly object[] | null
  readonly buckets: readonly { readonly name: string }[] | null
}

const UNKNOWN: RecallReport = {
  ...{ generation: 1, ef: null, efSource: 'default', samples: 0, sampledShare: 0, strata: [] },
  slo: { goal: 0.9, window: { samples: 0, ageMs: null }, budgetLeft: null, status: 'unknown' },
}

interface World extends TestApp {
  readonly rates: SearchRates
  reports: Map<string, RecallReport>
}

async function open(t: TestContext, keys: readonly string[] = []): Promise<World> {
  const app = await openApp(t, { keys: parseApiKeys([...keys]) })
  const reports = new Map<string, RecallReport>()
  let now = NOW_MS
  const rates = new SearchRates(() => (now += 1))
  await app.app.register(overviewRoutes, {
    ...{ indexes: app.indexes, buckets: app.buckets, operations: app.operations, rates },
    recall: { report: (index) => reports.get(index) ?? UNKNOWN },
    memory: { usedBytes: 10, boundBytes: Infinity },
    ...{ rssBytes: () => 20, startedMs: NOW_MS, nowMs: () => NOW_MS },
  })
  return { ...app, rates, reports }
}

it('200: every index with its recall and rate, memory, cores and buckets', async (t) => {
  const { send, rates, reports } = await open(t)
  for (const name of ['docs', 'notes'])
    await send('POST', '/vectors/indexes', { name, dimension: 3 })
  rates.observe({ index: 'docs', answer: null, tookMs: 1 })
  const stratum = (samples: number, recall: number, isAlarmed: boolean) => ({
    ...{ kBucket: '1-10', filterBucket: '1', samples, recall, isAlarmed, ef: 40 },
    ...{ interval: [recall - 0.01, recall + 0.01] as const, lcb: null, status: 'ok' as const },
  })
  reports.set('docs', {
    ...{ ...UNKNOWN, ef: 40, samples: 300, slo: { ...UNKNOWN.slo, status: 'violated' } },
    strata: [stratum(100, 0.5, true), stratum(200, 0.95, false)],
  })
  const { status, body } = await send('GET', '/overview')
  assert.equal(status, 200)
  const { indexes, memory, cores, buckets } = body as Overview
  assert.deepEqual(
    indexes.map(({ name, state, searches }) => [name, state, searches.failed]),
    [
      ['docs', 'ready', 1],
      ['notes', 'ready', 0],
    ],
  )
  assert.deepEqual(indexes[0]?.recall, {
    ...{ goal: 0.9, status: 'violated', samples: 300, ef: 40, alarm: true },
    ...{ recall: 0.95, interval: [0.94, 0.96] },
  })
  assert.deepEqual(indexes[1]?.recall, {
    ...{ goal: 0.9, status: 'unknown', samples: 0, ef: null, alarm: false },
    ...{ recall: null, interval: null },
  })
  assert.deepEqual(memory, { used_bytes: 10, bound_bytes: null, rss_bytes: 20 })
  assert.equal(cores?.length, 1)
  assert.equal(buckets?.[0]?.name, 'primary')
})

it('200: a key that is limited sees its indexes, their rates, and nothing of the whole', async (t) => {
  const keys = [keyLine('all', 'admin', 'all'), keyLine('team', 'read', 'team', 'team-')]
  const { send, rates } = await open(t, keys)
  for (const name of ['team-a', 'others']) {
    await send('POST', '/vectors/indexes', { name, dimension: 3 }, bearer('all'))
    rates.observe({ index: name, answer: null, tookMs: 1 })
  }
  const limited = (await send('GET', '/overview', undefined, bearer('team'))).body as Overview
  assert.deepEqual(
    limited.indexes.map(({ name }) => name),
    ['team-a'],
  )
  assert.deepEqual([limited.memory, limited.cores, limited.buckets], [null, null, null])
  const whole = (await send('GET', '/overview', undefined, bearer('all'))).body as Overview
  assert.equal(whole.indexes.length, 2)
  assert.ok(whole.searches.qps > 1.5 * limited.searches.qps)
  assert.equal((await send('GET', '/overview')).status, 401)
})

it('400: it takes no query', async (t) => {
  const { send } = await open(t)
  assert.equal((await send('GET', '/overview?x=1')).code, 'bad_request')
})
