/**
 * The real HTTP front with all routes over indexes in memory, for tests of routes.
 *
 * Every JSON reply is held to the schema that `/openapi.json` shows for its route and status, so
 * that documentation and behaviour cannot drift apart unseen.
 */

import { createHash } from 'node:crypto'
import type { TestContext } from 'node:test'
import { Ajv } from 'ajv'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { adminRoutes } from '../../routes/admin.ts'
import { documentRoutes } from '../../routes/documents.ts'
import { dropRoutes } from '../../routes/drops.ts'
import { evalRoutes } from '../../routes/evals.ts'
import { indexRoutes } from '../../routes/indexes.ts'
import { longOperationRoutes } from '../../routes/long-operations.ts'
import { maintenanceRoutes } from '../../routes/maintenance.ts'
import { operationRoutes, type OperationsApi } from '../../routes/operations.ts'
import { pointRoutes } from '../../routes/points.ts'
import { profileRoutes } from '../../routes/profiles.ts'
import { searchGroupRoutes } from '../../routes/search-groups.ts'
import { searchRoutes } from '../../routes/search.ts'
import { storageRoutes } from '../../routes/storage.ts'
import { streamRoutes } from '../../routes/streams.ts'
import { trialRoutes } from '../../routes/trials.ts'
import { versionRoutes } from '../../routes/versions.ts'
import { MemoryStore } from '../../src/buckets/memory-store.ts'
import type { EmbedderStamp } from '../../src/domain/pending-text.ts'
import type { EmbedQuery } from '../../src/domain/search-target.ts'
import { buildHttp, type HttpOptions } from '../../src/http/build-http.ts'
import { HTTP_LIMITS } from '../../src/http/limits.ts'
import { Metrics } from '../../src/http/metrics.ts'
import { Streams } from '../../src/ingest/streams.ts'
import type { Gpu, GpuReport } from '../../src/profiles/gpus.ts'
import { VectordError } from '../../src/lib/errors.ts'
import { Documents } from '../../src/services/documents.ts'
import { Moves } from '../../src/services/moves.ts'
import { Operations } from '../../src/services/operations.ts'
import type { SearchSeen } from '../../src/services/search-observer.ts'
import { textPoints } from '../../src/services/text-points.ts'
import { memoryJournals, type MemoryJournals } from './memory-journals.ts'
import { memoryDrops } from './memory-drops.ts'
import { MemoryBuckets, MemoryStorageErrors } from './memory-buckets.ts'
import { MemoryIndexes } from './memory-indexes.ts'
import { profileWorld, type ProfileWorld } from './profile-world.ts'

export const NOW_MS = 1_700_000_000_000

const GPU: Gpu = {
  ...{ index: 0, uuid: 'GPU-aa', name: 'A', utilization: 0.5 },
  ...{ totalBytes: 100, usedBytes: 40, freeBytes: null },
}

export interface TestApp {
  readonly app: FastifyInstance
  readonly indexes: MemoryIndexes
  readonly buckets: MemoryBuckets
  readonly streams: Streams
  /** Where dead letters are. */
  readonly letterStore: MemoryStore
  readonly journals: MemoryJournals
  readonly profiles: ProfileWorld
  readonly operations: { -readonly [K in keyof OperationsApi]: OperationsApi[K] }
  /** `METHOD /path/{param}` of every route that is not part of the documentation itself. */
  readonly routes: readonly string[]
  /** What failed without anybody who waited for it. */
  readonly troubles: readonly string[]
  /** What the search routes told of, in order. */
  readonly seen: readonly SearchSeen[]
  /** Makes vectors of queries, where a test sets it. */
  readonly embedder: { embed: EmbedQuery | null }
  /** Sends a request; an object or array as `body` goes as JSON. */
  send(method: string, url: string, body?: unknown, headers?: Headers): Promise<TestReply>
}

type Headers = Readonly<Record<string, string>>

export interface TestReply {
  readonly status: number
  readonly headers: Readonly<Record<string, unknown>>
  readonly text: string
  /** The parsed body; undefined where it is no JSON. */
  readonly body: unknown
  /** `error.code` of an error reply. */
  readonly code: string | null
}

