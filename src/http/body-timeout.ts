/**
 * Ends requests whose body takes too long to arrive: slowloris, or a client that is lost.
 *
 * Node has one bound for all requests. Routes that take large files (`longBody`) mind it themselves.
 */

import type { FastifyInstance } from 'fastify'
import { answerClientError } from './error-reply.ts'

const BODY_MS_MAX = 300_000

/** @param bodyMsMax only for tests. */
export function installBodyTimeout(app: FastifyInstance, bodyMsMax = BODY_MS_MAX): void {
  app.addHook('onRequest', (request, _reply, done) => {
    const { headers, raw } = request
    const hasBody =
      headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0
    if (hasBody && request.routeOptions.config.longBody !== true) {
      const timer = setTimeout(() => {
        if (!raw.complete) answerClientError(new Error('The body is late.'), raw.socket)
      }, bodyMsMax)
      timer.unref()
      // It closes when the request is over, with the body or without.
      raw.once('close', () => {
        clearTimeout(timer)
      })
    }
    done()
  })
}
