/**
 * /vectors/projection: texts that came without a vector, or whose vector is of another embedder, on
 * their way to one. It works by itself; here it is watched, waited for, and told to try again.
 *
 * A key that is limited to name prefixes sees and drains its indexes alone.
 */

import {
  Type,
  type FastifyPluginCallbackTypebox,
  type Static,
} from '@fastify/type-provider-typebox'
import { checkTouch, mayTouch } from '../src/http/auth.ts'
import { deadlineOf, findIndex, type IndexRoutesOptions } from '../src/http/index-access.ts'
import { checkId } from '../src/http/read-query.ts'
import { Name, NoQuery, Nullable, replies } from '../src/http/schemas.ts'
import { VectordError } from '../src/lib/errors.ts'
import type { FailedText } from '../src/projection/failed-texts.ts'
import type { Projection, ProjectionStatus } from '../src/projection/projection.ts'

export interface ProjectionRoutesOptions extends Pick<
  IndexRoutesOptions,
  'indexes' | 'limits' | 'nowMs'
> {
  readonly projection: Projection
}

const STRICT = { additionalProperties: false } as const
const TAGS = ['projection']
const PAGE_DEFAULT = 100
const PAGE_MAX = 1000

const Count = Type.Integer({ minimum: 0 })

const EmbedderJson = Type.Object(
  {
    name: Type.String(),
    model: Type.String(),
    version: Type.String(),
    dimension: Type.Integer(),
    normalised: Type.Boolean(),
  },
  STRICT,
)

const StatusJson = Type.Object(
  {
    index: Name,
    embedder: EmbedderJson,
    state: Type.Enum([
      ...(['idle', 'working', 'resting', 'embedder_unavailable', 'embedder_mismatch'] as const),
      ...(['not_configured', 'not_owner', 'loading'] as const),
    ]),
    pending: Nullable(
      Type.Object(
        { writes: Count, backfill: Count },
        { ...STRICT, description: 'Failed texts are among them; null while it cannot be told.' },
      ),
    ),
    failed: Count,
    freshness_s: Type.Number({
      description: 'Age of the oldest new text that waits, since this server heard of it.',
    }),
    texts_per_s: Type.Number({ description: 'Over the last minute.' }),
    totals: Type.Object(
      {
        incremental_processed: Count,
        backfill_processed: Count,
        failed: Count,
        discarded_stale: Count,
      },
      { ...STRICT, description: 'Since the start of the server.' },
    ),
    last_error: Nullable(
      Type.Object({ code: Type.String(), message: Type.String(), at: Type.String() }, STRICT),
    ),
  },
  STRICT,
)

const DrainJson = Type.Object(
  {
    outcome: Type.Enum(['idle', 'deadline', 'embedder_unavailable', 'closed'], {
      description: 'Why it ended. What cannot be embedded here now is not waited for.',
    }),
    incremental_processed: Count,
    backfill_processed: Count,
    failed: Count,
    discarded_stale: Count,
    embedder_unavailable_ticks: Count,
  },
  STRICT,
)

const FailedJson = Type.Object(
  {
    id: Type.String(),
    version: Type.Integer({ description: 'The lsn of the write of the text.' }),
    reason: Type.Object({ code: Type.String(), message: Type.String() }, STRICT),
    attempts: Type.Integer({ minimum: 1, description: 'With others or alone.' }),
    at: Type.String(),
  },
  STRICT,
)

const STATUS = {
  config: { role: 'read' },
  schema: {
    tags: TAGS,
    summary: 'How far the texts of each index are embedded, and what holds them up',
    querystring: NoQuery,
    response: replies({ 200: Type.Object({ indexes: Type.Array(StatusJson) }, STRICT) }),
  },
} as const

const DRAIN = {
  config: { role: 'write' },
  schema: {
    tags: TAGS,
    summary: 'Embed until nothing waits, the time is up or the embedder does not answer',
    querystring: NoQuery,
    body: Type.Object(
      {
        index: Type.Optional(Name),
        deadline_ms: Type.Optional(
          Type.Integer({ minimum: 1, description: 'Milliseconds; then what was done is told.' }),
        ),
      },
      STRICT,
    ),
    response: replies({ 200: DrainJson }),
  },
} as const

const FAILED = {
  config: { role: 'read' },
  schema: {
    tags: TAGS,
    summary: 'List the texts of an index that could not be embedded, oldest failure first',
    querystring: Type.Object(
      {
        index: Name,
        limit: Type.Integer({ minimum: 1, maximum: PAGE_MAX, default: PAGE_DEFAULT }),
        cursor: Type.Optional(Type.String({ minLength: 1, maxLength: 64 })),
      },
      STRICT,
    ),
    response: replies({
      200: Type.Object(
        { failed: Type.Array(FailedJson), next_cursor: Nullable(Type.String()) },
        STRICT,
      ),
    }),
  },
} as const

