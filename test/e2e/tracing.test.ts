/**
 * Traces of a real service: what a request did, nothing that must stay in it, and no harm where the
 * collector fails.
 */

import assert from 'node:assert/strict'
import { it, type TestContext } from 'node:test'
import { startCollector, spanNamed, type ReceivedSpan } from '../support/otlp-receiver.ts'
import { startOpenAi } from '../support/openai-server.ts'
import { startService, temporaryFolder, type Service } from '../support/service.ts'

const INDEX = '/vectors/indexes/papers'
const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736'
const CALLER = '00f067aa0ba902b7'
const KEY = 'sk-0123456789'
const TEXT = 'what nobody else may read'

async function traced(
  t: TestContext,
  env: Readonly<Record<string, string>>,
): Promise<{ readonly service: Service; readonly stop: () => Promise<void> }> {
  const service = await startService(await temporaryFolder(t), { env })
  t.after(() => service.kill())
  await service.ready()
  return { service, stop: async () => assert.equal(await service.stop(), 0) }
}

function below(spans: readonly ReceivedSpan[], parent: ReceivedSpan): readonly string[] {
  return spans.filter(({ parentSpanId }) => parentSpanId === parent.spanId).map(({ name }) => name)
}

it('a trace divides a write and a search by text, and goes on at the model server', async (t) => {
  const collector = await startCollector()
  const openai = await startOpenAi({ key: KEY })
  t.after(() => Promise.all([collector.close(), openai.close()]))
  const { service, stop } = await traced(t, {
    VECTORD_TRACING_ENDPOINT: collector.url,
    VECTORD_TRACING_SAMPLE_RATIO: '0',
    VECTORD_TRACING_SERVICE_NAME: 'library',
    OTEL_EXPORTER_OTLP_HEADERS: 'authorization=Bearer%20collector-key',
    VECTORD_EMBEDDERS_OPENAI_URL: openai.url,
    VECTORD_EMBEDDERS_OPENAI_MODEL: 'm',
    OPENAI_API_KEY: KEY,
  })
  const traceparent = `00-${TRACE}-${CALLER}-01`
  const ask = async (method: string, path: string, body?: unknown): Promise<number> => {
    const reply = await service.request(method, path, body, {
      ...{ traceparent, 'x-request-id': `id-${method}` },
    })
    return reply.status
  }
  const index = { name: 'papers', embedder: 'openai' }
  assert.equal((await service.request('POST', '/vectors/indexes', index)).status, 201)
  const points = [{ id: 'secret-point', vector: Array<number>(48).fill(0.5), text: TEXT }]
  assert.equal(await ask('POST', `${INDEX}/points`, { points }), 200)
  assert.equal(await ask('POST', `${INDEX}/search`, { text: TEXT, k: 1, mode: 'vector' }), 200)
  assert.equal(await ask('GET', `${INDEX}/points/secret-point`), 200)
  assert.equal(await ask('POST', `${INDEX}/search`, { vector: [1] }), 400)
  assert.equal(await ask('GET', '/storage/buckets/primary/objects/secret-point'), 404)
  assert.equal(await ask('GET', '/livez'), 200)
  assert.equal(await ask('GET', '/nowhere/secret-point'), 404)
  await stop()

  const { spans } = collector
  assert.ok(
    spans.every(({ traceId }) => traceId === TRACE),
    'what nobody asked for is not traced',
  )
  const roots = spans.filter(({ parentSpanId }) => parentSpanId === CALLER)
  assert.deepEqual(roots.map(({ name }) => name).sort(), [
    'GET /storage/buckets/:name/objects/*',
    'GET /vectors/indexes/:index/points/:id',
    'POST /vectors/indexes/:index/points',
    'POST /vectors/indexes/:index/search',
    'POST /vectors/indexes/:index/search',
  ])
  const write = spanNamed(roots, 'POST /vectors/indexes/:index/points')
  assert.deepEqual(below(spans, write).toSorted(), ['core apply', 'log append', 'parse body'])
  assert.deepEqual(write.attributes, {
    'http.request.method': 'POST',
    'http.route': '/vectors/indexes/:index/points',
    'http.response.status_code': 200,
    'vectord.request_id': 'id-POST',
    'vectord.index': 'papers',
  })
  const [search, refused] = roots
    .filter(({ name }) => name.endsWith('/search'))
    .sort((a, b) => (a.startNs < b.startNs ? -1 : 1))
  assert.ok(search !== undefined && refused !== undefined)
  assert.deepEqual(below(spans, search).toSorted(), ['core search', 'model server'])
  const inCore = spanNamed(
    spans.filter(({ parentSpanId }) => parentSpanId === search.spanId),
    'core search',
  )
  const [started] = inCore.events
  assert.equal(started?.name, 'started')
  assert.ok(inCore.startNs <= started.atNs && started.atNs <= inCore.endNs)
  assert.equal(refused.attributes['error.type'], 'vector_dimension_mismatch')
  assert.deepEqual(spanNamed(spans, 'core fetch').resource['service.name'], 'library')

  const read = spanNamed(spans, 'bucket get')
  assert.equal(read.parentSpanId, spanNamed(roots, 'GET /storage/buckets/:name/objects/*').spanId)
  assert.deepEqual([read.kind, read.attributes], [3, { 'error.type': 'object_not_found' }])

  const call = spanNamed(spans, 'model server')
  const asked = openai.calls.find(({ body }) => body.input.includes(TEXT))
  assert.equal(asked?.traceparent, `00-${TRACE}-${call.spanId}-01`)
  assert.deepEqual(call.attributes, {
    'server.address': '127.0.0.1',
    'url.path': '/v1/embeddings',
  })
  const others = openai.calls.filter((one) => one !== asked)
  assert.ok(others.length > 0)
  for (const { traceparent: passed } of others) {
    assert.match(String(passed), /-00$/, 'what is not sampled is passed on as such')
  }
  for (const secret of [TEXT, KEY, 'secret-point', 'collector-key', service.root]) {
    assert.ok(!collector.bytes.includes(secret), `${secret} is in a trace`)
  }
  assert.ok(
    collector.requests.every(({ headers }) => {
      return headers.authorization === 'Bearer collector-key'
    }),
  )
})

