/**
 * Requests over `fetch`: key, time, retries, and errors as they are meant.
 *
 *     try ──2xx──▶ answer
 *      │ 429, 502, 503, 504, no answer: and may it be sent twice? ──no──▶ error
 *      └──────────── wait (Retry-After, else backoff, with jitter) ──▶ try again
 *
 * What may be sent twice: requests that change nothing or whose repetition changes nothing more, and
 * those that carry an Idempotency-Key, which is the same in every try.
 */

import type { components } from './api-types.ts'
import { VectordApiError, VectordConnectionError } from './errors.ts'
import { retryAfterSeconds, retryDelayMs, type RetryRules } from './retry.ts'
import type { CallOptions } from './types.ts'

export interface TransportOptions {
  /** Where the service is, such as `http://127.0.0.1:8600`; a path in it is kept. */
  readonly url: string
  /** An API key; null sends none. */
  readonly key: string | null
  /** Milliseconds of a try, where a call names none. */
  readonly timeoutMs: number
  readonly retry: RetryRules
  readonly fetch: typeof fetch
}

export type QueryValue = string | number | boolean | undefined

export interface Call {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  /** Encoded: made by `pathOf`. */
  readonly path: string
  readonly query?: Readonly<Record<string, QueryValue>>
  /** Sent as JSON. */
  readonly json?: unknown
  /** Sent as it comes, in the place of JSON. A stream is read once: `again` is `once`. */
  readonly file?: { readonly type: string; readonly bytes: ReadableStream<Uint8Array> }
  /** The JSON of each try, where it is not the same in all of them. */
  readonly jsonOfTry?: () => unknown
  /** Told of each try that the service refused, before the next. */
  readonly onRefused?: (error: VectordApiError) => void
  readonly ifRevision?: number | undefined
  /**
   * `repeatable`: sent again as it is. `keyed`: sent again with one Idempotency-Key. `once`: where
   * a lost answer must be told, and never tried again.
   */
  readonly again: 'repeatable' | 'keyed' | 'once'
  readonly options?: CallOptions | undefined
  /** Statuses that are answers too. */
  readonly alsoOk?: readonly number[]
}

type ErrorReply = components['schemas']['ErrorReply']

/** Text of an answer that is not vectord's is cut to this many characters. */
const FOREIGN_CHARS_MAX = 200

/** Timers of this many milliseconds and more end at once, so 25 days are for ever. */
const TIMER_MS_END = 2 ** 31

export class Transport {
  readonly #options: TransportOptions
  readonly #base: string

  /** @throws {TypeError} where the URL is none, or not of HTTP. */
  constructor(options: TransportOptions) {
    const url = new URL(options.url)
    if (url.protocol !== 'http:' && url.protocol !== 'https:') {
      throw new TypeError('The URL of a vectord service begins with http:// or https://.')
    }
    if (url.username !== '' || url.password !== '') {
      throw new TypeError('The URL of a vectord service holds no password: give the key as "key".')
    }
    this.#options = options
    this.#base = `${url.origin}${url.pathname.replace(/\/+$/, '')}`
  }

  /** Sends, and reads the JSON of the answer; undefined where it has none (204). */
  json<T>(call: Call): Promise<T> {
    return this.#repeat(call, async (key) => {
      const sent = await this.#send(call, key)
      try {
        const text = await sent.response.text()
        return (text === '' ? undefined : JSON.parse(text)) as T
      } catch (error) {
        throw noAnswer(error, call, sent.timer)
      } finally {
        sent.timer.clear()
      }
    })
  }

  /** Sends, and gives the body as it comes: once it comes, the signal alone ends it. */
  body(call: Call): Promise<{ headers: Headers; bytes: ReadableStream<Uint8Array> }> {
    return this.#repeat(call, async (key) => {
      const { response, timer } = await this.#send(call, key)
      timer.clear()
      return { headers: response.headers, bytes: response.body ?? new ReadableStream() }
    })
  }

  async #repeat<T>(call: Call, attempt: (key: string | null) => Promise<T>): Promise<T> {
    const signal = call.options?.signal
    const key = call.again === 'keyed' ? idempotencyKey() : null
    for (let tries = 1; ; tries++) {
      signal?.throwIfAborted()
      try {
        return await attempt(key)
      } catch (error) {
        if (call.again === 'once') throw error
        if (error instanceof VectordApiError) call.onRefused?.(error)
        const delayMs = retryDelayMs(error, tries, Math.random(), this.#options.retry)
        if (delayMs === null) throw error
        await pause(delayMs, signal)
      }
    }
  }

  async #send(call: Call, key: string | null): Promise<{ response: Response; timer: Timer }> {
    const timer = startTimer(call.options?.timeoutMs ?? this.#options.timeoutMs)
    try {
      const response = await this.#fetch(call, key, timer.signal)
      if (response.ok || call.alsoOk?.includes(response.status)) return { response, timer }
      throw apiError(response, await response.text())
    } catch (error) {
      timer.clear()
      throw noAnswer(error, call, timer)
    }
  }

  #fetch(call: Call, key: string | null, time: AbortSignal): Promise<Response> {
    const json = call.jsonOfTry?.() ?? call.json
    const signal = call.options?.signal
    return this.#options.fetch(this.#urlOf(call), {
      method: call.method,
      headers: this.#headersOf({ ...call, json }, key),
      ...(json !== undefined && { body: JSON.stringify(json) }),
      ...(call.file !== undefined && { body: call.file.bytes, duplex: 'half' as const }),
      signal: signal === undefined ? time : AbortSignal.any([time, signal]),
      // A key must not follow a redirect to where nobody meant to send it.
      redirect: 'manual',
    })
  }

  #urlOf({ path, query = {} }: Call): string {
    const given = Object.entries(query).flatMap(([name, value]): [string, string][] =>
      value === undefined ? [] : [[name, String(value)]],
    )
    const text = new URLSearchParams(given).toString()
    return `${this.#base}${path}${text === '' ? '' : `?${text}`}`
  }

  #headersOf({ json, file, ifRevision }: Call, key: string | null): Record<string, string> {
    return {
      ...(this.#options.key !== null && { authorization: `Bearer ${this.#options.key}` }),
      ...(json !== undefined && { 'content-type': 'application/json' }),
      ...(file !== undefined && { 'content-type': file.type }),
      ...(ifRevision !== undefined && { 'if-match': `"${ifRevision}"` }),
      ...(key !== null && { 'idempotency-key': key }),
    }
  }
}

