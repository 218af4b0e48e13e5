/**
 * Whether the process lives, whether it is ready, what it measures, how its cores are.
 *
 * The health routes need no key: orchestrators have none. So they count indexes and name none.
 */

import { Type, type FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import type { Metrics } from '../src/http/metrics.ts'
import { NoQuery, Nullable, replies } from '../src/http/schemas.ts'
import type { Indexes } from '../src/indexes/index-api.ts'

export interface EngineInfo {
  readonly name: string
  readonly version: string
  /** Of the CPU, as the engine was built for: `avx512`, `avx2`, `sse`, … */
  readonly instructionSet: string
}

/** What these routes need of the rest of the service. */
export interface OperationsApi {
  /** False until every index of every bucket is known. */
  readonly started: boolean
  readonly engine: EngineInfo
  readonly version: string
  /** One report for each core, as JSON values in snake_case. */
  cores(): readonly Readonly<Record<string, unknown>>[]
}

export interface OperationRoutesOptions {
  readonly operations: OperationsApi
  readonly indexes: Indexes
  readonly metrics: Metrics
}

const STRICT = { additionalProperties: false } as const
const TAGS = ['operations']
const Count = Type.Integer({ minimum: 0 })

const ReadyJson = Type.Object(
  {
    ready: Type.Boolean(),
    reason: Nullable(Type.String()),
    progress: Type.Number({ minimum: 0, maximum: 1 }),
    indexes: Type.Object(
      { total: Count, ready: Count, loading: Count, unavailable: Count },
      STRICT,
    ),
    engine: Type.Object(
      { name: Type.String(), version: Type.String(), instruction_set: Type.String() },
      STRICT,
    ),
  },
  STRICT,
)

const StatusJson = Type.Object({ status: Type.String(), version: Type.String() }, STRICT)

const CoresJson = Type.Object(
  { cores: Type.Array(Type.Object({}, { additionalProperties: true })) },
  STRICT,
)

const LIVE = {
  config: { role: 'public' },
  schema: { tags: TAGS, summary: 'The process lives', response: replies({ 200: StatusJson }) },
} as const

const READY = {
  config: { role: 'public' },
  schema: {
    tags: TAGS,
    summary: 'Every index serves, with its log replayed',
    response: { 200: ReadyJson, 503: ReadyJson },
  },
} as const

const HEALTH = {
  config: { role: 'public' },
  schema: {
    tags: TAGS,
    summary: 'How the service does, in one word',
    response: replies({ 200: StatusJson }),
  },
} as const

const METRICS = {
  config: { role: 'read', wide: true },
  schema: {
    tags: TAGS,
    summary: 'Metrics for Prometheus',
    produces: ['text/plain'],
    response: replies({ 200: Type.String() }),
  },
} as const

const CORES = {
  config: { role: 'read', wide: true },
  schema: {
    tags: TAGS,
    summary: 'The cores: state, queue, restarts',
    querystring: NoQuery,
    response: replies({ 200: CoresJson }),
  },
} as const

export const operationRoutes: FastifyPluginCallbackTypebox<OperationRoutesOptions> = (
  app,
  options,
  done,
) => {
  healthRoutes(app, options, () => undefined)
  insightRoutes(app, options, () => undefined)
  done()
}

const healthRoutes: FastifyPluginCallbackTypebox<OperationRoutesOptions> = (app, options, done) => {
  const { version } = options.operations

  app.get('/livez', LIVE, () => ({ status: 'alive', version }))

  app.get('/readyz', READY, async (_request, reply) => {
    const report = readiness(options)
    if (!report.ready) reply.header('retry-after', '1')
    return reply.code(report.ready ? 200 : 503).send(report)
  })

  app.get('/healthz', HEALTH, () => ({ status: healthWord(options), version }))
  done()
}

const insightRoutes: FastifyPluginCallbackTypebox<OperationRoutesOptions> = (
  app,
  options,
  done,
) => {
  const { operations, metrics } = options

  app.get('/metrics', METRICS, async (_request, reply) =>
    reply.header('content-type', metrics.contentType).send(await metrics.text()),
  )

  app.get('/cores', CORES, () => ({ cores: operations.cores().map((core) => ({ ...core })) }))
  done()
}

type Readiness = {
  ready: boolean
  reason: string | null
  progress: number
  indexes: { total: number; ready: number; loading: number; unavailable: number }
  engine: { name: string; version: string; instruction_set: string }
}

/** A degraded core does not unready: its index answers, if with errors, and the rest serves. */
function readiness({ operations, indexes }: OperationRoutesOptions): Readiness {
  const infos = indexes
    .list()
    .map((index) => index.info)
    .filter((info) => info.state !== 'deleting')
  const count = (...states: readonly string[]): number =>
    infos.filter((info) => states.includes(info.state)).length
  const counts = {
    total: infos.length,
    ready: count('ready', 'degraded'),
    loading: count('loading'),
    unavailable: count('unavailable'),
  }
  const waiting = counts.total - counts.ready
  const ready = operations.started && waiting === 0
  const behind = operations.started
    ? `${waiting} of ${counts.total} indexes do not serve yet`
    : null
  const done = infos.reduce((sum, info) => sum + (info.state === 'loading' ? info.progress : 0), 0)
  const { name, version, instructionSet } = operations.engine
  return {
    ready,
    reason: ready ? null : (behind ?? 'the buckets are being read'),
    progress: progressOf(ready, (counts.ready + done) / Math.max(1, counts.total)),
    indexes: counts,
    engine: { name, version, instruction_set: instructionSet },
  }
}

/** Before the end it never says 1: a client that waits for 1 would not be told the truth. */
function progressOf(ready: boolean, part: number): number {
  return ready ? 1 : Math.min(0.999, Math.round(1000 * part) / 1000)
}

function healthWord(options: OperationRoutesOptions): string {
  if (!readiness(options).ready) return 'starting'
  const isDegraded = options.indexes.list().some((index) => index.info.state === 'degraded')
  return isDegraded ? 'degraded' : 'ok'
}
