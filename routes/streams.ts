/**
 * /vectors/indexes/{index}/stream: points that are answered when they are durable, within a bounded
 * buffer, and the dead letters of those that could not be written.
 *
 * Only a 202 means that every point was accepted. Any other answer tells in `details.accepted` how
 * many of the first points were, and in `first_refused` where to go on.
 */

import {
  Type,
  type FastifyPluginCallbackTypebox,
  type Static,
} from '@fastify/type-provider-typebox'
import type { FastifyRequest, onRequestHookHandler } from 'fastify'
import { streamToJson } from '../src/domain/stream-settings.ts'
import type { UpsertBatch } from '../src/domain/write-batch.ts'
import { installLateJson, RawBody } from '../src/http/body-parsers.ts'
import {
  deadlineOf,
  findIndex,
  shapeOf,
  type IndexRoutesOptions,
} from '../src/http/index-access.ts'
import { ParseTurns } from '../src/http/parse-turns.ts'
import { parsePoints } from '../src/http/points-body.ts'
import {
  DeadlineQuery,
  IndexParams,
  Lsn,
  Metadata,
  Name,
  NoQuery,
  Nullable,
  replies,
} from '../src/http/schemas.ts'
import type { DeadLetter } from '../src/ingest/dead-letter-codec.ts'
import type { Streams, StreamStatus } from '../src/ingest/streams.ts'
import { StreamJson } from './index-answers.ts'
import { UpsertBody } from './points.ts'

export interface StreamRoutesOptions extends IndexRoutesOptions {
  readonly streams: Streams
}

const STRICT = { additionalProperties: false } as const
const TAGS = ['streams']
const PAGE_DEFAULT = 100
const PAGE_MAX = 1000

const Count = Type.Integer({ minimum: 0 })
const LetterId = Type.String({ minLength: 1, maxLength: 64 })

const TakenJson = Type.Object(
  {
    accepted: Type.Integer({ description: 'Points of the request: all of them.' }),
    lsn: Nullable(Lsn),
    dead_lettered: Type.Optional(
      Type.Integer({ minimum: 1, description: 'How many of them are dead letters.' }),
    ),
  },
  { ...STRICT, description: 'They are durable, and every later read sees them.' },
)

const StatusJson = Type.Object(
  {
    index: Name,
    settings: StreamJson,
    state: Type.Enum(['running', 'draining', 'stopped']),
    buffered_points: Type.Integer({ description: 'Points that wait for the log.' }),
    unapplied_points: Type.Integer({ description: 'Points in the log that no search sees yet.' }),
    waiting_requests: Count,
    oldest_ms: Nullable(Type.Number({ description: 'Age of the oldest point in the buffer.' })),
    drain_rate: Nullable(
      Type.Number({ description: 'Points a second while it was behind; null before it ever was.' }),
    ),
    dead_letters: Nullable(Count),
    totals: Type.Object(
      {
        accepted: Count,
        logged: Count,
        dead_lettered: Count,
        refused: Type.Integer({ description: 'Points that found no room.' }),
        failed: Type.Integer({ description: 'Points that left the buffer with an error.' }),
        retries: Type.Integer({ description: 'Batches that were tried again.' }),
      },
      { ...STRICT, description: 'Points since the start of the server.' },
    ),
    flushes: Type.Object({ size: Count, time: Count, drain: Count }, STRICT),
    last_error: Nullable(
      Type.Object({ code: Type.String(), message: Type.String(), at: Type.String() }, STRICT),
    ),
  },
  STRICT,
)

const LetterJson = Type.Object(
  {
    id: LetterId,
    at: Type.String(),
    reason: Type.Object({ code: Type.String(), message: Type.String() }, STRICT),
    point: Type.Object(
      {
        id: Type.String(),
        vector: Nullable(Type.Array(Type.Number())),
        text: Nullable(Type.String()),
        metadata: Nullable(Metadata),
      },
      STRICT,
    ),
  },
  STRICT,
)

const LettersJson = Type.Object(
  { dead_letters: Type.Array(LetterJson), next_cursor: Nullable(Type.String()) },
  STRICT,
)

const RequeuedJson = Type.Object(
  {
    requeued: Type.Integer({ description: 'Letters that are gone: their points are logged.' }),
    failed: Type.Array(LetterId, { description: 'Letters whose points failed again.' }),
    lsn: Nullable(Lsn),
  },
  STRICT,
)

const TAKE = {
  config: { role: 'write' },
  schema: {
    tags: TAGS,
    summary: 'Stream points: 202 when all are durable',
    description:
      'Points of many requests share a write. What the buffer has no room for is refused with ' +
      '429: details.accepted of the first points are durable, first_refused is where to go on.',
    params: IndexParams,
    querystring: DeadlineQuery,
    body: UpsertBody,
    response: replies({ 202: TakenJson }),
  },
} as const

const STATUS = {
  config: { role: 'read' },
  schema: {
    tags: TAGS,
    summary: 'Settings, fill and totals of a stream',
    params: IndexParams,
    querystring: NoQuery,
    response: replies({ 200: StatusJson }),
  },
} as const

const LETTERS = {
  config: { role: 'read' },
  schema: {
    tags: TAGS,
    summary: 'List the points that could not be written, oldest first',
    params: IndexParams,
    querystring: Type.Object(
      {
        limit: Type.Integer({ minimum: 1, maximum: PAGE_MAX, default: PAGE_DEFAULT }),
        cursor: Type.Optional(Type.String({ minLength: 1, maxLength: 64 })),
      },
      STRICT,
    ),
    response: replies({ 200: LettersJson }),
  },
} as const

