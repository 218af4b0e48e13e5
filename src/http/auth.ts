/**
 * Who asks, and what they may do.
 *
 * A key has a role (read < write < admin) and, optionally, name prefixes: then it sees only indexes
 * whose names start with one of them, and no route that concerns the whole service. Only hashes of
 * keys are configured; a presented key is hashed and compared with all of them in constant time.
 *
 * Every route declares its role in its config. One that does not is for admins: forgetting it must
 * not open a door.
 */

import { hash, timingSafeEqual } from 'node:crypto'
import { isIP } from 'node:net'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { VectordError } from '../lib/errors.ts'

export const ROLES = ['read', 'write', 'admin'] as const

export type Role = (typeof ROLES)[number]

export interface ApiKey {
  readonly name: string
  readonly role: Role
  /** SHA-256 of the key. */
  readonly digest: Uint8Array
  /** Name prefixes that the key is limited to, or null. */
  readonly prefixes: readonly string[] | null
}

export interface Caller {
  /** Name of the key; `local` where no key is configured. */
  readonly name: string
  readonly role: Role
  readonly prefixes: readonly string[] | null
}

declare module 'fastify' {
  interface FastifyContextConfig {
    /** What a caller needs; `public` needs no key. */
    role?: Role | 'public'
    /** Concerns the whole service: refused to keys that are limited to prefixes. */
    wide?: boolean
    /** Its body may take as long as it comes: the route minds how long it is silent. */
    longBody?: boolean
    /** Takes an `Idempotency-Key`. */
    idempotencyKey?: boolean
  }
  interface FastifyRequest {
    caller: Caller
  }
}

/** Whoever reaches a service that has no keys: it listens on loopback only. */
const LOCAL: Caller = { name: 'local', role: 'admin', prefixes: null }
const NOBODY: Caller = { name: 'nobody', role: 'read', prefixes: [] }

const KEY_LINE = /^([A-Za-z0-9_-]{1,128}):(read|write|admin):([0-9a-f]{64})(?::([A-Za-z0-9_|-]+))?$/
const BEARER = /^Bearer +([\x21-\x7e]{1,512}) *$/i
const PREFIXES_MAX = 64

/**
 * Parses `name:role:sha256hex[:prefix|prefix]`, the form of a key in the configuration.
 *
 * @throws {VectordError} `invalid_config`; the message never repeats the line.
 */
export function parseApiKeys(lines: readonly string[]): ApiKey[] {
  const keys = lines.map((line, i) => parseApiKey(line, i + 1))
  for (const field of ['name', 'digest'] as const) {
    const values = keys.map((key) => String(key[field]))
    if (new Set(values).size < values.length) {
      throw new VectordError('invalid_config', `Two API keys have the same ${field}.`)
    }
  }
  return keys
}

function parseApiKey(line: string, number: number): ApiKey {
  const [, name, role, hex, prefixes] = KEY_LINE.exec(line) ?? []
  const list = prefixes?.split('|') ?? null
  const badList = list !== null && (list.includes('') || list.length > PREFIXES_MAX)
  if (name === undefined || role === undefined || hex === undefined || badList) {
    throw new VectordError(
      'invalid_config',
      `API key ${number} must read name:role:sha256hex or name:role:sha256hex:prefix|prefix.`,
    )
  }
  return { name, role: role as Role, digest: Buffer.from(hex, 'hex'), prefixes: list }
}

/**
 * Refuses to serve the network without keys.
 *
 * @throws {VectordError} `invalid_config` where `host` is not loopback and there is no key.
 */
export function checkListen(host: string, keys: readonly ApiKey[]): void {
  if (keys.length > 0 || isLoopback(host)) return
  throw new VectordError(
    'invalid_config',
    `Listening on ${host} needs an API key: anyone who reaches it could read and delete. ` +
      'Configure one, or listen on 127.0.0.1.',
    { details: { host } },
  )
}

function isLoopback(host: string): boolean {
  const bare = host.startsWith('[') && host.endsWith(']') ? host.slice(1, -1) : host
  const v4 = bare.toLowerCase().startsWith('::ffff:') ? bare.slice(7) : bare
  if (isIP(v4) === 4) return v4.startsWith('127.')
  return bare === '::1' || bare.toLowerCase() === 'localhost'
}

/** Sets `request.caller` before anything else runs, and refuses whom the route is not for. */
export function installAuth(app: FastifyInstance, keys: readonly ApiKey[]): void {
  app.decorateRequest('caller')
  app.addHook('onRequest', (request, _reply, done) => {
    const { config } = request.routeOptions
    const needed = request.is404 ? 'public' : (config.role ?? 'admin')
    request.caller = identify(request, keys, needed === 'public')
    if (needed !== 'public') authorise(request, needed, config.wide === true)
    done()
  })
}

function identify(request: FastifyRequest, keys: readonly ApiKey[], isPublic: boolean): Caller {
  if (keys.length === 0) return LOCAL
  if (isPublic) return NOBODY
  const presented = BEARER.exec(request.headers.authorization ?? '')?.[1]
  if (presented === undefined) {
    throw new VectordError('unauthenticated', 'Send an API key: "Authorization: Bearer <key>".')
  }
  const digest = hash('sha256', presented, 'buffer')
  let found: ApiKey | null = null
  // No early end: the time must not tell which key came near.
  for (const key of keys) {
    if (timingSafeEqual(digest, key.digest)) found = key
  }
  if (found === null) throw new VectordError('unauthenticated', 'This API key is not known.')
  return found
}

function authorise(request: FastifyRequest, needed: Role, isWide: boolean): void {
  const { caller } = request
  if (ROLES.indexOf(caller.role) < ROLES.indexOf(needed)) {
    throw new VectordError('forbidden', `This needs a key with the role ${needed}.`, {
      details: { needed, role: caller.role },
    })
  }
  if (isWide && caller.prefixes !== null) {
    throw new VectordError('forbidden', 'A key that is limited to name prefixes cannot do this.')
  }
  const { params } = request
  if (typeof params === 'object' && params !== null && 'index' in params) {
    checkTouch(caller, String(params.index))
  }
}

/** True where `caller` may know of the index `name`. */
export function mayTouch(caller: Caller, name: string): boolean {
  return caller.prefixes === null || caller.prefixes.some((prefix) => name.startsWith(prefix))
}

/**
 * For index names outside the path; those in it are checked before the handler runs.
 *
 * @throws {VectordError} `forbidden`, whether or not there is such an index.
 */
export function checkTouch(caller: Caller, name: string): void {
  if (mayTouch(caller, name)) return
  throw new VectordError('forbidden', 'This key is limited to other index names.', {
    details: { prefixes: caller.prefixes ?? [] },
  })
}
