/**
 * A Fastify instance with everything but the routes: ids, auth, bodies, validation, error replies,
 * metrics, documentation, bounds. `app.ts` mounts the routes on it.
 *
 * Requests are never logged one by one above debug: at thousands a second the log would cost as
 * much as the answers. Loggers are not cloned for each request for the same reason; log lines of a
 * request name its id themselves.
 */

import Fastify, { LogController, type FastifyBaseLogger, type FastifyInstance } from 'fastify'
import { VectordError } from '../lib/errors.ts'
import type { Tracer } from '../tracing/tracer.ts'
import { installAuth, type ApiKey } from './auth.ts'
import { installBodyTimeout } from './body-timeout.ts'
import { installBodyParsers } from './body-parsers.ts'
import { answerClientError, answerFrameworkError, installErrorReply } from './error-reply.ts'
import { installIdempotency } from './idempotency.ts'
import type { HttpLimits } from './limits.ts'
import { installRequestMetrics, type Metrics } from './metrics.ts'
import { installOpenApi } from './openapi.ts'
import { installOverload, type OverloadOptions } from './overload.ts'
import { requestIds } from './request-id.ts'
import { installRequestSpans } from './request-spans.ts'
import { installValidators } from './validators.ts'

export interface HttpOptions extends OverloadOptions {
  readonly version: string
  /** Null logs nothing. */
  readonly log: FastifyBaseLogger | null
  /** Empty: no key is asked for (`checkListen` has made sure of loopback). */
  readonly keys: readonly ApiKey[]
  readonly limits: HttpLimits
  readonly metrics: Metrics
  /** Left out: requests are not traced. */
  readonly tracer?: Pick<Tracer, 'openRequest'>
}

export async function buildHttp(options: HttpOptions): Promise<FastifyInstance> {
  const { log, keys, limits, metrics, tracer } = options
  const app = Fastify({
    ...(log === null ? { logger: false } : { loggerInstance: log }),
    logController: new LogController({ disableRequestLogging: true }),
    childLoggerFactory: (logger) => logger,
    genReqId: requestIds(),
    requestIdHeader: false,
    bodyLimit: limits.bodyBytesMax,
    // One bound for all would break off large files: see `body-timeout.ts`. Heads have that of Node.
    requestTimeout: 0,
    return503OnClosing: false,
    // An id takes up to three characters a byte in a path.
    routerOptions: { maxParamLength: 3 * Math.max(512, limits.idBytesMax) },
    frameworkErrors: answerFrameworkError,
    clientErrorHandler: answerClientError,
  })
  const spans = tracer === undefined ? null : installRequestSpans(app, tracer)
  installErrorReply(app, (code, request) => {
    metrics.failed(code)
    spans?.failed(request, code)
  })
  installRequestMetrics(app, metrics)
  installHeaders(app)
  installShutdown(app)
  installBodyTimeout(app)
  installAuth(app, keys)
  installValidators(app)
  installBodyParsers(app)
  installIdempotency(app)
  await installOverload(app, options)
  await installOpenApi(app, options.version)
  return app
}

function installHeaders(app: FastifyInstance): void {
  app.addHook('onRequest', (request, reply, done) => {
    reply.header('x-request-id', request.id)
    reply.header('x-content-type-options', 'nosniff')
    done()
  })
}

/** Once `close` was called, connections that stay open get an honest answer and are let go. */
function installShutdown(app: FastifyInstance): void {
  let isClosing = false
  app.addHook('preClose', (done) => {
    isClosing = true
    done()
  })
  app.addHook('onRequest', (_request, reply, done) => {
    if (!isClosing) {
      done()
      return
    }
    reply.header('connection', 'close')
    throw new VectordError('shutting_down', 'The service is shutting down.', { retryAfterS: 1 })
  })
}