const REQUEUE = {
  config: { role: 'write' },
  schema: {
    tags: TAGS,
    summary: 'Stream dead letters again',
    description: `Those that are named, or the oldest ${PAGE_MAX}. Deleted once they are logged.`,
    params: IndexParams,
    querystring: DeadlineQuery,
    body: Type.Object(
      {
        ids: Type.Optional(
          Type.Array(LetterId, { minItems: 1, maxItems: PAGE_MAX, uniqueItems: true }),
        ),
      },
      STRICT,
    ),
    response: replies({ 200: RequeuedJson }),
  },
} as const

const DELETE = {
  config: { role: 'write' },
  schema: {
    tags: TAGS,
    summary: 'Delete a dead letter with its point',
    params: Type.Object({ index: Name, id: LetterId }, STRICT),
    querystring: NoQuery,
    response: replies({ 204: Type.Null() }),
  },
} as const

export const streamRoutes: FastifyPluginCallbackTypebox<StreamRoutesOptions> = (
  app,
  options,
  done,
) => {
  const { indexes, streams } = options
  // In a scope of its own: its bodies are parsed when their turn comes.
  app.register(takes, options)

  app.get('/vectors/indexes/:index/stream', STATUS, async (request) => {
    const { index } = request.params
    findIndex(indexes, request, index)
    return statusJson(index, await streams.status(index))
  })

  letters(app, options, () => undefined)
  done()
}

const takes: FastifyPluginCallbackTypebox<StreamRoutesOptions> = (app, options, done) => {
  const { indexes, streams, metrics, limits } = options
  const turns = new ParseTurns()
  installLateJson(app)

  // Under overload most requests are refused: that must not cost reading and parsing their bodies.
  const refuseEarly: onRequestHookHandler = (request, _reply, proceed) => {
    const { index } = request.params as { index: string }
    // A name that is wrong in any way is for the handler to tell.
    if (indexes.has(index)) streams.check(index)
    proceed()
  }

  /** A function of its own: while its points wait, nothing holds the bytes of a request. */
  const parse = (request: FastifyRequest, name: string): Promise<UpsertBatch> => {
    const { body } = request
    request.body = undefined
    const index = findIndex(indexes, request, name)
    return turns.run(body instanceof RawBody ? body.bytes.length : 0, () => {
      // Those before it may have filled the buffer: then it need not be parsed.
      streams.check(name)
      return parsePoints(body, { ...shapeOf(index), limits, takesTexts: index.takesTexts })
    })
  }

  const take = { ...TAKE, onRequest: refuseEarly }
  app.post('/vectors/indexes/:index/stream', take, async (request, reply) => {
    const { index } = request.params
    const deadlineMs = deadlineOf(options, request.query.deadline_ms)
    const { accepted, lsn, deadLettered, error } = await streams.take(
      index,
      await parse(request, index),
      deadlineMs,
    )
    metrics.wrote('upsert', accepted - deadLettered)
    if (error !== null) throw error
    if (lsn !== null) reply.header('x-vectord-lsn', lsn)
    const dead = deadLettered > 0 ? { dead_lettered: deadLettered } : {}
    return reply.code(202).send({ accepted, lsn, ...dead })
  })
  done()
}

const letters: FastifyPluginCallbackTypebox<StreamRoutesOptions> = (app, options, done) => {
  const { indexes, streams } = options

  app.get('/vectors/indexes/:index/stream/dead-letters', LETTERS, async (request) => {
    const { index } = request.params
    findIndex(indexes, request, index)
    const { limit, cursor = null } = request.query
    const page = await streams.deadLetters(index).list({ after: cursor, limit })
    return { dead_letters: page.letters.map(letterJson), next_cursor: page.next }
  })

  app.post('/vectors/indexes/:index/stream/dead-letters/requeue', REQUEUE, async (request) => {
    const { index } = request.params
    findIndex(indexes, request, index)
    const deadlineMs = deadlineOf(options, request.query.deadline_ms)
    const { ids = null } = request.body
    const done = await streams.requeue(index, ids, { deadlineMs, lettersMax: PAGE_MAX })
    if (done.error !== null) throw done.error
    return { requeued: done.requeued, failed: [...done.failed], lsn: done.lsn }
  })

  app.delete('/vectors/indexes/:index/stream/dead-letters/:id', DELETE, async (request, reply) => {
    const { index, id } = request.params
    findIndex(indexes, request, index)
    await streams.deadLetters(index).delete(id)
    return reply.code(204).send(null)
  })
  done()
}

function statusJson(index: string, status: StreamStatus): Static<typeof StatusJson> {
  const { totals, lastFault } = status
  return {
    index,
    settings: streamToJson(status.settings),
    state: status.state,
    buffered_points: status.buffered,
    unapplied_points: status.unapplied,
    waiting_requests: status.waitingRequests,
    oldest_ms: status.oldestMs,
    drain_rate: status.drainRate,
    dead_letters: status.deadLetters,
    totals: {
      accepted: totals.accepted,
      logged: totals.logged,
      dead_lettered: totals.deadLettered,
      refused: totals.refused,
      failed: totals.failed,
      retries: totals.retries,
    },
    flushes: { ...totals.flushes },
    last_error: lastFault && {
      code: lastFault.code,
      message: lastFault.message,
      at: new Date(lastFault.atMs).toISOString(),
    },
  }
}

function letterJson({ id, atMs, reason, point }: DeadLetter): Static<typeof LetterJson> {
  const { metadata } = point
  return {
    id,
    at: new Date(atMs).toISOString(),
    reason: { ...reason },
    point: {
      id: point.id,
      vector: point.vector === null ? null : [...point.vector],
      text: point.text,
      metadata: metadata === null ? null : (JSON.parse(metadata) as Static<typeof Metadata>),
    },
  }
}
