/**
 * The agent of a real service, by itself: it tries, judges, shadows, takes a canary over real searches
 * and promotes; a person's rollback afterwards counts, and no write was lost meanwhile.
 */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { startService, temporaryFolder, type Service } from '../support/service.ts'
import { randomVectors, vectorAt } from '../support/vectors.ts'

const POINTS = 4000
const DIMENSION = 12
const INDEX = '/vectors/indexes/cloud'
const TUNED_WITHIN_MS = 240_000
/** Without this many searches a canary stands still. */
const SEARCHES_A_ROUND = 100

const points = randomVectors(POINTS, DIMENSION, 1)
const queries = randomVectors(500, DIMENSION, 2)

interface Promoted {
  readonly current: {
    readonly promoted_by: string
    readonly config: { readonly ef_search: number | null }
  } | null
}

it('the agent finds a cheaper ef, rolls it out over real searches and lets a person go back', async (t) => {
  const service = await startService(await temporaryFolder(t), {
    env: { VECTORD_AGENT_ENABLED: 'true', VECTORD_SEARCH_FLAT_THRESHOLD: '100' },
  })
  t.after(() => service.kill())
  await service.ready()
  await fill(service)
  // The ef that everything is compared with is far higher than the floor needs.
  await service.must('PUT', '/vectors/agent/cloud', {
    ...{ mode: 'auto', min_recall: 0.97, max_trials_per_hour: 2, cooldown_between_trials_secs: 0 },
    ...{ canary_shares: [0.5], bake_secs: 1 },
  })
  const missing = await service.request('PUT', '/vectors/agent/cloud', { eval: 'nowhere' })
  assert.deepEqual([missing.status, /"eval_not_found"/.test(missing.text)], [404, true])
  const settings = (await service.must('GET', '/vectors/agent/cloud')) as { eval: string | null }
  assert.equal(settings.eval, null, 'what is refused changes nothing')
  await service.must('POST', '/vectors/agent/enqueue/cloud')
  const config = await promotedByAgent(service)
  assert.ok(config.ef_search !== null && config.ef_search < 400, JSON.stringify(config))
  const { ef_used: efUsed, config_source: source } = await search(service, 0)
  assert.ok(efUsed < 400 && source.startsWith('promoted:'), `${efUsed} ${source}`)

  const { decisions } = (await service.must('GET', '/vectors/agent/decisions/cloud?limit=100')) as {
    decisions: { kind: string; verdict: string }[]
  }
  const story = decisions.map(({ kind, verdict }) => `${kind} ${verdict}`).toReversed()
  const steps = ['trial completed', 'verdict promote', 'rollout shadow', 'rollout canary']
  for (const step of [...steps, 'rollout champion', 'promotion promote']) {
    assert.ok(story.includes(step), `${step} is missing: ${story.join(', ')}`)
  }

  await service.must('POST', '/vectors/hnsw/rollback/cloud?note=as+before')
  assert.equal((await search(service, 0)).ef_used, 400)
  const verified = await service.must('POST', `${INDEX}/verify?wait=true`)
  assert.deepEqual((verified as { faults: unknown[] }).faults, [])
  assert.equal(await service.stop(), 0)
})

async function fill(service: Service): Promise<void> {
  const hnsw = { m: 16, ef_construction: 100, ef_search: 400 }
  const settings = { name: 'cloud', dimension: DIMENSION, metric: 'l2', hnsw }
  await service.must('POST', '/vectors/indexes', settings)
  const rows = Array.from({ length: POINTS }, (_, row) => {
    return { id: `p-${row}`, vector: Array.from(vectorAt(points, row)) }
  })
  await service.must('POST', `${INDEX}/points`, { points: rows })
  const inGraph = new RegExp(`"delta_points":0,"graph_elements":${POINTS}\\b`)
  await service.eventually(`${INDEX}/health`, ({ text }) => inGraph.test(text))
}

interface Found {
  readonly ef_used: number
  readonly config_source: string
}

async function search(service: Service, query: number): Promise<Found> {
  const vector = Array.from(vectorAt(queries, query % queries.count))
  return (await service.must('POST', `${INDEX}/search`, { vector, k: 10 })) as Found
}

/** Searches on until the agent has promoted something. @returns its configuration. */
async function promotedByAgent(
  service: Service,
): Promise<NonNullable<Promoted['current']>['config']> {
  const deadline = Date.now() + TUNED_WITHIN_MS
  for (let query = 0; Date.now() < deadline; query += 1) {
    await search(service, query)
    if (query % SEARCHES_A_ROUND !== 0) continue
    const { current } = (await service.must('GET', '/vectors/hnsw/promoted/cloud')) as Promoted
    if (current !== null) {
      assert.equal(current.promoted_by, 'agent')
      return current.config
    }
  }
  const status = await service.must('GET', '/vectors/agent/status')
  assert.fail(`nothing was promoted: ${JSON.stringify(status)}\n${service.log.join('\n')}`)
}
