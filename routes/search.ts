/**
 * /vectors/indexes/{index}/search: one query, or many in one request.
 *
 * The hot path of the service: bodies are parsed and answers put together by hand
 * (`src/http/search-body.ts`, `src/http/search-reply.ts`); the schemas here document them.
 */

import { Type, type FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import type { FastifyRequest } from 'fastify'
import { HIGHLIGHTS_MAX } from '../src/domain/highlights.ts'
import { SEARCH_MODES, type EmbedQuery } from '../src/domain/search-target.ts'
import { SEARCH_PATHS } from '../src/domain/search.ts'
import { badField, isObject } from '../src/http/body-field.ts'
import { errorBody, retryAfterSeconds, toVectordError } from '../src/http/error-reply.ts'
import { findIndex, shapeOf, type IndexRoutesOptions } from '../src/http/index-access.ts'
import {
  FailedPart,
  Filter,
  IncludeList,
  IndexParams,
  JSON_TYPE,
  Lsn,
  Metadata,
  NoQuery,
  Nullable,
  Vector,
  VectorEncoding,
  replies,
} from '../src/http/schemas.ts'
import { QUERY_TEXT_UNITS_MAX, type TargetRules } from '../src/http/parse-target.ts'
import { parseSearch, type SearchRequest } from '../src/http/search-body.ts'
import { searchJson } from '../src/http/search-reply.ts'
import { documentOnly } from '../src/http/validators.ts'
import type { ManagedIndex } from '../src/indexes/index-api.ts'
import { VectordError } from '../src/lib/errors.ts'
import type { SearchObserver } from '../src/services/search-observer.ts'
import { searchText } from '../src/services/text-search.ts'

const STRICT = { additionalProperties: false } as const
const TAGS = ['search']

const Rank = Nullable(Type.Integer({ minimum: 1, description: 'null: not found by that side.' }))

export const SearchBody = Type.Object(
  {
    vector: Type.Optional(Vector),
    id: Type.Optional(Type.String({ description: 'A stored point; it is left out itself.' })),
    text: Type.Optional(
      Type.String({
        ...{ minLength: 1, maxLength: QUERY_TEXT_UNITS_MAX },
        description: 'What to look for by meaning, by its words, or both: see mode.',
      }),
    ),
    mode: Type.Optional(
      Type.String({
        enum: [...SEARCH_MODES],
        description:
          'How "text" is searched: vector (embedded, the nearest points), keyword (its words in the ' +
          'texts of points, ranked by BM25; a point is found that has one of them), hybrid (both, ' +
          'joined by reciprocal rank fusion; with "vector" that one is used in place of the embedded ' +
          'text). Left out: vector where the index has an embedder, keyword where it has none. ' +
          '"exact" and "ef" concern the vector side alone.',
      }),
    ),
    k: Type.Integer({ minimum: 1, default: 10 }),
    ef: Type.Optional(Nullable(Type.Integer({ minimum: 1 }))),
    filter: Type.Optional(Nullable(Filter)),
    exact: Type.Boolean({ default: false, description: 'Ground truth by a scan.' }),
    include: IncludeList,
    vector_encoding: VectorEncoding,
    min_lsn: Type.Optional(Lsn),
    as_of: Type.Optional(
      Nullable(
        Type.Integer({
          minimum: 0,
          description:
            'Searches the points as they were right after the write of this lsn, as far as ' +
            'retention.keep_last_versions keeps them. Always exact, as with "exact"; "ef" changes ' +
            'nothing then, and "id" names the version of that time. After the last write, and with ' +
            'keywords: 400.',
        }),
      ),
    ),
    deadline_ms: Type.Optional(Type.Integer({ minimum: 1 })),
  },
  {
    ...STRICT,
    description: 'One of vector, id and text must be given; vector and text in mode hybrid.',
    required: [],
  },
)

const HighlightJson = Type.Object(
  {
    start: Type.Integer({ minimum: 0, description: 'In UTF-16 units, as JavaScript counts.' }),
    end: Type.Integer({ minimum: 1, description: 'Exclusive.' }),
    term: Type.String({ description: 'The word as it is compared: folded, in lower case.' }),
  },
  STRICT,
)

export const HitJson = Type.Object(
  {
    id: Type.String(),
    score: Nullable(
      Type.Number({
        description: 'Larger is closer. In mode keyword BM25, in mode hybrid that of the fusion.',
      }),
    ),
    distance: Nullable(
      Type.Number({
        description: 'Smaller is closer; null where the vector side did not find it.',
      }),
    ),
    ranks: Type.Optional(
      Type.Object(
        { vector: Rank, keyword: Rank },
        { ...STRICT, description: 'Of mode hybrid: the places among the candidates of each side.' },
      ),
    ),
    version: Lsn,
    metadata: Type.Optional(Nullable(Metadata)),
    text: Type.Optional(Nullable(Type.String())),
    vector: Type.Optional(Nullable(Vector)),
    highlights: Type.Optional(
      Type.Array(HighlightJson, {
        maxItems: HIGHLIGHTS_MAX,
        description: 'In order; the first ones.',
      }),
    ),
  },
  STRICT,
)

export const SearchReply = Type.Object(
  {
    results: Type.Array(HitJson, { description: 'Nearest first.' }),
    path: Type.Enum([...SEARCH_PATHS]),
    ef_used: Type.Integer({ description: '0 on the exact path.' }),
    generation: Type.Integer(),
    config_source: Type.String({ description: 'default, or promoted:{trial_id}.' }),
    exhausted: Type.Boolean({
      description: 'Fewer than k live points match at all; of keywords, have one of the words.',
    }),
    lsn: Lsn,
    as_of: Type.Optional(
      Type.Object(
        {
          lsn: Lsn,
          complete: Type.Boolean({
            description: 'False where a version that held then may have been given up since.',
          }),
          complete_from: Type.Integer({
            minimum: 0,
            description: 'As of this lsn and later nothing is missing.',
          }),
        },
        { ...STRICT, description: 'Only where the query had it.' },
      ),
    ),
    took_ms: Type.Number(),
  },
  STRICT,
)

const BatchBody = Type.Object({ queries: Type.Array(SearchBody, { minItems: 1 }) }, STRICT)

const BatchReply = Type.Object(
  {
    answers: Type.Array(Type.Union([SearchReply, FailedPart]), {
      description: 'In the order of the queries; a failed one has its error in its place.',
    }),
  },
  STRICT,
)

const SEARCH = {
  config: { role: 'read' },
  schema: {
    tags: TAGS,
    summary: 'Search by vector, by the id of a stored point, or by text',
    params: IndexParams,
    querystring: NoQuery,
    body: documentOnly(SearchBody),
    response: replies({ 200: Type.Unsafe<string>(SearchReply) }),
  },
} as const

const BATCH = {
  config: { role: 'read' },
  schema: {
    tags: TAGS,
    summary: 'Many searches in one request',
    params: IndexParams,
    querystring: NoQuery,
    body: documentOnly(BatchBody),
    response: replies({ 200: Type.Unsafe<string>(BatchReply) }),
  },
} as const

export interface SearchRoutesOptions extends IndexRoutesOptions {
  /** Told of every search for neighbours after it was answered. */
  readonly observe: SearchObserver
  /** What makes vectors of queries of an index; null where it has no embedder. */
  readonly embedderOf: (index: string) => EmbedQuery | null
}

export const searchRoutes: FastifyPluginCallbackTypebox<SearchRoutesOptions> = (
  app,
  options,
  done,
) => {
  const { indexes, limits } = options
  const run = searcher(options)
  const answer = searchAnswer(options)

  app.post('/vectors/indexes/:index/search', SEARCH, async (request, reply) => {
    const call = { index: request.params.index, search: request.body }
    const found = await answer(request, call)
    reply.header('x-vectord-lsn', found.lsn).header('content-type', JSON_TYPE)
    return reply.send(found.json)
  })

  app.post('/vectors/indexes/:index/search/batch', BATCH, async (request, reply) => {
    const index = findIndex(indexes, request, request.params.index)
    const rules = rulesOf(options, index, request.params.index)
    const queries = parseBatch(request.body, limits.batchQueriesMax)
    const answers = await Promise.all(
      queries.map(async (query, i) => {
        try {
          const requestId = `${request.id}.${i}`
          return await run(index, parseSearch(query, rules), {
            ...{ rules, name: request.params.index, requestId },
          })
        } catch (error) {
          return { lsn: null, json: failedJson(request, error, options) }
        }
      }),
    )
    const seen = answers.flatMap(({ lsn }) => (lsn === null ? [] : [lsn]))
    // Every answer has seen at least this much.
    if (seen.length > 0) reply.header('x-vectord-lsn', Math.min(...seen))
    reply.header('content-type', JSON_TYPE)
    return reply.send(`{"answers":[${answers.map(({ json }) => json).join(',')}]}`)
  })
  done()
}

/** Which index is searched, and the body of the search. */
export interface SearchCall {
  readonly index: string
  readonly search: unknown
}

/** Answers one search, as every route does that is one. */
export function searchAnswer(
  options: SearchRoutesOptions,
): (request: FastifyRequest, call: SearchCall) => Promise<Found> {
  const { indexes } = options
  const run = searcher(options)
  return async (request, { index: name, search }) => {
    const index = findIndex(indexes, request, name)
    const rules = rulesOf(options, index, name)
    const asked = { rules, name, requestId: request.id }
    return run(index, parseSearch(search, rules), asked)
  }
}

function rulesOf(
  { limits, embedderOf }: SearchRoutesOptions,
  index: ManagedIndex,
  name: string,
): TargetRules {
  return { ...shapeOf(index), limits, embed: embedderOf(name) }
}

/** An answer as it is sent. */
export interface Found {
  readonly lsn: number
  readonly json: string
}

interface Asked {
  readonly name: string
  readonly rules: TargetRules
  readonly requestId: string
}

type Run = (index: ManagedIndex, wanted: SearchRequest, asked: Asked) => Promise<Found>

function searcher({ nowMs, metrics, observe }: SearchRoutesOptions): Run {
  return async (index, wanted, { name, rules, requestId }) => {
    const { minLsn, timeoutMs, asBase64, include, highlighted } = wanted
    const startMs = performance.now()
    const answer = await searchText(index, wanted, {
      ...{ minLsn, deadlineMs: nowMs() + timeoutMs, requestId },
      onNeighbours: (seen) => {
        observe({ index: name, requestId, ...seen })
      },
    })
    const tookMs = performance.now() - startMs
    metrics.searched(answer.path, tookMs / 1000)
    const form = {
      ...{ include, asBase64, highlighted },
      ...{ metric: rules.metric, configSource: index.configSource, asOf: wanted.rest.asOf },
    }
    return { lsn: answer.lsn, json: searchJson(answer, form, tookMs) }
  }
}

function parseBatch(body: unknown, queriesMax: number): readonly unknown[] {
  if (!isObject(body)) throw badField('', 'must be an object with queries')
  const { queries, ...more } = body as { queries?: unknown }
  if (Object.keys(more).length > 0) throw badField('', 'has a field that is not known')
  if (!Array.isArray(queries)) throw badField('queries', 'must be an array')
  if (queries.length === 0) throw badField('queries', 'must not be empty')
  if (queries.length <= queriesMax) return queries as unknown[]
  throw new VectordError('limit_exceeded', `A batch may hold ${queriesMax} queries at the most.`, {
    details: { limit: 'queries_per_batch', max: queriesMax },
  })
}

/** The error of one query in its place: with the hint that would be a header of its own reply. */
function failedJson(
  request: FastifyRequest,
  error: unknown,
  { metrics }: IndexRoutesOptions,
): string {
  const known = toVectordError(error, false)
  metrics.failed(known.code)
  if (known.code === 'internal') {
    request.log.error({ requestId: request.id, err: error }, 'query of a batch failed')
  }
  const body = errorBody(known)
  const retryAfter = retryAfterSeconds(known)
  const details =
    retryAfter === null ? body.details : { ...body.details, retry_after_s: retryAfter }
  return JSON.stringify({ status: known.status, error: { ...body, details } })
}
