/**
 * Bodies: JSON as values, bulk formats as the bytes that came. Everything else is 415.
 *
 * Fastify would replace bytes that are no UTF-8 by U+FFFD: an id or a text would silently change.
 * Here such a body is refused. So is a key `__proto__`, and `constructor` with a `prototype`, which
 * poison objects that are later merged.
 */

import { isUtf8 } from 'node:buffer'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { VectordError } from '../lib/errors.ts'

const JSON_TYPE = 'application/json'
export const NDJSON_TYPE = 'application/x-ndjson'
export const ARROW_TYPE = 'application/vnd.apache.arrow.stream'

type RawKind = 'json' | 'ndjson' | 'arrow' | 'bytes'

/** A body that its route decodes. */
export class RawBody {
  readonly kind: RawKind
  readonly bytes: Uint8Array

  constructor(kind: RawKind, bytes: Uint8Array) {
    this.kind = kind
    this.bytes = bytes
  }
}

export function installBodyParsers(app: FastifyInstance): void {
  app.removeAllContentTypeParsers()
  const whole = { parseAs: 'buffer' } as const
  app.addContentTypeParser(JSON_TYPE, whole, (request, bytes: Buffer, done) => {
    settle(done, () => {
      checkEncoding(request)
      return jsonBody(bytes)
    })
  })
  for (const [type, kind] of [
    [NDJSON_TYPE, 'ndjson'],
    [ARROW_TYPE, 'arrow'],
  ] as const) {
    app.addContentTypeParser(type, whole, (request, bytes: Buffer, done) => {
      settle(done, () => {
        checkEncoding(request)
        return new RawBody(kind, bytes)
      })
    })
  }
}

/** In this scope JSON comes as bytes too, for routes that choose when to parse it. */
export function installLateJson(app: FastifyInstance): void {
  app.removeContentTypeParser(JSON_TYPE)
  app.addContentTypeParser(JSON_TYPE, { parseAs: 'buffer' }, (request, bytes: Buffer, done) => {
    settle(done, () => {
      checkEncoding(request)
      return new RawBody('json', bytes)
    })
  })
}

/** In this scope every body is opaque bytes, whatever its content type says. */
export function installRawBodies(app: FastifyInstance): void {
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, bytes: Buffer, done) => {
    done(null, new RawBody('bytes', bytes))
  })
}

type Done = (error: Error | null, body?: unknown) => void

function settle(done: Done, parse: () => unknown): void {
  let body: unknown
  try {
    body = parse()
  } catch (error) {
    done(error instanceof Error ? error : new Error(String(error)))
    return
  }
  done(null, body)
}

/** @throws {VectordError} `unsupported_media_type` for a body that is compressed. */
export function checkEncoding(request: FastifyRequest): void {
  const encoding = request.headers['content-encoding']
  if (encoding === undefined || encoding === 'identity') return
  throw new VectordError('unsupported_media_type', 'Bodies must come without content-encoding.')
}

/**
 * The value of a JSON body. Clients send the header with no body: that is undefined, and the route
 * says what is missing.
 *
 * @throws {VectordError} `malformed_body`.
 */
export function jsonBody(bytes: Uint8Array): unknown {
  return bytes.length === 0 ? undefined : parseJson(utf8(bytes))
}

/** @throws {VectordError} `malformed_body` where the bytes are no UTF-8. */
export function utf8(bytes: Uint8Array): string {
  if (!isUtf8(bytes)) throw new VectordError('malformed_body', 'The body is not valid UTF-8.')
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8')
}

/** @throws {VectordError} `malformed_body` for what is no JSON or tries to poison prototypes. */
export function parseJson(text: string): unknown {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw new VectordError('malformed_body', 'The body is not valid JSON.')
  }
  if (SUSPICIOUS.test(text) && isPoisoned(value)) {
    throw new VectordError('malformed_body', 'The body has a field that no object may have.')
  }
  return value
}

/** The two names as they may be spelt in JSON text: each character plain or as an escape. */
const SUSPICIOUS = new RegExp(`"(?:${spellings('__proto__')}|${spellings('constructor')})"`)

function spellings(name: string): string {
  return Array.from(name, (char) => {
    const hex = char.charCodeAt(0).toString(16).padStart(4, '0')
    const digits = Array.from(hex, (digit) => `[${digit}${digit.toUpperCase()}]`).join('')
    return `(?:${char}|\\\\u${digits})`
  }).join('')
}

function isPoisoned(root: unknown): boolean {
  // A list of what is left to see instead of recursion: depth costs no stack.
  const left: unknown[] = [root]
  for (let value = left.pop(); value !== undefined; value = left.pop()) {
    if (typeof value !== 'object' || value === null) continue
    if (hasPoison(value)) return true
    for (const entry of Object.values(value) as unknown[]) {
      if (typeof entry === 'object' && entry !== null) left.push(entry)
    }
  }
  return false
}

function hasPoison(value: object): boolean {
  if (Object.hasOwn(value, '__proto__')) return true
  const own: unknown = Object.getOwnPropertyDescriptor(value, 'constructor')?.value
  return typeof own === 'object' && own !== null && Object.hasOwn(own, 'prototype')
}
