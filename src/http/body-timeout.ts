/**
 * Ends requests whose body takes too long to arrive: slowloris, or a client that is lost.
 *
 * Node has one bound for all requests. Routes that take large files (`longBody`) mind it themselves
 * while they read. Of a body that they refuse the rest is waited for only a moment, for the client
 * to read why.
 */

import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { answerClientError } from './error-reply.ts'

export interface BodyTimeouts {
  readonly bodyMsMax: number
  /** From the answer to a long body on. */
  readonly refusedMsMax: number
}

const TIMEOUTS: BodyTimeouts = { bodyMsMax: 300_000, refusedMsMax: 5000 }

/** @param timeouts only for tests. */
export function installBodyTimeout(app: FastifyInstance, timeouts = TIMEOUTS): void {
  app.addHook('onRequest', (request, reply, done) => {
    const { headers } = request
    const hasBody =
      headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0
    if (hasBody) {
      if (request.routeOptions.config.longBody === true) boundRefused(request, reply, timeouts)
      else boundBody(request, timeouts)
    }
    done()
  })
}

function boundBody({ raw }: FastifyRequest, { bodyMsMax }: BodyTimeouts): void {
  const timer = setTimeout(() => {
    if (!raw.complete) answerClientError(new Error('The body is late.'), raw.socket)
  }, bodyMsMax)
  timer.unref()
  // It closes when the request is over, with the body or without.
  raw.once('close', () => {
    clearTimeout(timer)
  })
}

function boundRefused({ raw }: FastifyRequest, reply: FastifyReply, timeouts: BodyTimeouts): void {
  reply.raw.once('finish', () => {
    if (raw.complete) return
    const { socket } = raw
    const timer = setTimeout(() => {
      socket.destroy()
    }, timeouts.refusedMsMax)
    timer.unref()
    // Where the route has read a part of it, nobody reads on.
    raw.resume()
    const clear = (): void => {
      clearTimeout(timer)
    }
    raw.once('end', clear)
    socket.once('close', clear)
  })
}
