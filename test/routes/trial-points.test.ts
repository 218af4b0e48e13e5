/** GET …/trials/{index}/points: the columns, which trials are in them, and 304. */

import assert from 'node:assert/strict'
import { it, type TestContext } from 'node:test'
import { trialPointRoutes } from '../../routes/trial-points.ts'
import type { Trial } from '../../src/domain/trial.ts'
import { openApp, type TestApp } from '../support/http-app.ts'
import { completed, curvePointOf, newTrial } from '../support/trials.ts'

const URL = '/vectors/hnsw/trials/docs/points'

async function open(t: TestContext): Promise<TestApp> {
  const app = await openApp(t)
  await app.app.register(trialPointRoutes, { indexes: app.indexes, trials: app.journals.trials })
  await app.send('POST', '/vectors/indexes', { name: 'docs', dimension: 3 })
  return app
}

async function tried(app: TestApp, trialId: string, ended: Partial<Trial>): Promise<void> {
  const { trials } = app.journals
  const epoch = ended.epoch ?? newTrial().epoch
  const begun = await trials.begin(newTrial({ trialId, epoch }))
  await trials.finish(completed(begun, { ...ended, epoch }))
}

it('200: no trial, no point', async (t) => {
  const { send } = await open(t)
  const { status, body } = await send('GET', URL)
  assert.equal(status, 200)
  const { fingerprint, measured, points } = body as Record<string, unknown>
  assert.deepEqual([fingerprint, measured], [null, 0])
  assert.deepEqual(points, { trial: [], ef: [], recall: [], recall_lcb: [], cpu_us: [] })
})

it('200: the points of completed trials on the newest data, in the order of the trials', async (t) => {
  const app = await open(t)
  const older = { fingerprint: 'ff', points: 1, dimension: 3, metric: 'cosine' } as const
  await tried(app, 'old', { epoch: older })
  await tried(app, 'one', { curve: [curvePointOf({ ef: 20 }), curvePointOf({ ef: 40 })] })
  await tried(app, 'bad', { state: 'failed', reason: 'it fell', curve: [] })
  await tried(app, 'two', { curve: [curvePointOf({ ef: 80, recall: 0.987654321, cpuUs: 12.345 })] })
  const { body } = await app.send('GET', URL)
  assert.deepEqual(body, {
    ...{ fingerprint: 'aa00', measured: 2, total: 4 },
    trials: {
      ...{ trial_id: ['one', 'two'], seq: [2, 4], m: [16, 16], ef_construction: [200, 200] },
    },
    points: {
      ...{ trial: [0, 0, 1], ef: [20, 40, 80], recall: [0.96, 0.96, 0.98765] },
      ...{ recall_lcb: [0.952, 0.952, 0.952], cpu_us: [210.5, 210.5, 12.3] },
    },
  })
})

it('304: nothing is sent while no trial began or ended', async (t) => {
  const app = await open(t)
  await tried(app, 'one', {})
  const etagOf = async (): Promise<string> => String((await app.send('GET', URL)).headers['etag'])
  const etag = await etagOf()
  const known = { 'if-none-match': etag }
  const again = await app.send('GET', URL, undefined, known)
  assert.deepEqual([again.status, again.text], [304, ''])
  await app.journals.trials.begin(newTrial({ trialId: 'two' }))
  assert.equal((await app.send('GET', URL, undefined, known)).status, 200)
  assert.notEqual(await etagOf(), etag)
})

it('200: trials of an index that was made anew are no old news', async (t) => {
  const app = await open(t)
  await tried(app, 'of-the-first', {})
  const etag = String((await app.send('GET', URL)).headers['etag'])
  await app.journals.trials.drop('docs')
  await tried(app, 'of-the-second', {})
  const { status, body } = await app.send('GET', URL, undefined, { 'if-none-match': etag })
  assert.equal(status, 200)
  assert.deepEqual((body as { trials: object }).trials, {
    ...{ trial_id: ['of-the-second'], seq: [1], m: [16], ef_construction: [200] },
  })
})

it('404: there is no such index', async (t) => {
  const { send } = await open(t)
  assert.equal((await send('GET', '/vectors/hnsw/trials/nope/points')).code, 'index_not_found')
})