/**
 * A path of literal parts and values: values are encoded, so that none of them is two parts.
 *
 * @throws {TypeError} for what no path can hold: nothing, and names of folders.
 */
export function pathOf(parts: TemplateStringsArray, ...values: readonly string[]): string {
  for (const value of values) {
    if (!['', '.', '..'].includes(value)) continue
    throw new TypeError(`"${value}" cannot be a part of a path.`)
  }
  return parts.reduce((path, part, i) => path + encodeURIComponent(values[i - 1] ?? '') + part)
}

interface Timer {
  readonly signal: AbortSignal
  clear(): void
}

/** Unlike `AbortSignal.timeout`, it can be cleared, and so keeps no process alive. */
function startTimer(ms: number): Timer {
  const controller = new AbortController()
  if (!(ms < TIMER_MS_END)) return { signal: controller.signal, clear: () => undefined }
  const timer = setTimeout(() => {
    controller.abort(new DOMException('The time of the call ran out.', 'TimeoutError'))
  }, ms)
  return {
    signal: controller.signal,
    clear: () => {
      clearTimeout(timer)
    },
  }
}

/** `error` as the caller is told: the reason of its own signal stays what it is. */
function noAnswer(error: unknown, { method, path, options }: Call, timer: Timer): unknown {
  if (error instanceof VectordApiError) return error
  if (options?.signal?.aborted === true) return options.signal.reason
  const isTimeout = timer.signal.aborted
  const why = isTimeout ? 'was not answered in time' : 'got no answer'
  return new VectordConnectionError(`${method} ${path} ${why}.`, { isTimeout, cause: error })
}

function apiError(response: Response, text: string): VectordApiError {
  const { status } = response
  const retryAfterS = retryAfterSeconds(response.headers.get('retry-after'), Date.now())
  const reply = errorReply(text)
  if (reply === null) {
    const shown = text.slice(0, FOREIGN_CHARS_MAX).trim()
    const message = `The answer is ${status} and not of vectord${shown === '' ? '.' : `: ${shown}`}`
    const retryable = status === 429 || status >= 502
    const requestId = response.headers.get('x-request-id')
    const fault = { code: 'unknown', status, retryable, details: {}, requestId } as const
    return new VectordApiError(message, { ...fault, retryAfterS })
  }
  const { code, message, retryable, details } = reply.error
  const requestId = reply.request_id
  const fault = { code, status, retryable, details, requestId, retryAfterS }
  return new VectordApiError(message, fault)
}

function errorReply(text: string): ErrorReply | null {
  try {
    const reply = JSON.parse(text) as Partial<ErrorReply> | null
    return typeof reply?.error?.code === 'string' ? (reply as ErrorReply) : null
  } catch {
    return null
  }
}

/** `crypto.randomUUID` is missing in pages that come over plain HTTP; this is not. */
function idempotencyKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16))
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
}

/** Waits; rejects with the reason of the signal as soon as that is given. */
export function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const end = (): void => {
      clearTimeout(timer)
      reject(signal?.reason as Error)
    }
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', end)
      resolve()
    }, ms)
    signal?.addEventListener('abort', end, { once: true })
  })
}
