/**
 * JSON over HTTP to one server of models: bounded in time, in bytes and in tries.
 *
 *     ask ──▶ rest, if the server asked for it ──▶ try ──▶ 429, 5xx, no connection ──backoff──▶ try …
 *
 * Only requests that may be repeated are sent. Redirects are not followed: a key would go along.
 */

import { setTimeout as delay } from 'node:timers/promises'
import { VectordError } from '../lib/errors.ts'
import { activeTracer, traced } from '../tracing/tracer.ts'
import { HttpFault } from './http-fault.ts'

export interface JsonClientOptions {
  /** Base address, without a slash at its end. */
  readonly url: string
  /** How often a request that failed for a reason that may pass is sent again. */
  readonly retries: number
  /** The first wait between two tries; it doubles. */
  readonly backoffMs?: number
  /** Asked before each try: keys may change while the service runs. May throw a VectordError. */
  readonly headers?: () => Promise<Readonly<Record<string, string>>>
}

export interface JsonCall {
  readonly path: string
  /** Sent with POST; without one it is a GET. */
  readonly body?: object
  /** Of one try. */
  readonly timeoutMs: number
  readonly signal?: AbortSignal | undefined
  /** A 500 is told at once and is no reason to rest: the body may be at fault, not the server. */
  readonly isBodySuspect?: boolean
}

const BACKOFF_MS = 250
/** Who asks for a longer rest than this gets it, but nobody waits for it here. */
const WAIT_MS_MAX = 5000
/** More than 2048 vectors of 1024 numbers take. */
const ANSWER_BYTES_MAX = 48 * 1024 * 1024
const TOLD_CHARS_MAX = 200

export class JsonClient {
  readonly #options: JsonClientOptions
  /** For traces. */
  readonly #host: string
  readonly #closing = new AbortController()
  /** By `performance.now()`: until then the server wants to be left alone. */
  #restUntilMs = 0

  constructor(options: JsonClientOptions) {
    this.#options = options
    this.#host = URL.parse(options.url)?.hostname ?? ''
  }

  /** The answer of a 2xx, parsed. @throws {HttpFault}, or the reason of the signal. */
  async ask(call: JsonCall): Promise<unknown> {
    for (let tries = 0; ; tries += 1) {
      await this.#rest(call.signal)
      try {
        return await this.#try(call)
      } catch (error) {
        if (!(error instanceof HttpFault)) throw error
        const isOfBody = call.isBodySuspect === true && error.status === 500
        if (!error.mayPass || isOfBody) throw error
        this.#note(error, tries)
        if (tries >= this.#options.retries) throw error
      }
    }
  }

  /** Ends the requests under way. */
  close(): void {
    this.#closing.abort()
  }

  async #rest(signal: AbortSignal | undefined): Promise<void> {
    const waitMs = this.#restUntilMs - performance.now()
    if (waitMs <= 0) return
    if (waitMs > WAIT_MS_MAX) {
      throw new HttpFault('status', { status: 429, retryAfterS: waitMs / 1000 })
    }
    const { signal: closing } = this.#closing
    const both = signal === undefined ? closing : AbortSignal.any([signal, closing])
    await delay(waitMs, undefined, { signal: both, ref: false }).catch(() => {
      signal?.throwIfAborted()
    })
  }

  /** What failed for a moment is left alone for one, by everybody who asks here. */
  #note(fault: HttpFault, tries: number): void {
    const backoffMs = (this.#options.backoffMs ?? BACKOFF_MS) * 2 ** tries
    const waitMs = Math.max(Math.min(backoffMs, WAIT_MS_MAX), (fault.retryAfterS ?? 0) * 1000)
    this.#restUntilMs = Math.max(this.#restUntilMs, performance.now() + waitMs)
  }

  #try(call: JsonCall): Promise<unknown> {
    const attributes = { 'server.address': this.#host, 'url.path': call.path }
    return traced({ name: 'model server', kind: 'client', attributes }, () => this.#attempt(call))
  }

  async #attempt(call: JsonCall): Promise<unknown> {
    const { signal, timeoutMs } = call
    signal?.throwIfAborted()
    const timeout = AbortSignal.timeout(timeoutMs)
    const ends = [timeout, this.#closing.signal, ...(signal === undefined ? [] : [signal])]
    try {
      const response = await this.#send(call, AbortSignal.any(ends))
      return parsed(response, await boundedText(response))
    } catch (error) {
      if (error instanceof HttpFault || error instanceof VectordError) throw error
      signal?.throwIfAborted()
      if (this.#closing.signal.aborted) throw new HttpFault('closed')
      throw new HttpFault(timeout.aborted ? 'timeout' : 'unreachable', { cause: error })
    }
  }

  async #send({ path, body }: JsonCall, signal: AbortSignal): Promise<Response> {
    const { url, headers } = this.#options
    const given = (await headers?.()) ?? {}
    return fetch(url + path, {
      headers: {
        ...{ accept: 'application/json', 'content-type': 'application/json' },
        ...activeTracer()?.headers(),
        ...given,
      },
      ...(body !== undefined && { method: 'POST', body: JSON.stringify(body) }),
      redirect: 'manual',
      signal,
    })
  }
}

async function boundedText(response: Response): Promise<string> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  if (response.body !== null) {
    const body: AsyncIterable<Uint8Array> = response.body
    for await (const chunk of body) {
      bytes += chunk.byteLength
      // Leaving the loop closes the connection.
      if (bytes > ANSWER_BYTES_MAX) throw new HttpFault('too_large', { status: response.status })
      chunks.push(chunk)
    }
  }
  return Buffer.concat(chunks).toString('utf8')
}

function parsed(response: Response, text: string): unknown {
  const { status, ok } = response
  const answer = parse(text)
  if (!ok) {
    const retryAfterS = secondsOf(response.headers.get('retry-after'))
    throw new HttpFault('status', {
      status,
      told: told(answer),
      ...(retryAfterS !== null && { retryAfterS }),
    })
  }
  if (answer === undefined) throw new HttpFault('not_json', { status })
  return answer
}

/** Undefined where it is no JSON. */
function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** `{"error": "…"}` and `{"error": {"message": "…"}}` are what servers of models say. */
function told(answer: unknown): string {
  const error = fieldOf(answer, 'error')
  const message = typeof error === 'string' ? error : fieldOf(error, 'message')
  return typeof message === 'string' ? message.slice(0, TOLD_CHARS_MAX) : ''
}

/** The field of an object; undefined where it is none, or has no such field. */
export function fieldOf(value: unknown, name: string): unknown {
  if (value === null || typeof value !== 'object') return undefined
  return new Map<string, unknown>(Object.entries(value)).get(name)
}

/** `Retry-After`: seconds, or a date. */
function secondsOf(header: string | null): number | null {
  if (header === null) return null
  const seconds = /^\d{1,9}$/.test(header)
    ? Number(header)
    : (Date.parse(header) - Date.now()) / 1000
  return Number.isFinite(seconds) ? Math.max(0, seconds) : null
}
