/** Spans as a collector gets them, and what a collector that fails costs. */

import assert from 'node:assert/strict'
import { createServer } from 'node:net'
import { it, type TestContext } from 'node:test'
import { VectordError } from '../../src/lib/errors.ts'
import { OtlpTracer, type CollectorChange } from '../../src/tracing/otlp-tracer.ts'
import type { RequestSpan } from '../../src/tracing/tracer.ts'
import {
  spanNamed,
  startCollector,
  type Collector,
  type ReceivedSpan,
} from '../support/otlp-receiver.ts'

const TRACE = '0af7651916cd43dd8448eb211c80319c'
const CALLER = 'b7ad6b7169203331'

interface World {
  readonly collector: Collector
  readonly tracer: OtlpTracer
  readonly changes: readonly CollectorChange[]
  open(headers?: Readonly<Record<string, string>>): RequestSpan
}

async function world(t: TestContext, sampleRatio = 1): Promise<World> {
  const collector = await startCollector()
  const changes: CollectorChange[] = []
  const tracer = new OtlpTracer({
    ...{ url: `${collector.url}/v1/traces`, sampleRatio, serviceName: 'test', version: '1.2.3' },
    onChange: (change) => changes.push(change),
  })
  t.after(async () => {
    await tracer.close()
    await collector.close()
  })
  const open = (headers = {}): RequestSpan =>
    tracer.openRequest({
      ...{ method: 'POST', route: '/things/:thing', headers },
      attributes: { 'vectord.request_id': 'r-1' },
    })
  return { collector, tracer, changes, open }
}

/** Runs `work` as the handler of a request. */
function inside<T>(request: RequestSpan, work: () => Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.enter(() => void work().then(resolve, reject))
  })
}

it('a request and what it does arrive as one tree, with names, times and codes', async (t) => {
  const { collector, tracer, open } = await world(t)
  const request = open()
  await inside(request, async () => {
    await tracer.within({ name: 'outer', attributes: { 'vectord.bytes': 7 } }, async (span) => {
      span?.event('started')
      await tracer.within({ name: 'inner', kind: 'client' }, async () => 1)
    })
    const failing = tracer.within({ name: 'failing' }, async () => {
      throw new VectordError('delta_full', 'secret words')
    })
    await assert.rejects(failing, /secret words/)
  })
  request.failed('delta_full')
  request.end(429)
  request.end(200)
  await tracer.close()

  const root = spanNamed(collector.spans, 'POST /things/:thing')
  const outer = spanNamed(collector.spans, 'outer')
  const inner = spanNamed(collector.spans, 'inner')
  const failing = spanNamed(collector.spans, 'failing')
  assert.equal(collector.spans.length, 4)
  assert.deepEqual([root.kind, outer.kind, inner.kind], [2, 1, 3])
  assert.equal(root.parentSpanId, '')
  assert.deepEqual([outer.parentSpanId, inner.parentSpanId], [root.spanId, outer.spanId])
  assert.ok(collector.spans.every(({ traceId }) => traceId === root.traceId))
  assert.deepEqual(root.attributes, {
    'http.request.method': 'POST',
    'http.route': '/things/:thing',
    'http.response.status_code': 429,
    'vectord.request_id': 'r-1',
    'error.type': 'delta_full',
  })
  assert.equal(root.status, 0, 'what a client is to wait for is no error of the server')
  assert.deepEqual(outer.attributes, { 'vectord.bytes': 7 })
  assert.deepEqual(
    outer.events.map(({ name }) => name),
    ['started'],
  )
  assert.ok(begins(root, outer) && begins(outer, inner), 'what is inside begins later')
  assert.ok(ends(inner, outer) && ends(outer, root), 'and ends earlier')
  assert.deepEqual([failing.attributes['error.type'], failing.status], ['delta_full', 2])
  assert.deepEqual(root.resource, { 'service.name': 'test', 'service.version': '1.2.3' })
  assert.ok(!collector.bytes.includes('secret words'))
  assert.deepEqual(
    collector.requests.map(({ path, headers }) => [path, headers['content-type']]),
    [['/v1/traces', 'application/x-protobuf']],
  )
  assert.deepEqual(tracer.counts, { exported: 4, failed: 0, dropped: 0 })
})

it('the trace of the caller goes on, and on to other servers', async (t) => {
  const { collector, tracer, open } = await world(t, 0)
  const request = open({ traceparent: `00-${TRACE}-${CALLER}-01`, tracestate: 'vendor=1' })
  const sent = await inside(request, () =>
    tracer.within({ name: 'call' }, async () => tracer.headers()),
  )
  request.end(200)
  await tracer.close()
  const call = spanNamed(collector.spans, 'call')
  assert.equal(spanNamed(collector.spans, 'POST /things/:thing').parentSpanId, CALLER)
  assert.equal(call.traceId, TRACE)
  assert.deepEqual(sent, {
    traceparent: `00-${TRACE}-${call.spanId}-01`,
    tracestate: 'vendor=1',
  })
})

