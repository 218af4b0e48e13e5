/** The HTTP contract of eval sets, trials and decisions. */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { parseApiKeys } from '../../src/http/auth.ts'
import { bearer, keyLine, openApp, type TestApp } from '../support/http-app.ts'
import { completed, newTrial } from '../support/trials.ts'

const EVAL = '/vectors/hnsw/evals/docs-auto'

it('200: given queries become a set with exact truth, which is read with and without it', async (t) => {
  const { send } = await withPoints(t)
  const queries = [
    [1, 0],
    [50, 0],
    [90, 1],
  ]
  const made = await send('PUT', `${EVAL}?wait=true`, { index: 'docs', k: 3, queries })
  assert.equal(made.status, 200, made.text)
  const read = await send('GET', EVAL)
  assert.deepEqual(read.body, made.body)
  assert.match(read.text, /"source":"given","state":"ready","stale":false,"weak":true/)
  const whole = await send('GET', `${EVAL}?include=queries,truth`)
  assert.match(whole.text, /"p-50"/)
  assert.match(whole.text, /"distances":/)
  const list = await send('GET', '/vectors/hnsw/evals')
  assert.deepEqual(list.body, { evals: [read.body], next_cursor: null, errors: [] })
})

it('202: autogen is an operation; until it is done the set is building and the old one stays', async (t) => {
  const { send, journals } = await withPoints(t)
  const gate = Promise.withResolvers<undefined>()
  assert.equal((await send('PUT', EVAL, { index: 'docs', k: 3 })).status, 200)
  journals.truth.gate = gate.promise
  const started = await send('POST', `${EVAL}/autogen`, { queries: 50 })
  assert.equal(started.status, 202)
  assert.match((await send('GET', EVAL)).text, /"state":"building".*"tune_queries":0/)
  gate.resolve(undefined)
  const again = await send('POST', `${EVAL}/autogen?wait=true`, { queries: 40, source: 'index' })
  assert.equal(again.status, 200, again.text)
  assert.match(again.text, /"k":3.*"source":"index".*"tune_queries":20,"held_out_queries":20/)
})

it('two sets of one index that wait are both made; two wishes for one set make the last', async (t) => {
  const { send, journals } = await withPoints(t)
  const gate = Promise.withResolvers<undefined>()
  journals.truth.gate = gate.promise
  const wish = (name: string, queries: number): ReturnType<TestApp['send']> =>
    send('POST', `/vectors/hnsw/evals/${name}/autogen?wait=true`, { index: 'docs', queries })
  const first = wish('a', 10)
  const others = [wish('b', 20), wish('c', 30), wish('c', 40)]
  for (let i = 0; i < 20; i += 1) await new Promise((resolve) => setImmediate(resolve))
  gate.resolve(undefined)
  const halves = (await Promise.all([first, ...others])).map(({ text }) =>
    /"name":"(.)".*"tune_queries":(\d+)/.exec(text)?.slice(1).join(' '),
  )
  assert.deepEqual(halves, ['a 5', 'b 10', 'c 20', 'c 20'])
})

it('live queries are preferred from 400 on, and an error where there are none', async (t) => {
  const { send, journals } = await withPoints(t)
  const body = { index: 'docs', k: 1, queries: 400 }
  const none = await send('POST', `${EVAL}/autogen?wait=true`, { ...body, source: 'live' })
  assert.deepEqual([none.status, none.code], [409, 'not_configured'])
  journals.live.enable('docs', { dimension: 2, seed: 1 })
  for (let i = 0; i < 450; i += 1) journals.live.offer('docs', Float32Array.of(i / 10, 1))
  const made = await send('POST', `${EVAL}/autogen?wait=true`, body)
  assert.match(made.text, /"source":"live","state":"ready","stale":false,"weak":false/)
})

