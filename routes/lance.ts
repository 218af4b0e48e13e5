/**
 * /vectors/lance/…: what only Lance indexes have. Points and searches have the routes of every index;
 * these add settings of a search, appends of new points, and versions of the table.
 */

import {
  Type,
  type FastifyPluginCallbackTypebox,
  type Static,
} from '@fastify/type-provider-typebox'
import type { FastifyRequest } from 'fastify'
import { LANCE_BOUNDS, lanceToJson } from '../src/domain/lance-settings.ts'
import type { LanceSearchSettings, LanceStats } from '../src/domain/lance-table.ts'
import { badField, isObject } from '../src/http/body-field.ts'
import { installLateJson, RawBody } from '../src/http/body-parsers.ts'
import { deadlineOf, findIndex, includeOf, shapeOf } from '../src/http/index-access.ts'
import { ParseTurns } from '../src/http/parse-turns.ts'
import { parsePoints } from '../src/http/points-body.ts'
import { checkId } from '../src/http/read-query.ts'
import {
  IndexParams,
  JSON_TYPE,
  Lsn,
  Name,
  NoQuery,
  Nullable,
  ReadQuery,
  replies,
  WriteQuery,
  WriteReply,
} from '../src/http/schemas.ts'
import { parseSearch } from '../src/http/search-body.ts'
import { pointJson, searchJson } from '../src/http/search-reply.ts'
import { documentOnly } from '../src/http/validators.ts'
import type { LanceIndex } from '../src/indexes/lance-index.ts'
import { VectordError } from '../src/lib/errors.ts'
import { searchText } from '../src/services/text-search.ts'
import { bounds, LanceJson } from './index-answers.ts'
import { StoredPointJson, UpsertBody } from './points.ts'
import { SearchBody, SearchReply, type SearchRoutesOptions } from './search.ts'

const STRICT = { additionalProperties: false } as const
const TAGS = ['lance']
const Count = Type.Integer({ minimum: 0 })

const LanceSearchBody = Type.Object(
  {
    ...SearchBody.properties,
    nprobes: Type.Optional(Type.Integer(bounds(LANCE_BOUNDS.nprobes))),
    refine_factor: Type.Optional(
      Nullable(
        Type.Integer({
          ...bounds(LANCE_BOUNDS.refineFactor),
          description:
            'Candidates for each of k whose exact distances are computed; null: distances are ' +
            'those of the index, which are not exact.',
        }),
      ),
    ),
  },
  { ...STRICT, required: [], description: 'As a search of any index, with settings of its own.' },
)

const StatsJson = Type.Object(
  {
    index: Name,
    rows: Count,
    version: Lsn,
    fragments: { ...Count, description: 'Files of rows: merged when there are many.' },
    bytes: Type.Integer({ minimum: 0, description: 'Of all versions, and of the indices.' }),
    settings: LanceJson,
    indices: Type.Array(
      Type.Object(
        {
          name: Type.String(),
          column: Type.String(),
          kind: Type.String(),
          indexed_rows: Count,
          unindexed_rows: { ...Count, description: 'Found too, one by one.' },
        },
        STRICT,
      ),
    ),
  },
  STRICT,
)

const VersionsJson = Type.Object(
  {
    index: Name,
    versions: Type.Array(Type.Object({ version: Lsn, created_at: Type.String() }, STRICT), {
      description: 'Those that can still be read, oldest first.',
    }),
  },
  STRICT,
)

const DocParams = Type.Object({ index: Name, doc_id: Type.String({ minLength: 1 }) }, STRICT)

const DocQuery = Type.Object(
  {
    ...ReadQuery,
    as_of: Type.Optional(
      Type.Integer({ minimum: 1, description: 'The point as it was in this version.' }),
    ),
  },
  STRICT,
)