it('what the caller does not want is not recorded, and still passed on', async (t) => {
  const { collector, tracer, open } = await world(t, 1)
  const request = open({ traceparent: `00-${TRACE}-${CALLER}-00` })
  const sent = await inside(request, () =>
    tracer.within({ name: 'call' }, async (span) => {
      assert.equal(span, null)
      return tracer.headers()
    }),
  )
  request.end(200)
  await tracer.close()
  assert.match(sent['traceparent'] ?? '', new RegExp(`^00-${TRACE}-[0-9a-f]{16}-00$`))
  assert.deepEqual(collector.requests, [])
})

it('a traceparent that is none starts a trace of our own', async (t) => {
  const { collector, tracer, open } = await world(t)
  for (const traceparent of ['', 'x', `00-${'0'.repeat(32)}-${CALLER}-01`, `ff-${TRACE}-1-01`]) {
    open({ traceparent }).end(200)
  }
  await tracer.close()
  assert.equal(collector.spans.length, 4)
  assert.ok(
    collector.spans.every(({ traceId, parentSpanId }) => {
      return traceId !== TRACE && parentSpanId === ''
    }),
  )
})

it('the share of the requests that is traced is the one that was asked for', async (t) => {
  const { collector, tracer, open } = await world(t, 0.25)
  for (let i = 0; i < 2000; i += 1) open().end(200)
  await tracer.close()
  // Far beyond five standard deviations of 2,000 throws.
  assert.ok(Math.abs(collector.spans.length - 500) < 100, `${collector.spans.length}`)
})

it('work that goes on after its request has ended is told of nowhere', async (t) => {
  const { collector, tracer, open } = await world(t)
  const request = open()
  const ended = Promise.withResolvers<null>()
  const later = inside(request, async () => {
    await ended.promise
    return tracer.within({ name: 'late' }, async (span) => [span, tracer.headers()])
  })
  request.end(null)
  ended.resolve(null)
  assert.deepEqual(await later, [null, {}])
  assert.equal(await tracer.within({ name: 'alone' }, async (span) => span), null)
  await tracer.close()
  const root = spanNamed(collector.spans, 'POST /things/:thing')
  assert.deepEqual([root.attributes['error.type'], root.status], ['client_gone', 2])
  assert.equal(collector.spans.length, 1)
})

it('a collector that refuses is told of once, and again when it takes spans', async (t) => {
  const { collector, tracer, changes, open } = await world(t)
  collector.mood.status = 400
  for (let i = 0; i < 3; i += 1) {
    open().end(200)
    const seen = collector.requests.length
    await collector.spansWhen(() => collector.requests.length > seen)
  }
  collector.mood.status = 200
  open().end(200)
  await collector.spansWhen((spans) => spans.length === 1)
  await tracer.close()
  assert.deepEqual(changes, [{ kind: 'lost', reason: '400' }, { kind: 'back' }])
  assert.deepEqual(tracer.counts, { exported: 1, failed: 3, dropped: 0 })
})

it('a collector that never answers costs a bounded number of spans, and no end', async (t) => {
  const { collector, tracer, open } = await world(t)
  collector.mood.isSilent = true
  const SPANS = 10_000
  for (let i = 0; i < SPANS; i += 1) open().end(200)
  const { dropped } = tracer.counts
  assert.ok(dropped >= SPANS - 4096 - 256 && dropped < SPANS, `${dropped}`)
  await tracer.close()
  assert.equal(tracer.counts.failed, 0, 'it does not wait until the collector is given up')
})

it('where nobody listens requests go on, and closing does not wait', async (t) => {
  const port = await new Promise<number>((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' ? (address?.port ?? 0) : 0))
    })
  })
  const tracer = new OtlpTracer({
    ...{
      url: `http://127.0.0.1:${port}/v1/traces`,
      sampleRatio: 1,
      serviceName: 'a',
      version: '1',
    },
    onChange: () => undefined,
  })
  t.after(() => tracer.close())
  const request = tracer.openRequest({ method: 'GET', route: '/', headers: {}, attributes: {} })
  assert.equal(await inside(request, () => tracer.within({ name: 'work' }, async () => 42)), 42)
  request.end(200)
  await tracer.close()
  assert.equal(tracer.counts.exported, 0)
})

/** Each span takes the time of day at its start and adds what a finer clock has counted since. */
const CLOCK_NS = 5_000_000n

function begins(first: ReceivedSpan, then: ReceivedSpan): boolean {
  return first.startNs <= then.startNs + CLOCK_NS
}

function ends(first: ReceivedSpan, then: ReceivedSpan): boolean {
  return first.endNs <= then.endNs + CLOCK_NS
}