it('400, 404: bad queries, sizes and names are refused and change nothing', async (t) => {
  const { send } = await withPoints(t)
  const good = { index: 'docs', k: 2, queries: [[1, 0], [2, 0]] } // prettier-ignore
  const cases: [object, string][] = [
    [{ ...good, queries: [[1, 0], [1]] }, 'vector_dimension_mismatch'],
    [
      {
        ...good,
        queries: [
          [1, 0],
          [1, null],
        ],
      },
      'invalid_vector',
    ],
    [{ ...good, queries: [[1, 0], 'AAAA'] }, 'invalid_vector'],
    [{ ...good, queries: [[1, 0]] }, 'bad_request'],
    [{ ...good, queries: [[1, 0], [1, 0]] }, 'bad_request'], // prettier-ignore
    [{ ...good, k: 0 }, 'bad_request'],
    [{ ...good, k: 1001 }, 'limit_exceeded'],
    [{ ...good, kk: 1 }, 'bad_request'],
    [{ ...good, index: 'nope' }, 'index_not_found'],
  ]
  for (const [body, code] of cases) {
    assert.equal((await send('PUT', `${EVAL}?wait=true`, body)).code, code, JSON.stringify(body))
  }
  assert.equal((await send('GET', EVAL)).code, 'eval_not_found')
  assert.equal((await send('DELETE', EVAL)).code, 'eval_not_found')
  const nameless = await send('POST', `${EVAL}/autogen`, { queries: 10 })
  assert.equal(nameless.code, 'eval_not_found')
  const large = await send('POST', `${EVAL}/autogen`, { index: 'docs', k: 1000, queries: 9000 })
  assert.equal(large.code, 'limit_exceeded')
})

it('a truth that fails leaves the old set, and the operation says why', async (t) => {
  const { send, journals } = await withPoints(t)
  const body = { index: 'docs', k: 2, queries: [[1, 0], [2, 0]] } // prettier-ignore
  const old = await send('PUT', `${EVAL}?wait=true`, body)
  journals.truth.failure = new Error('the builder is gone')
  assert.equal((await send('PUT', `${EVAL}?wait=true`, body)).status, 500)
  assert.deepEqual((await send('GET', EVAL)).body, old.body)
})

it('a set whose index has grown is stale, and so is one whose index is gone', async (t) => {
  const { send } = await withPoints(t)
  await send('POST', `${EVAL}/autogen?wait=true`, { index: 'docs', queries: 10 })
  const points = Array.from({ length: 20 }, (_, i) => ({ id: `q-${i}`, vector: [i, 5] }))
  await send('POST', '/vectors/indexes/docs/points', { points })
  assert.match((await send('GET', EVAL)).text, /"stale":true/)
  await send('POST', `${EVAL}/autogen?wait=true`, { queries: 10 })
  assert.match((await send('GET', EVAL)).text, /"stale":false/)
  await send('DELETE', '/vectors/indexes/docs')
  assert.match((await send('GET', EVAL)).text, /"stale":true/)
  assert.equal((await send('DELETE', EVAL)).status, 204)
})

it('403, 404: a key sees the sets and trials of its indexes alone', async (t) => {
  const keys = parseApiKeys([
    keyLine('all', 'admin', 'boss'),
    keyLine('mine', 'write', 'mine', 'docs'),
    keyLine('other', 'write', 'other', 'web'),
    keyLine('reader', 'read', 'reader'),
  ])
  const { send } = await withPoints(t, { keys }, 'boss')
  const body = { index: 'docs', queries: 10 }
  const url = `${EVAL}/autogen?wait=true`
  assert.equal((await send('POST', url, body, bearer('reader'))).status, 403)
  assert.equal((await send('POST', url, body, bearer('other'))).status, 403)
  assert.equal((await send('POST', url, body, bearer('mine'))).status, 200)
  assert.equal((await send('GET', EVAL, undefined, bearer('mine'))).status, 200)
  assert.equal((await send('GET', EVAL, undefined, bearer('other'))).code, 'eval_not_found')
  assert.equal((await send('DELETE', EVAL, undefined, bearer('other'))).code, 'eval_not_found')
  const list = await send('GET', '/vectors/hnsw/evals', undefined, bearer('other'))
  assert.deepEqual(list.body, { evals: [], next_cursor: null, errors: [] })
  const trials = '/vectors/hnsw/trials/docs'
  assert.equal((await send('GET', trials, undefined, bearer('other'))).status, 403)
  assert.equal((await send('GET', trials, undefined, bearer('mine'))).status, 200)
})