const SEARCH = {
  config: { role: 'read' },
  schema: {
    tags: TAGS,
    summary: "Search a Lance index with settings of one's own",
    params: IndexParams,
    querystring: NoQuery,
    body: documentOnly(LanceSearchBody),
    response: replies({ 200: Type.Unsafe<string>(SearchReply) }),
  },
} as const

const APPEND = {
  config: { role: 'write' },
  schema: {
    tags: TAGS,
    summary: 'Append points that are new, all or none',
    description: 'An id that is there is refused: 409. Nothing that is there is written anew.',
    params: IndexParams,
    querystring: WriteQuery,
    body: UpsertBody,
    response: replies({ 200: WriteReply }),
  },
} as const

const STATS = {
  config: { role: 'read' },
  schema: {
    tags: TAGS,
    summary: 'Rows, files and indices of the table',
    params: IndexParams,
    querystring: NoQuery,
    response: replies({ 200: StatsJson }),
  },
} as const

const DOC = {
  config: { role: 'read' },
  schema: {
    tags: TAGS,
    summary: 'One point, as it is or as it was in a version',
    params: DocParams,
    querystring: DocQuery,
    response: replies({ 200: Type.Unsafe<string>(StoredPointJson) }),
  },
} as const

const VERSIONS = {
  config: { role: 'read' },
  schema: {
    tags: TAGS,
    summary: 'Versions of the table that can be read, by as_of',
    params: IndexParams,
    querystring: NoQuery,
    response: replies({ 200: VersionsJson }),
  },
} as const

export interface LanceRoutesOptions extends SearchRoutesOptions {
  /** @throws {VectordError} `wrong_backend` for one of another backend. */
  readonly lanceIndex: (name: string) => LanceIndex
}

export const lanceRoutes: FastifyPluginCallbackTypebox<LanceRoutesOptions> = (
  app,
  options,
  done,
) => {
  // In a scope of its own: its bodies are parsed when their turn comes.
  app.register(appends, options)
  searches(app, options, () => undefined)
  reads(app, options, () => undefined)
  done()
}

function findLance(
  { indexes, lanceIndex }: LanceRoutesOptions,
  request: FastifyRequest,
  name: string,
): LanceIndex {
  findIndex(indexes, request, name)
  return lanceIndex(name)
}

const appends: FastifyPluginCallbackTypebox<LanceRoutesOptions> = (app, options, done) => {
  const { limits, metrics } = options
  const turns = new ParseTurns()
  installLateJson(app)

  app.post('/vectors/lance/append/:index', APPEND, async (request, reply) => {
    const index = findLance(options, request, request.params.index)
    const deadlineMs = deadlineOf(options, request.query.deadline_ms)
    const { body } = request
    const batch = await turns.run(body instanceof RawBody ? body.bytes.length : 0, () => {
      index.checkWritable()
      return parsePoints(body, { ...shapeOf(index), limits, takesTexts: index.takesTexts })
    })
    const { lsn } = await index.append(batch, { ack: 'applied', deadlineMs })
    metrics.wrote('upsert', batch.ids.length)
    return reply.header('x-vectord-lsn', lsn).send({ lsn, accepted: batch.ids.length })
  })
  done()
}

const searches: FastifyPluginCallbackTypebox<LanceRoutesOptions> = (app, options, done) => {
  const { limits, metrics, nowMs, observe, embedderOf } = options

  app.post('/vectors/lance/search/:index', SEARCH, async (request, reply) => {
    const name = request.params.index
    const index = findLance(options, request, name)
    const { settings, search } = parseSettings(request.body)
    const rules = { ...shapeOf(index), limits, embed: embedderOf(name) }
    const wanted = parseSearch(search, rules)
    const { minLsn, timeoutMs, asBase64, include, highlighted } = wanted
    const startMs = performance.now()
    const tuned = {
      search: (...asked: Parameters<LanceIndex['search']>) =>
        index.search(asked[0], asked[1], settings),
    }
    const answer = await searchText(tuned, wanted, {
      ...{ minLsn, deadlineMs: nowMs() + timeoutMs, requestId: request.id },
      onNeighbours: (seen) => {
        // Settings of one's own say nothing about those of the index.
        if (Object.keys(settings).length > 0) return
        observe({ index: name, requestId: request.id, ...seen })
      },
    })
    const tookMs = performance.now() - startMs
    metrics.searched(answer.path, tookMs / 1000)
    const form = {
      ...{ include, asBase64, highlighted },
      ...{ metric: rules.metric, configSource: index.configSource, asOf: wanted.rest.asOf },
    }
    reply.header('x-vectord-lsn', answer.lsn).header('content-type', JSON_TYPE)
    return reply.send(searchJson(answer, form, tookMs))
  })
  done()
}