const REQUEUE = {
  config: { role: 'write' },
  schema: {
    tags: TAGS,
    summary: 'Try failed texts of an index again',
    querystring: NoQuery,
    body: Type.Object(
      {
        index: Name,
        ids: Type.Optional(
          Type.Array(Type.String({ minLength: 1 }), {
            ...{ minItems: 1, maxItems: PAGE_MAX, uniqueItems: true },
          }),
        ),
        all: Type.Optional(Type.Literal(true)),
      },
      { ...STRICT, description: 'Either `ids` or `all`.' },
    ),
    response: replies({
      200: Type.Object(
        {
          requeued: Count,
          unknown: Type.Array(Type.String(), {
            description: 'Those of `ids` that have not failed.',
          }),
        },
        STRICT,
      ),
    }),
  },
} as const

export const projectionRoutes: FastifyPluginCallbackTypebox<ProjectionRoutesOptions> = (
  app,
  options,
  done,
) => {
  const { indexes, projection } = options

  app.get('/vectors/projection', STATUS, async (request) => {
    const all = await projection.status((index) => mayTouch(request.caller, index))
    return { indexes: all.map(statusJson) }
  })

  app.post('/vectors/projection/drain', DRAIN, async (request) => {
    const { index = null, deadline_ms: askedMs } = request.body
    if (index !== null) {
      checkTouch(request.caller, index)
      findIndex(indexes, request, index)
    }
    const { outcome, totals, unavailableTicks } = await projection.drain({
      index,
      isSeen: (name) => mayTouch(request.caller, name),
      deadlineMs: deadlineOf(options, askedMs),
    })
    return { outcome, ...totalsJson(totals), embedder_unavailable_ticks: unavailableTicks }
  })

  app.get('/vectors/projection/failed', FAILED, async (request) => {
    const { index, limit, cursor } = request.query
    checkTouch(request.caller, index)
    findIndex(indexes, request, index)
    const { failed, next } = await projection.failed(index, placeOf(cursor), limit)
    return { failed: failed.map(failedJson), next_cursor: next === null ? null : String(next) }
  })

  app.post('/vectors/projection/requeue', REQUEUE, (request) => {
    const { index, ids, all } = request.body
    checkTouch(request.caller, index)
    findIndex(indexes, request, index)
    if ((ids === undefined) === (all === undefined)) {
      throw new VectordError('bad_request', 'The body needs either "ids" or "all".', {
        details: { part: 'body', field: 'ids', problem: 'needs to be there, or "all"' },
      })
    }
    for (const id of ids ?? []) checkId(id, options.limits)
    const { requeued, unknown } = projection.requeue(index, ids ?? null)
    return { requeued, unknown: [...unknown] }
  })
  done()
}

const CURSOR = /^[1-9]\d{0,14}$/

/** @throws {VectordError} `invalid_cursor`. */
function placeOf(cursor: string | undefined): number | null {
  if (cursor === undefined) return null
  if (CURSOR.test(cursor)) return Number(cursor)
  throw new VectordError('invalid_cursor', 'The cursor is not one of ours: start from none.')
}

function totalsJson(totals: ProjectionStatus['totals']): Static<typeof StatusJson>['totals'] {
  return {
    incremental_processed: totals.incremental,
    backfill_processed: totals.backfill,
    failed: totals.failed,
    discarded_stale: totals.discarded,
  }
}

function statusJson(status: ProjectionStatus): Static<typeof StatusJson> {
  const { index, embedder, state, pending, failed, fault } = status
  const { name, model, version, dimension, normalised } = embedder
  return {
    ...{ index, state, failed },
    embedder: { name, model, version, dimension, normalised },
    pending: pending && { writes: pending.writes, backfill: pending.backfill },
    freshness_s: status.freshnessS,
    texts_per_s: status.ratePerS,
    totals: totalsJson(status.totals),
    last_error: fault && {
      code: fault.code,
      message: fault.message,
      at: new Date(fault.atMs).toISOString(),
    },
  }
}

function failedJson({ item, reason, attempts, atMs }: FailedText): Static<typeof FailedJson> {
  return {
    id: item.id,
    version: item.version,
    reason: { ...reason },
    attempts,
    at: new Date(atMs).toISOString(),
  }
}
