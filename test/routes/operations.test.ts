/** The HTTP contract of health, readiness, metrics, cores, and of the documentation. */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { parseApiKeys } from '../../src/http/auth.ts'
import { bearer, keyLine, openApp } from '../support/http-app.ts'

it('200: alive, ready and well; 503 with progress until every index serves', async (t) => {
  const { send, indexes, operations } = await openApp(t)
  assert.equal((await send('GET', '/livez')).status, 200)
  operations.started = false
  assert.equal((await send('GET', '/readyz')).status, 503)
  operations.started = true
  assert.equal((await send('GET', '/readyz')).status, 200)
  for (const name of ['a', 'b']) await send('POST', '/vectors/indexes', { name, dimension: 3 })
  indexes.get('a').state = 'loading'
  const loading = await send('GET', '/readyz')
  assert.deepEqual([loading.status, loading.headers['retry-after']], [503, '1'])
  assert.match(loading.text, /"ready":false,"reason":"1 of 2 indexes/)
  assert.match(loading.text, /"progress":0.75/)
  assert.match(loading.text, /"instruction_set":"none"/)
  assert.match((await send('GET', '/healthz')).text, /"status":"starting"/)
  indexes.get('a').state = 'degraded'
  assert.equal((await send('GET', '/readyz')).status, 200, 'a degraded core does not unready')
  assert.match((await send('GET', '/healthz')).text, /"status":"degraded"/)
})

it('health routes need no key and name no index; the rest needs one', async (t) => {
  const keys = parseApiKeys([keyLine('r', 'read', 'secret')])
  const { send, indexes } = await openApp(t, { keys })
  const rest = { shards: 1, keepLastVersions: 1, createdBy: 'test' }
  const hnsw = { m: 16, efConstruction: 200, efSearch: null, seed: 42 }
  const metric = 'cosine' as const
  await indexes.create({ name: 'private', dimension: 3, metric, bucket: 'primary', hnsw, ...rest })
  for (const url of ['/livez', '/readyz', '/healthz', '/openapi.json', '/docs/']) {
    const reply = await send('GET', url)
    assert.equal(reply.status, 200, url)
    assert.doesNotMatch(reply.text, /private/)
  }
  for (const url of ['/metrics', '/cores', '/vectors/indexes', '/storage/buckets']) {
    const reply = await send('GET', url)
    assert.deepEqual([reply.status, reply.headers['www-authenticate']], [401, 'Bearer'], url)
    assert.equal((await send('GET', url, undefined, bearer('secret'))).status, 200, url)
  }
})

it('200: metrics count requests by route and status, searches, rows and errors', async (t) => {
  const { send } = await openApp(t)
  await send('POST', '/vectors/indexes', { name: 'a', dimension: 2 })
  await send('POST', '/vectors/indexes/a/points', { points: [{ id: 'x', vector: [1, 0] }] })
  await send('POST', '/vectors/indexes/a/search', { vector: [1, 0] })
  await send('POST', '/vectors/indexes/a/search', { vector: [1] })
  await send('GET', '/nope/secret-path')
  const { text } = await send('GET', '/metrics')
  const route = 'route="/vectors/indexes/:index/search"'
  const name = 'vectord_http_request_duration_seconds_count'
  assert.ok(text.includes(`${name}{method="POST",${route},status="200"} 1`), text)
  assert.ok(text.includes(`${name}{method="POST",${route},status="400"} 1`))
  assert.ok(text.includes(`${name}{method="any",route="unknown",status="404"} 1`))
  assert.ok(text.includes('vectord_search_duration_seconds_count{path="exact"} 1'))
  assert.ok(text.includes('vectord_written_rows_total{kind="upsert"} 1'))
  assert.ok(text.includes('vectord_errors_total{code="vector_dimension_mismatch"} 1'))
  assert.ok(text.includes('process_resident_memory_bytes'))
  assert.doesNotMatch(text, /secret-path/)
})

it('200: cores are reported as they are', async (t) => {
  const { send } = await openApp(t)
  const reply = await send('GET', '/cores')
  assert.deepEqual(reply.body, { cores: [{ core: 0, state: 'serving', queue: 0 }] })
})

it('every route is in /openapi.json, with its replies', async (t) => {
  const { send, routes } = await openApp(t)
  const { body } = await send('GET', '/openapi.json')
  const { paths } = body as { paths: Record<string, Record<string, { responses: object }>> }
  const documented = Object.entries(paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
  )
  assert.ok(documented.length > 25)
  assert.deepEqual(documented.sort(), [...routes].sort())
  for (const [path, methods] of Object.entries(paths)) {
    for (const [method, { responses }] of Object.entries(methods)) {
      const isHealth = path === '/readyz'
      const expected = isHealth ? ['200', '503'] : ['4XX', '5XX']
      for (const status of expected) assert.ok(status in responses, `${method} ${path} ${status}`)
    }
  }
})

it('the pages of /docs load nothing from elsewhere', async (t) => {
  const { app, send } = await openApp(t)
  const page = await send('GET', '/docs/')
  const policy = String(page.headers['content-security-policy'])
  assert.match(policy, /default-src 'none'/)
  assert.match(policy, /script-src 'self'(;|$)/)
  assert.doesNotMatch(policy, /http|unsafe|\*/)
  assert.doesNotMatch(page.text, /<script>|https?:\/\/|style="/)
  for (const [, path] of page.text.matchAll(/(?:src|href)="\.\/([^"]+)"/g)) {
    const reply = await app.inject(`/docs/${String(path)}`)
    assert.equal(reply.statusCode, 200, path)
  }
})
