/**
 * /vectors/indexes/{index}/…: checkpoint, verify, health.
 */

import { Type, type FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import { findIndex, type IndexRoutesOptions } from '../src/http/index-access.ts'
import { IndexParams, Lsn, Name, NoQuery, Nullable, replies } from '../src/http/schemas.ts'

const STRICT = { additionalProperties: false } as const
const TAGS = ['maintenance']
const Count = Type.Integer({ minimum: 0 })

const CheckpointJson = Type.Object(
  { lsn: Lsn, written: Type.Boolean({ description: 'False where nothing had changed.' }) },
  STRICT,
)

const VerifyJson = Type.Object(
  {
    clean: Type.Boolean(),
    faults: Type.Array(Type.Object({ what: Type.String(), detail: Type.String() }, STRICT)),
    log_records: Count,
    live_points: Count,
  },
  STRICT,
)

const HealthJson = Type.Object(
  {
    name: Name,
    state: Type.String(),
    reason: Nullable(Type.String()),
    progress: Type.Number({ minimum: 0, maximum: 1 }),
    lsn: Lsn,
    checkpoint_lsn: Lsn,
    points: Nullable(Count),
    delta_points: Nullable(Count),
    graph_elements: Nullable(Count),
    tombstones: Nullable(Count),
  },
  STRICT,
)

const CHECKPOINT = {
  config: { role: 'write' },
  schema: {
    tags: TAGS,
    summary: 'Write a checkpoint now',
    params: IndexParams,
    querystring: NoQuery,
    response: replies({ 200: CheckpointJson }),
  },
} as const

const VERIFY = {
  config: { role: 'write' },
  schema: {
    tags: TAGS,
    summary: 'Check log, checkpoint and shards against each other',
    params: IndexParams,
    querystring: NoQuery,
    response: replies({ 200: VerifyJson }),
  },
} as const

const HEALTH = {
  config: { role: 'read' },
  schema: {
    tags: TAGS,
    summary: 'State of an index and its counts',
    params: IndexParams,
    querystring: NoQuery,
    response: replies({ 200: HealthJson }),
  },
} as const

export const maintenanceRoutes: FastifyPluginCallbackTypebox<IndexRoutesOptions> = (
  app,
  { indexes },
  done,
) => {
  app.post('/vectors/indexes/:index/checkpoint', CHECKPOINT, async (request) => {
    const { lsn, written } = await findIndex(indexes, request, request.params.index).checkpoint()
    return { lsn, written }
  })

  app.post('/vectors/indexes/:index/verify', VERIFY, async (request) => {
    const report = await findIndex(indexes, request, request.params.index).verify()
    return {
      clean: report.clean,
      faults: report.faults.map(({ what, detail }) => ({ what, detail })),
      log_records: report.logRecords,
      live_points: report.livePoints,
    }
  })

  app.get('/vectors/indexes/:index/health', HEALTH, (request) => {
    const { info } = findIndex(indexes, request, request.params.index)
    const { name, state, reason, progress, lsn, checkpointLsn, stats } = info
    return {
      ...{ name, state, reason, progress, lsn },
      checkpoint_lsn: checkpointLsn,
      points: stats?.livePoints ?? null,
      delta_points: stats?.deltaPoints ?? null,
      graph_elements: stats?.graphElements ?? null,
      tombstones: stats?.tombstones ?? null,
    }
  })
  done()
}
