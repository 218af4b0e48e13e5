/**
 * `Idempotency-Key`: a POST that is sent again after a lost answer gets the first answer again.
 *
 *     first   → runs; its answer is kept, unless it says "try again" (429, 5xx)
 *     again   → the kept answer, with `idempotent-replayed: true`; while the first runs, waits for it
 *     other body under the same key → 422 `idempotency_key_reused`
 *
 * Kept in memory, least recently used first out; keys of different callers never meet. A restart
 * forgets them: what must happen once is also guarded by names (409), this only saves the answer.
 */

import { hash } from 'node:crypto'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { VectordError } from '../lib/errors.ts'

/** Answers kept: most are less than a kilobyte; the promotions of an index some twenty. */
const ANSWERS_MAX = 1000

const KEY = /^[\x21-\x7e]{1,255}$/

interface Answer {
  readonly status: number
  readonly payload: string
  readonly headers: Readonly<Record<string, string>>
}

interface Entry {
  readonly name: string
  /** Fingerprint of the request that came first. */
  readonly request: string
  /** Null where the run ended without an answer worth keeping. */
  readonly answer: Promise<Answer | null>
  readonly settle: (answer: Answer | null) => void
}

const KEPT_HEADERS = ['content-type', 'etag', 'location', 'x-vectord-lsn'] as const

export function installIdempotency(app: FastifyInstance): void {
  const answers = new KeptAnswers()
  app.addHook('onRoute', (route) => {
    if (route.config?.idempotencyKey !== true) return
    route.preHandler = [
      ...[route.preHandler ?? []].flat(),
      (request: FastifyRequest, reply: FastifyReply): Promise<unknown> =>
        answers.before(request, reply),
    ]
    route.onSend = [
      ...[route.onSend ?? []].flat(),
      async (request: FastifyRequest, reply: FastifyReply, payload: unknown): Promise<unknown> => {
        answers.keep(request, reply, payload)
        return payload
      },
    ]
    route.onResponse = [
      ...[route.onResponse ?? []].flat(),
      async (request: FastifyRequest): Promise<void> => {
        answers.finish(request, null)
      },
    ]
  })
}

class KeptAnswers {
  /** Least recently used first. */
  readonly #entries = new Map<string, Entry>()
  readonly #running = new WeakMap<FastifyRequest, Entry>()

  /** Lets the request run, or answers it in its place. */
  async before(request: FastifyRequest, reply: FastifyReply): Promise<unknown> {
    const header = request.headers['idempotency-key']
    if (header === undefined) return undefined
    if (typeof header !== 'string' || !KEY.test(header)) {
      throw new VectordError('bad_request', 'Idempotency-Key must be 1 to 255 visible characters.')
    }
    const name = `${request.caller.name}\n${header}`
    const earlier = this.#entries.get(name)
    if (earlier === undefined) {
      this.#begin(name, request)
      return undefined
    }
    if (earlier.request !== fingerprint(request)) {
      throw new VectordError(
        'idempotency_key_reused',
        'This Idempotency-Key came with another request before: use a new one.',
      )
    }
    this.#entries.delete(name)
    this.#entries.set(name, earlier)
    const answer = await earlier.answer
    if (answer !== null) return replay(reply, answer)
    // The first run failed in a way that is worth another try, which is this one.
    return this.before(request, reply)
  }

  keep(request: FastifyRequest, reply: FastifyReply, payload: unknown): void {
    const status = reply.statusCode
    if (status >= 500 || status === 429) return
    const text = typeof payload === 'string' ? payload : ''
    this.finish(request, { status, payload: text, headers: kept(reply) })
  }

  /** Ends a run, once; null where its answer is not worth keeping. */
  finish(request: FastifyRequest, answer: Answer | null): void {
    const entry = this.#running.get(request)
    if (entry === undefined) return
    this.#running.delete(request)
    const isCurrent = this.#entries.get(entry.name) === entry
    if (answer === null && isCurrent) this.#entries.delete(entry.name)
    entry.settle(answer)
  }

  #begin(name: string, request: FastifyRequest): void {
    const { promise, resolve } = Promise.withResolvers<Answer | null>()
    const entry = { name, request: fingerprint(request), answer: promise, settle: resolve }
    this.#entries.set(name, entry)
    this.#running.set(request, entry)
    if (this.#entries.size <= ANSWERS_MAX) return
    const [oldest] = this.#entries.keys()
    if (oldest !== undefined) this.#entries.delete(oldest)
  }
}

function fingerprint(request: FastifyRequest): string {
  const body = request.body === undefined ? '' : JSON.stringify(request.body)
  return hash('sha256', `${request.method} ${request.url}\n${body}`, 'base64')
}

function kept(reply: FastifyReply): Record<string, string> {
  const headers: Record<string, string> = {}
  for (const name of KEPT_HEADERS) {
    const value = reply.getHeader(name)
    if (value !== undefined) headers[name] = String(value)
  }
  return headers
}

function replay(reply: FastifyReply, answer: Answer): FastifyReply {
  return reply
    .code(answer.status)
    .headers({ ...answer.headers, 'idempotent-replayed': 'true' })
    .send(answer.payload)
}