export async function openApp(
  t: Pick<TestContext, 'after'>,
  options: Partial<HttpOptions> & {
    readonly embedders?: readonly EmbedderStamp[]
    /** Routes besides those that every test has. */
    readonly plugins?: readonly ((app: FastifyInstance) => PromiseLike<unknown>)[]
  } = {},
): Promise<TestApp> {
  const metrics = new Metrics()
  const limits = options.limits ?? HTTP_LIMITS
  const app = await buildHttp({
    version: '0.0.0-test',
    log: null,
    keys: [],
    limits,
    metrics,
    rateLimit: null,
    eventLoopDelayMaxMs: null,
    ...options,
  })
  app.addHook('onSend', checkReply)
  const routes: string[] = []
  app.addHook('onRoute', ({ method, url }) => {
    const path = url.replaceAll(/:(\w+)/g, '{$1}').replace(/\*$/, '{*}')
    for (const verb of [method].flat()) if (verb !== 'HEAD') routes.push(`${verb} ${path}`)
  })
  const indexes = new MemoryIndexes()
  const buckets = new MemoryBuckets()
  const operations = {
    started: true,
    engine: { name: 'memory', version: '1', instructionSet: 'none' },
    version: '0.0.0-test',
    cores: () => [{ core: 0, state: 'serving', queue: 0 }],
  }
  const troubles: string[] = []
  const longOperations = new Operations({
    nowMs: () => NOW_MS,
    onTrouble: (_error, what) => troubles.push(what),
  })
  const forIndexes = { indexes, limits, metrics, nowMs: () => NOW_MS }
  const moves = new Moves({ operations: longOperations, indexes })
  const letterStore = new MemoryStore()
  const streams = new Streams({
    ...{ indexes, nowMs: movingClock(), storeOf: () => letterStore },
    onTrouble: (_error, what) => troubles.push(what),
  })
  const identityOf = (name: string): Promise<EmbedderStamp> => {
    const stamp = options.embedders?.find((one) => one.name === name)
    if (stamp !== undefined) return Promise.resolve(stamp)
    const message = `The embedder "${name}" is not configured here.`
    return Promise.reject(new VectordError('not_configured', message))
  }
  await app.register(indexRoutes, { ...forIndexes, moves, streams, identityOf })
  await app.register(pointRoutes, forIndexes)
  await app.register(streamRoutes, { ...forIndexes, streams })
  await app.register(versionRoutes, forIndexes)
  const seen: SearchSeen[] = []
  const embedder: TestApp['embedder'] = { embed: null }
  const forSearches = {
    ...forIndexes,
    observe: (search: SearchSeen) => seen.push(search),
    embedderOf: () => embedder.embed,
  }
  await app.register(searchRoutes, forSearches)
  await app.register(searchGroupRoutes, forSearches)
  // Indexes whose names begin so take texts without vectors.
  const texts = textPoints((index) => index.info.name.startsWith('text'))
  const documents = new Documents({ texts, rowsMax: limits.rowsMax, nowMs: () => NOW_MS })
  await app.register(documentRoutes, { ...forIndexes, documents })
  const profiles = profileWorld({ indexes })
  await app.register(profileRoutes, { ...forSearches, profiles: profiles.profiles })
  const gpus = async (): Promise<GpuReport> => ({ gpus: [GPU], problem: null })
  await app.register(adminRoutes, { models: () => profiles.profiles.models, gpus })
  await app.register(dropRoutes, { indexes, ...memoryDrops(NOW_MS) })
  await app.register(maintenanceRoutes, { ...forIndexes, operations: longOperations })
  const journals = memoryJournals({ indexes, operations: longOperations, nowMs: () => NOW_MS })
  await app.register(trialRoutes, { indexes, ...journals })
  await app.register(evalRoutes, { ...forIndexes, ...journals })
  await app.register(longOperationRoutes, { operations: longOperations })
  await app.register(storageRoutes, { buckets, errors: new MemoryStorageErrors() })
  await app.register(operationRoutes, { operations, indexes, metrics })
  for (const plugin of options.plugins ?? []) await plugin(app)
  t.after(() => app.close())
  const parts = { app, indexes, buckets, streams, letterStore, journals, operations }
  return { ...parts, profiles, routes, troubles, seen, embedder, send: sender(app) }
}

/** From `NOW_MS` on. */
function movingClock(): () => number {
  const startMs = performance.now()
  return () => NOW_MS + Math.floor(performance.now() - startMs)
}

function sender(app: FastifyInstance): TestApp['send'] {
  return async (method, url, body, headers = {}) => {
    const payload = toPayload(body)
    const type = { 'content-type': 'application/json' }
    const reply = await app.inject({
      method: method as 'GET',
      url,
      headers: { ...(payload !== undefined && type), ...headers },
      ...(payload !== undefined && { payload }),
    })
    const parsed = parse(reply.body) as { error?: { code?: string } } | undefined
    return {
      status: reply.statusCode,
      headers: reply.headers,
      text: reply.body,
      body: parsed,
      code: parsed?.error?.code ?? null,
    }
  }
}

function toPayload(body: unknown): string | Buffer | undefined {
  if (body === undefined || typeof body === 'string') return body
  return body instanceof Uint8Array ? Buffer.from(body) : JSON.stringify(body)
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

const ajv = new Ajv({ strict: false })

async function checkReply(
  request: FastifyRequest,
  reply: FastifyReply,
  payload: unknown,
): Promise<unknown> {
  const responses = request.routeOptions.schema?.response as Record<string, object> | undefined
  const isJson = String(reply.getHeader('content-type')).startsWith('application/json')
  if (responses === undefined || !isJson || typeof payload !== 'string') return payload
  const status = reply.statusCode
  const schema = responses[status] ?? responses[`${Math.floor(status / 100)}xx`]
  if (schema === undefined) throw new Error(`${request.url} does not document ${status}`)
  if (!ajv.validate(schema, JSON.parse(payload))) {
    const url = String(request.routeOptions.url)
    throw new Error(`${url} ${status} differs from its schema: ${ajv.errorsText()}`)
  }
  return payload
}

/** The line of the configuration for a key that tests present as `secret`. */
export function keyLine(name: string, role: string, secret: string, prefixes?: string): string {
  const digest = createHash('sha256').update(secret).digest('hex')
  return [name, role, digest, ...(prefixes === undefined ? [] : [prefixes])].join(':')
}

export function bearer(secret: string): Headers {
  return { authorization: `Bearer ${secret}` }
}
