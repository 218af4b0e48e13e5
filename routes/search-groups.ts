/**
 * /vectors/indexes/{index}/search/groups: the best groups of points that share a value, as the chunks
 * of one document do.
 */

import { Type, type FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import type { Hit, HybridHit, SearchPath } from '../src/domain/search.ts'
import {
  checkGroups,
  GROUP_SIZE_DEFAULT,
  GROUP_SIZE_MAX,
  parseGroups,
} from '../src/http/groups-body.ts'
import { findIndex, shapeOf } from '../src/http/index-access.ts'
import { IndexParams, JSON_TYPE, Lsn, NoQuery, replies } from '../src/http/schemas.ts'
import { parseSearch } from '../src/http/search-body.ts'
import { groupsJson } from '../src/http/search-reply.ts'
import { documentOnly } from '../src/http/validators.ts'
import { SEARCHES_MAX, searchGroups } from '../src/services/grouped-search.ts'
import { searchText } from '../src/services/text-search.ts'
import { HitJson, type SearchRoutesOptions } from './search.ts'

const STRICT = { additionalProperties: false } as const

const GroupsBody = Type.Object(
  {
    group_by: Type.String({
      minLength: 1,
      description:
        'A field of the metadata, dotted where it is nested. Points in which it is no string, ' +
        'number or boolean form no group.',
    }),
    group_size: Type.Integer({
      minimum: 1,
      maximum: GROUP_SIZE_MAX,
      default: GROUP_SIZE_DEFAULT,
      description: 'Hits of each group at the most.',
    }),
    k: Type.Integer({ minimum: 1, default: 10, description: 'Groups.' }),
  },
  {
    additionalProperties: true,
    description: 'And every field of a search, which mean here what they mean there.',
    required: ['group_by'],
  },
)

const GroupsReply = Type.Object(
  {
    groups: Type.Array(
      Type.Object(
        {
          key: Type.Union([Type.String(), Type.Number(), Type.Boolean()]),
          hits: Type.Array(HitJson, { minItems: 1, description: 'Nearest first.' }),
        },
        STRICT,
      ),
      { description: 'In the order of their nearest hits.' },
    ),
    exhausted: Type.Boolean({ description: 'Fewer than k groups match at all.' }),
    complete: Type.Boolean({
      description:
        `False where ${SEARCHES_MAX} searches of the largest k did not bring every group, or not ` +
        'every hit of one: what is there is still the nearest.',
    }),
    searches: Type.Integer({ minimum: 1, description: 'What it took.' }),
    config_source: Type.String({ description: 'default, or promoted:{trial_id}.' }),
    lsn: Lsn,
    took_ms: Type.Number(),
  },
  STRICT,
)

const SEARCH_GROUPS = {
  config: { role: 'read' },
  schema: {
    tags: ['search'],
    summary: 'Search for groups of points that share a value, as the chunks of a document do',
    params: IndexParams,
    querystring: NoQuery,
    body: documentOnly(GroupsBody),
    response: replies({ 200: Type.Unsafe<string>(GroupsReply) }),
  },
} as const

export const searchGroupRoutes: FastifyPluginCallbackTypebox<SearchRoutesOptions> = (
  app,
  options,
  done,
) => {
  const { indexes, limits, metrics, nowMs, embedderOf } = options
  app.post('/vectors/indexes/:index/search/groups', SEARCH_GROUPS, async (request, reply) => {
    const index = findIndex(indexes, request, request.params.index)
    const { field, groupSize, search } = parseGroups(request.body)
    const rules = { ...shapeOf(index), limits, embed: embedderOf(request.params.index) }
    const wanted = parseSearch(search, rules)
    const { rest, minLsn, timeoutMs, asBase64, highlighted } = wanted
    checkGroups({ groups: rest.k, groupSize }, limits)
    const startMs = performance.now()
    const read = {
      ...{ minLsn, deadlineMs: nowMs() + timeoutMs, requestId: request.id },
      // Filters of its own making say nothing about the searches of clients.
      onNeighbours: () => undefined,
    }
    const include = { ...rest.include, metadata: true }
    let path: SearchPath = 'exact'
    const answer = await searchGroups<Hit>({
      ...{ field, groups: rest.k, groupSize, filter: rest.filter, kMax: limits.kMax },
      compare: (one, other) => compareHits(one, other),
      search: async (k, filter) => {
        const beforeMs = performance.now()
        const target = { target: wanted.target, rest: { ...rest, k, filter, include } }
        const found = await searchText(index, target, read)
        path = found.path
        metrics.searched(path, (performance.now() - beforeMs) / 1000)
        return found
      },
    })
    const form = {
      ...{ include: wanted.include, asBase64, highlighted },
      ...{ metric: rules.metric, configSource: index.configSource },
    }
    reply.header('x-vectord-lsn', answer.lsn).header('content-type', JSON_TYPE)
    return reply.send(groupsJson({ ...answer, path }, form, performance.now() - startMs))
  })
  done()
}

/**
 * Ranks of hybrid searches with different filters cannot be compared: their hits stay as they were
 * found, and those of a later search are worse.
 */
function compareHits(one: Hit | HybridHit, other: Hit | HybridHit): number {
  return 'fused' in one ? 0 : one.distance - other.distance
}
