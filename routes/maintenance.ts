/**
 * /vectors/indexes/{index}/…: checkpoint, verify, health.
 *
 * Long work is an operation: 202 with its id, or with `?wait=true` what comes of it.
 */

import {
  Type,
  type FastifyPluginCallbackTypebox,
  type Static,
} from '@fastify/type-provider-typebox'
import { findIndex, type IndexRoutesOptions } from '../src/http/index-access.ts'
import {
  IndexParams,
  Lsn,
  Name,
  NoQuery,
  Nullable,
  replies,
  StartedJson,
  started,
  WaitQuery,
} from '../src/http/schemas.ts'
import type { VerifyReport } from '../src/indexes/index-api.ts'
import type { Operations } from '../src/services/operations.ts'

export interface MaintenanceRoutesOptions extends IndexRoutesOptions {
  readonly operations: Operations
}

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
    querystring: WaitQuery,
    response: replies({ 200: CheckpointJson, 202: StartedJson }),
  },
} as const

const VERIFY = {
  config: { role: 'write' },
  schema: {
    tags: TAGS,
    summary: 'Check log, checkpoint and shards against each other',
    params: IndexParams,
    querystring: WaitQuery,
    response: replies({ 200: VerifyJson, 202: StartedJson }),
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

export const maintenanceRoutes: FastifyPluginCallbackTypebox<MaintenanceRoutesOptions> = (
  app,
  { indexes, operations },
  done,
) => {
  const checkpoints = operations.ofKind<Static<typeof CheckpointJson>>('checkpoint')
  const verifications = operations.ofKind<Static<typeof VerifyJson>>('verify')

  app.post('/vectors/indexes/:index/checkpoint', CHECKPOINT, async (request, reply) => {
    const { index } = request.params
    findIndex(indexes, request, index)
    const operation = checkpoints.start(index, async ({ progress }) => {
      progress('writing')
      const { lsn, written } = await indexes.get(index).checkpoint()
      return { lsn, written }
    })
    if (request.query.wait) return operation.result()
    return reply.code(202).send(started(reply, operation.id))
  })

  app.post('/vectors/indexes/:index/verify', VERIFY, async (request, reply) => {
    const { index } = request.params
    findIndex(indexes, request, index)
    const operation = verifications.start(index, async ({ progress }) => {
      progress('checking')
      return verifyJson(await indexes.get(index).verify())
    })
    if (request.query.wait) return operation.result()
    return reply.code(202).send(started(reply, operation.id))
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

function verifyJson(report: VerifyReport): Static<typeof VerifyJson> {
  return {
    clean: report.clean,
    faults: report.faults.map(({ what, detail }) => ({ what, detail })),
    log_records: report.logRecords,
    live_points: report.livePoints,
  }
}
