/**
 * Pieces of schemas that several nouns share: names, errors, vectors, read and write options.
 */

import { Type, type Static, type TSchema } from '@fastify/type-provider-typebox'
import type { FastifyReply } from 'fastify'
import { NAME_PATTERN } from '../domain/names.ts'
import { ERROR_KINDS } from '../lib/errors.ts'

const STRICT = { additionalProperties: false } as const

/** Of answers that are put together by hand. */
export const JSON_TYPE = 'application/json; charset=utf-8'

/** Scrolls and lists that name no page size. */
export const PAGE_DEFAULT = 100

export const Name = Type.String({ pattern: NAME_PATTERN })

export const IndexParams = Type.Object({ index: Name }, STRICT)

export const PointParams = Type.Object({ index: Name, id: Type.String({ minLength: 1 }) }, STRICT)

export const BucketParams = Type.Object({ name: Name }, STRICT)

export const NoQuery = Type.Object({}, STRICT)

const ErrorObject = Type.Object(
  {
    code: Type.String({ enum: Object.keys(ERROR_KINDS) }),
    message: Type.String(),
    retryable: Type.Boolean(),
    details: Type.Object({}, { additionalProperties: true }),
  },
  STRICT,
)

/** What one failed query of a batch looks like in its place. */
export const FailedPart = Type.Object({ status: Type.Integer(), error: ErrorObject }, STRICT)

export const ErrorReply = Type.Object(
  {
    status: Type.Integer(),
    error: ErrorObject,
    request_id: Type.Union([Type.String(), Type.Null()]),
  },
  { ...STRICT, description: 'Every error looks like this; 429 and 503 carry Retry-After.' },
)

/** The replies of a route: `ok` by status, and the error reply for everything else. */
export function replies<T extends Record<number, TSchema>>(
  ok: T,
): T & { '4xx': typeof ErrorReply; '5xx': typeof ErrorReply } {
  return { ...ok, '4xx': ErrorReply, '5xx': ErrorReply }
}

/** An HNSW configuration as answers show it. */
export const ConfigJson = Type.Object(
  {
    m: Type.Integer(),
    ef_construction: Type.Integer(),
    ef_search: Type.Union([Type.Integer(), Type.Null()]),
    seed: Type.Integer(),
  },
  STRICT,
)

/** Query of what starts long work. */
export const WaitQuery = Type.Object(
  { wait: Type.Boolean({ default: false, description: 'Answer when it is done.' }) },
  STRICT,
)

export const StartedJson = Type.Object(
  { operation_id: Type.String({ description: 'For GET and DELETE /operations/{id}.' }) },
  STRICT,
)

/** What is answered with 202: where to ask after the operation. */
export function started(reply: FastifyReply, id: string): Static<typeof StartedJson> {
  reply.header('location', `/operations/${id}`)
  return { operation_id: id }
}

export const Lsn = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })

export const Nullable = <T extends TSchema>(schema: T): ReturnType<typeof Type.Union<[T, TNull]>> =>
  Type.Union([schema, Type.Null()])

type TNull = ReturnType<typeof Type.Null>

export const Vector = Type.Union(
  [Type.Array(Type.Number()), Type.String({ description: 'base64 of little-endian float32' })],
  { description: 'As many numbers as the index has dimensions.' },
)

export const Metadata = Type.Object(
  {},
  { additionalProperties: true, description: 'Any JSON object within the bound of its size.' },
)

export const Filter = Type.Object(
  {},
  {
    additionalProperties: true,
    description:
      'Conditions on metadata: {"year": {"$gte": 2020}, "$or": [{"lang": "en"}, …]} with $eq $ne ' +
      '$gt $gte $lt $lte $in $nin $exists $and $or $not.',
  },
)

const INCLUDES = ['metadata', 'vector', 'text', 'highlights'] as const

/** Of searches. */
export const IncludeList = Type.Array(Type.String({ enum: [...INCLUDES] }), {
  uniqueItems: true,
  description:
    'What the answer holds of each point; metadata alone by default. highlights, with "text": where ' +
    'the words of the query are in the text of the point.',
})

export const VectorEncoding = Type.String({ enum: ['array', 'base64'], default: 'array' })

const DeadlineMs = Type.Integer({
  minimum: 1,
  description: 'Milliseconds after which the answer is 504.',
})

/** Query of reads. */
export const ReadQuery = {
  include: Type.Optional(
    Type.String({
      pattern: '^(|(metadata|vector|text)(,(metadata|vector|text)){0,2})$',
      description: 'Comma-separated: metadata, vector, text. Metadata alone by default.',
    }),
  ),
  vector_encoding: Type.Optional(VectorEncoding),
  min_lsn: Type.Optional(Lsn),
  deadline_ms: Type.Optional(DeadlineMs),
}

/** Query of writes. */
export const WriteQuery = Type.Object(
  {
    ack: Type.String({
      enum: ['applied', 'logged'],
      default: 'applied',
      description: 'Answer when searchable, or already when durable.',
    }),
    deadline_ms: Type.Optional(DeadlineMs),
  },
  STRICT,
)

/** Query of writes that are answered when they are durable. */
export const DeadlineQuery = Type.Object({ deadline_ms: Type.Optional(DeadlineMs) }, STRICT)

export const WriteReply = Type.Object(
  { lsn: Lsn, accepted: Type.Integer({ description: 'Rows of the request.' }) },
  STRICT,
)
