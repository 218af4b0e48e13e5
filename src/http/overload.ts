/**
 * Two ways to say "not now": a bound on the requests of one caller, and shedding of load when the
 * event loop is so late that every answer would be.
 *
 * Public routes are spared by both: a health check that fails under load gets the service killed.
 */

import rateLimit from '@fastify/rate-limit'
import underPressure from '@fastify/under-pressure'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { VectordError } from '../lib/errors.ts'

export interface RateLimit {
  readonly requestsMax: number
  readonly windowMs: number
}

export interface OverloadOptions {
  /** Per key, or per address where no key is configured; null for none. */
  readonly rateLimit: RateLimit | null
  /** Delay of the event loop above which requests are shed; null never sheds. */
  readonly eventLoopDelayMaxMs: number | null
}

/** How often the delay is looked at, and so how soon a retry may find it gone. */
const SAMPLE_MS = 1000

export async function installOverload(
  app: FastifyInstance,
  options: OverloadOptions,
): Promise<void> {
  if (options.eventLoopDelayMaxMs !== null) {
    await app.register(underPressure, {
      maxEventLoopDelay: options.eventLoopDelayMaxMs,
      sampleInterval: SAMPLE_MS,
      pressureHandler: (request) => {
        if (isPublic(request)) return
        throw new VectordError('overloaded', 'The service is overloaded; try again shortly.', {
          retryAfterS: SAMPLE_MS / 1000,
        })
      },
    })
  }
  if (options.rateLimit === null) return
  const { requestsMax, windowMs } = options.rateLimit
  await app.register(rateLimit, {
    max: requestsMax,
    timeWindow: windowMs,
    allowList: isPublic,
    keyGenerator: (request) =>
      request.caller.name === 'local' ? `ip ${request.ip}` : `key ${request.caller.name}`,
    errorResponseBuilder: (_request, { max, ttl }) =>
      new VectordError('rate_limited', `More than ${max} requests in ${windowMs} ms.`, {
        details: { requests_max: max, window_ms: windowMs },
        retryAfterS: ttl / 1000,
      }),
  })
}

function isPublic(request: FastifyRequest): boolean {
  return request.routeOptions.config.role === 'public'
}