it('200, 404: the journal in pages, one trial, the best', async (t) => {
  const { send, journals } = await withPoints(t)
  const trials = '/vectors/hnsw/trials/docs'
  assert.equal((await send('GET', `${trials}/best`)).code, 'trial_not_found')
  for (const trialId of ['t-1', 't-2', 't-3']) {
    const begun = await journals.trials.begin(newTrial({ trialId }))
    if (trialId !== 't-3') await journals.trials.finish(completed(begun))
  }
  const first = await send('GET', `${trials}?limit=2`)
  assert.match(first.text, /"trial_id":"t-3".*"trial_id":"t-2".*"next_cursor":"2"/)
  const second = await send('GET', `${trials}?limit=2&cursor=2`)
  assert.match(second.text, /"trial_id":"t-1".*"next_cursor":null/)
  assert.equal((await send('GET', `${trials}?cursor=x`)).code, 'invalid_cursor')
  assert.doesNotMatch((await send('GET', `${trials}?pareto=true`)).text, /t-3/)
  const one = await send('GET', `${trials}/t-1`)
  assert.match(one.text, /"state":"completed"/)
  assert.equal((await send('GET', `${trials}/t-9`)).code, 'trial_not_found')
  const best = await send('GET', `${trials}/best?min_recall=0.9`)
  assert.match(best.text, /"trial_id":"t-1".*"boundary":\{"goal":0.9,"ef":40/)
  assert.equal((await send('GET', `${trials}/best?min_recall=0.99`)).code, 'trial_not_found')
  assert.equal((await send('GET', `${trials}/best?min_recall=2`)).status, 400)
  assert.equal((await send('GET', '/vectors/hnsw/trials/nope')).code, 'index_not_found')
})

it('200: decisions, newest first, in pages', async (t) => {
  const { send, journals } = await withPoints(t)
  for (const reason of ['one', 'two']) {
    journals.decisions.append({
      ...{ atMs: 0, index: 'docs', kind: 'promotion', trialId: null, verdict: 'reject' },
      ...{ reason, evidence: { lcb: 0.9 }, by: 'agent', dryRun: true },
    })
  }
  const url = '/vectors/agent/decisions/docs?limit=1'
  const first = await send('GET', url)
  assert.match(first.text, /"reason":"two","evidence":\{"lcb":0.9\},"by":"agent","dry_run":true/)
  const { next_cursor: cursor } = first.body as { next_cursor: string }
  const second = await send('GET', `${url}&cursor=${cursor}`)
  assert.match(second.text, /"reason":"one".*"next_cursor":null/)
  assert.equal((await send('GET', `${url}&cursor=x`)).code, 'invalid_cursor')
})

async function withPoints(
  t: Parameters<typeof openApp>[0],
  options: Parameters<typeof openApp>[1] = {},
  secret?: string,
): Promise<TestApp> {
  const app = await openApp(t, options)
  const headers = secret === undefined ? {} : bearer(secret)
  const body = { name: 'docs', dimension: 2, metric: 'l2' }
  assert.equal((await app.send('POST', '/vectors/indexes', body, headers)).status, 201)
  const points = Array.from({ length: 100 }, (_, i) => ({ id: `p-${i}`, vector: [i, 0] }))
  const written = await app.send('POST', '/vectors/indexes/docs/points', { points }, headers)
  assert.equal(written.status, 200, written.text)
  return app
}