it('a collector that fails costs no request and two lines of the log', async (t) => {
  const collector = await startCollector()
  t.after(() => collector.close())
  collector.mood.status = 500
  const { service, stop } = await traced(t, {
    VECTORD_TRACING_ENDPOINT: `${collector.url}/v1/traces`,
    VECTORD_TRACING_SAMPLE_RATIO: '1',
  })
  await service.must('POST', '/vectors/indexes', { name: 'papers', dimension: 2 })
  const failed = /^vectord_trace_spans_total\{outcome="failed"\} [1-9]/m
  for (let i = 0; i < 3; i += 1) {
    const seen = collector.requests.length
    await service.must('POST', `${INDEX}/points`, { points: [{ id: 'a', vector: [1, i] }] })
    await service.must('POST', `${INDEX}/search`, { vector: [1, 0] })
    await collector.spansWhen(() => collector.requests.length > seen)
  }
  await service.eventually('/metrics', ({ text }) => failed.test(text))
  collector.mood.status = 200
  await service.must('POST', `${INDEX}/search`, { vector: [1, 0] })
  await collector.spansWhen((spans) => spans.length > 0)
  await stop()
  const told = service.log.filter((line) => line.includes('traces '))
  assert.equal(told.length, 2, told.join('\n'))
  assert.match(told[0] ?? '', /"reason":"500","msg":"traces do not arrive"/)
  assert.match(told[1] ?? '', /"msg":"traces arrive again"/)
})

it('without an endpoint nothing of it is loaded, and callers are not passed on', async (t) => {
  const openai = await startOpenAi()
  t.after(() => openai.close())
  const spy = `
    import { registerHooks } from 'node:module'
    registerHooks({ load(url, context, next) {
      if (/otlp-tracer|@opentelemetry.(core|sdk|exporter|otlp)/.test(url)) console.error('LOADED ' + url)
      return next(url, context)
    } })`
  const hooked = { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(spy)}` }
  const models = {
    VECTORD_EMBEDDERS_OPENAI_URL: openai.url,
    VECTORD_EMBEDDERS_OPENAI_MODEL: 'm',
  }
  const { service, stop } = await traced(t, { ...hooked, ...models })
  await service.must('POST', '/vectors/indexes', { name: 'papers', embedder: 'openai' })
  const headers = { traceparent: `00-${TRACE}-${CALLER}-01` }
  await service.request('POST', `${INDEX}/search`, { text: TEXT, mode: 'vector' }, headers)
  await stop()
  assert.ok(openai.calls.length > 0)
  assert.ok(openai.calls.every(({ traceparent }) => traceparent === undefined))
  assert.deepEqual(
    service.log.filter((line) => line.startsWith('LOADED')),
    [],
  )

  const on = await traced(t, { ...hooked, VECTORD_TRACING_ENDPOINT: 'http://127.0.0.1:9' })
  await on.stop()
  assert.ok(
    on.service.log.some((line) => line.startsWith('LOADED')),
    'the spy would have seen it',
  )
})