const reads: FastifyPluginCallbackTypebox<LanceRoutesOptions> = (app, options, done) => {
  app.get('/vectors/lance/stats/:index', STATS, async (request) => {
    const index = findLance(options, request, request.params.index)
    const bounds = { deadlineMs: deadlineOf(options, undefined) }
    return statsJson(request.params.index, index, await index.table.stats(bounds))
  })

  app.get('/vectors/lance/versions/:index', VERSIONS, async (request) => {
    const { table } = findLance(options, request, request.params.index)
    const bounds = { deadlineMs: deadlineOf(options, undefined) }
    const versions = (await table.versions(bounds)).map(({ version, createdMs }) => {
      return { version, created_at: new Date(createdMs).toISOString() }
    })
    return { index: request.params.index, versions }
  })

  app.get('/vectors/lance/doc/:index/:doc_id', DOC, async (request, reply) => {
    const { index: name, doc_id: id } = request.params
    checkId(id, options.limits)
    const { vector_encoding, min_lsn, deadline_ms, as_of } = request.query
    const include = includeOf(request.query.include)
    const read = { minLsn: min_lsn ?? 0, deadlineMs: deadlineOf(options, deadline_ms) }
    const index = findLance(options, request, name)
    const { points, lsn } = await index.fetchAsOf([id], include, read, as_of ?? null)
    reply.header('x-vectord-lsn', lsn)
    const point = points[0] ?? null
    if (point === null) throw notThere(name)
    const form = { include, asBase64: vector_encoding === 'base64' }
    return reply.header('content-type', JSON_TYPE).send(pointJson(point, form))
  })
  done()
}

/** The settings of the body, and the search that is left. */
function parseSettings(body: unknown): {
  readonly settings: Partial<LanceSearchSettings>
  readonly search: unknown
} {
  if (!isObject(body)) throw badField('', 'must be an object')
  const { nprobes, refine_factor, ...search }: Record<string, unknown> = body
  return {
    settings: {
      ...(nprobes !== undefined && { nprobes: setting(nprobes, 'nprobes', LANCE_BOUNDS.nprobes) }),
      ...(refine_factor !== undefined && {
        refineFactor:
          refine_factor === null
            ? null
            : setting(refine_factor, 'refine_factor', LANCE_BOUNDS.refineFactor),
      }),
    },
    search,
  }
}

function setting(value: unknown, field: string, [min, max]: readonly [number, number]): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max) {
    return value
  }
  throw badField(field, `must be an integer from ${min} to ${max}`)
}

function statsJson(
  name: string,
  { settings }: LanceIndex,
  stats: LanceStats,
): Static<typeof StatsJson> {
  const { rows, version, fragments, bytes, indices } = stats
  return {
    ...{ index: name, rows, version, fragments, bytes, settings: lanceToJson(settings) },
    indices: indices.map(({ name: of, column, kind, indexedRows, unindexedRows }) => ({
      ...{ name: of, column, kind, indexed_rows: indexedRows, unindexed_rows: unindexedRows },
    })),
  }
}

function notThere(index: string): VectordError {
  return new VectordError('point_not_found', 'The index has no point with this id.', {
    details: { index },
  })
}
