/**
 * /operations: how far long work is, what came of it, and cancelling it.
 *
 * A key that is limited to name prefixes sees the operations of its indexes alone; for it the others
 * do not exist.
 */

import {
  Type,
  type FastifyPluginCallbackTypebox,
  type Static,
} from '@fastify/type-provider-typebox'
import type { FastifyRequest } from 'fastify'
import { mayTouch } from '../src/http/auth.ts'
import { errorBody, toVectordError } from '../src/http/error-reply.ts'
import { FailedPart, Name, NoQuery, Nullable, replies } from '../src/http/schemas.ts'
import { VectordError } from '../src/lib/errors.ts'
import type { OperationInfo } from '../src/services/operation.ts'
import type { Operations } from '../src/services/operations.ts'
import { TUNING_RESULTS } from './tuning.ts'

export interface LongOperationRoutesOptions {
  readonly operations: Operations
}

const STRICT = { additionalProperties: false } as const
const TAGS = ['operations']
const PAGE_DEFAULT = 100
const PAGE_MAX = 1000

const Params = Type.Object({ id: Type.String({ minLength: 1, maxLength: 64 }) }, STRICT)

const OperationJson = Type.Object(
  {
    operation_id: Type.String(),
    kind: Type.String({ description: 'checkpoint, verify, …' }),
    index: Nullable(Name),
    state: Type.Enum(['queued', 'running', 'succeeded', 'failed', 'cancelled']),
    stage: Nullable(Type.String({ description: '`cancelling` once it was asked to stop.' })),
    done: Nullable(Type.Number({ minimum: 0 })),
    total: Nullable(Type.Number({ minimum: 0 })),
    eta_s: Nullable(Type.Integer({ minimum: 0, description: 'For what is left of the stage.' })),
    created_at: Type.String(),
    ended_at: Nullable(Type.String()),
    result: Type.Optional(
      Type.Object(
        {},
        { additionalProperties: true, description: 'What ?wait=true would have answered.' },
      ),
    ),
    error: Type.Optional(FailedPart.properties.error),
  },
  STRICT,
)

const PageQuery = Type.Object(
  {
    limit: Type.Integer({ minimum: 1, maximum: PAGE_MAX, default: PAGE_DEFAULT }),
    cursor: Type.Optional(Type.String()),
  },
  STRICT,
)

const PageJson = Type.Object(
  { operations: Type.Array(OperationJson), next_cursor: Nullable(Type.String()) },
  STRICT,
)

const LIST = {
  config: { role: 'read' },
  schema: {
    tags: TAGS,
    summary: 'Long work that waits, runs or has ended lately, newest first',
    querystring: PageQuery,
    response: replies({ 200: PageJson }),
  },
} as const

const READ = {
  config: { role: 'read' },
  schema: {
    tags: TAGS,
    summary: 'How far an operation is, or what came of it',
    params: Params,
    querystring: NoQuery,
    response: replies({ 200: OperationJson }),
  },
} as const

const CANCEL = {
  config: { role: 'write' },
  schema: {
    tags: TAGS,
    summary: 'Cancel an operation',
    description:
      '202 while it has yet to stop; 200 when it has ended, also if it had ended before. Work that ' +
      'cannot stop half-way, such as a checkpoint that has begun, runs to its end and succeeds.',
    params: Params,
    querystring: NoQuery,
    response: replies({ 200: OperationJson, 202: OperationJson }),
  },
} as const

export const longOperationRoutes: FastifyPluginCallbackTypebox<LongOperationRoutesOptions> = (
  app,
  { operations },
  done,
) => {
  app.get('/operations', LIST, (request) => {
    const { limit, cursor } = request.query
    const isVisible = (info: OperationInfo): boolean => maySee(request, info)
    const page = operations.list(isVisible, { after: cursor ?? null, limit })
    return { operations: page.operations.map(operationJson), next_cursor: page.next }
  })

  app.get('/operations/:id', READ, (request) =>
    operationJson(findVisible(operations, request, request.params.id)),
  )

  app.delete('/operations/:id', CANCEL, async (request, reply) => {
    const { id } = findVisible(operations, request, request.params.id)
    const after = operations.cancel(id)
    return reply.code(after.endedMs === null ? 202 : 200).send(operationJson(after))
  })
  done()
}

/** @throws {VectordError} `operation_not_found`, also for one that the caller may not know of. */
function findVisible(operations: Operations, request: FastifyRequest, id: string): OperationInfo {
  const info = operations.get(id)
  if (maySee(request, info)) return info
  throw new VectordError('operation_not_found', 'There is no such operation.')
}

function maySee({ caller }: FastifyRequest, { index }: OperationInfo): boolean {
  return index === null ? caller.prefixes === null : mayTouch(caller, index)
}

function operationJson(info: OperationInfo): Static<typeof OperationJson> {
  const { kind, index, state, stage, count, endedMs, result, error } = info
  return {
    operation_id: info.id,
    ...{ kind, index, state, stage },
    done: count?.done ?? null,
    total: count?.total ?? null,
    eta_s: info.etaS,
    created_at: new Date(info.createdMs).toISOString(),
    ended_at: endedMs === null ? null : new Date(endedMs).toISOString(),
    ...(result !== null && { result: TUNING_RESULTS[kind]?.(result as never) ?? result }),
    ...(error !== null && { error: errorJson(error) }),
  }
}

function errorJson(error: unknown): NonNullable<Static<typeof OperationJson>['error']> {
  const { code, message, retryable, details } = errorBody(toVectordError(error, false))
  return { code, message, retryable, details: { ...details } }
}
