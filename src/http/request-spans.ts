/**
 * A span for each request, from its head to the end of its answer, in which its handler runs.
 *
 * Health checks are left out: orchestrators ask every few seconds, and say nothing that one looks for.
 * So are paths that no route has: anybody can make up any number of them.
 */

import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { ErrorCode } from '../lib/errors.ts'
import type { Attributes, RequestSpan, Tracer } from '../tracing/tracer.ts'

export interface RequestSpans {
  failed(request: FastifyRequest, code: ErrorCode): void
}

export function installRequestSpans(
  app: FastifyInstance,
  tracer: Pick<Tracer, 'openRequest'>,
): RequestSpans {
  const spans = new WeakMap<FastifyRequest, RequestSpan>()
  app.addHook('onRequest', (request, reply, done) => {
    const { config, url: route } = request.routeOptions
    if (!request.is404 && route !== undefined && config.role !== 'public') {
      const { method, headers } = request
      const span = tracer.openRequest({ method, route, headers, attributes: attributesOf(request) })
      spans.set(request, span)
      // After an answer that was sent it changes nothing.
      reply.raw.once('close', () => {
        span.end(null)
      })
    }
    done()
  })
  // Reading a body leaves whatever the hooks before it were run in: so the span is entered here.
  app.addHook('preValidation', (request, _reply, done) => {
    const span = spans.get(request)
    if (span === undefined) done()
    else span.enter(done)
  })
  app.addHook('onResponse', (request, reply, done) => {
    spans.get(request)?.end(reply.statusCode)
    done()
  })
  return {
    failed: (request, code) => {
      spans.get(request)?.failed(code)
    },
  }
}

function attributesOf(request: FastifyRequest): Attributes {
  const { params } = request
  const id = { 'vectord.request_id': request.id }
  const isOfIndex = typeof params === 'object' && params !== null && 'index' in params
  return isOfIndex ? { ...id, 'vectord.index': String(params.index) } : id
}
