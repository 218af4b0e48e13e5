/**
 * /vectors/indexes/{index}/…: rebuild, compact, generations.
 */

import { configToJson } from '../src/domain/hnsw-config.ts'
import {
  Type,
  type FastifyPluginCallbackTypebox,
  type Static,
  type TObject,
} from '@fastify/type-provider-typebox'
import { GENERATION_STATES, type GenerationInfo } from '../src/domain/search.ts'
import { findIndex, type IndexRoutesOptions } from '../src/http/index-access.ts'
import {
  ConfigJson,
  IndexParams,
  NoQuery,
  Nullable,
  replies,
  StartedJson,
  started,
  WaitQuery,
} from '../src/http/schemas.ts'
import type { Rebuilt } from '../src/indexes/rebuild.ts'
import type { Rebuilds } from '../src/services/rebuilds.ts'

export interface GenerationRoutesOptions extends IndexRoutesOptions {
  readonly rebuilds: Pick<Rebuilds, 'start' | 'compact'>
}

const STRICT = { additionalProperties: false } as const
const TAGS = ['maintenance']
const Count = Type.Integer({ minimum: 0 })

const RebuiltJson = Type.Object(
  {
    generation: Count,
    before: Count,
    source: Type.Enum(['current', 'kept', 'cached', 'grown', 'built'], {
      description: 'Where the graph came from; `current` where nothing had to change.',
    }),
  },
  STRICT,
)

const CompactedJson = Type.Object(
  {
    ...RebuiltJson.properties,
    rows_dropped: Type.Integer({ minimum: 0, description: 'Dead rows that left memory.' }),
    graphs_dropped: Type.Integer({
      minimum: 0,
      description: 'Kept and cached graphs that were mostly of no use any more.',
    }),
  },
  STRICT,
)

const GenerationJson = Type.Object(
  {
    generation: Count,
    state: Type.Enum([...GENERATION_STATES]),
    config: ConfigJson,
    graph_id: Nullable(Type.String()),
    elements: Count,
    tombstones: Count,
    delta_points: Count,
  },
  STRICT,
)

const GenerationsJson = Type.Object(
  {
    published: Nullable(Count),
    config: ConfigJson,
    config_source: Type.String(),
    generations: Type.Array(GenerationJson),
  },
  STRICT,
)

const post = <T extends TObject>(summary: string, description: string, outcome: T) =>
  ({
    config: { role: 'write' },
    schema: {
      ...{ tags: TAGS, summary, description },
      params: IndexParams,
      querystring: WaitQuery,
      response: replies({ 200: outcome, 202: StartedJson }),
    },
  }) as const

const REBUILD = post(
  'Build a new graph beside serving and publish it',
  'With the configuration that is promoted, else that of the index. Searches and writes go on.',
  RebuiltJson,
)

const COMPACT = post(
  'Free memory and bucket of dead points',
  'Builds the graph anew, takes dead rows out of memory, and writes a checkpoint that holds none' +
    ' of them and takes the place of all before it. Searches and writes go on.',
  CompactedJson,
)

const GENERATIONS = {
  config: { role: 'read' },
  schema: {
    tags: TAGS,
    summary: 'Generations in memory and kept, and the configuration that is wanted',
    params: IndexParams,
    querystring: NoQuery,
    response: replies({ 200: GenerationsJson }),
  },
} as const

export const generationRoutes: FastifyPluginCallbackTypebox<GenerationRoutesOptions> = (
  app,
  { indexes, rebuilds },
  done,
) => {
  app.post('/vectors/indexes/:index/rebuild', REBUILD, async (request, reply) => {
    const { index } = request.params
    findIndex(indexes, request, index)
    const operation = rebuilds.start(index, { always: true, supersede: false })
    if (request.query.wait) return rebuiltJson(await operation.result())
    return reply.code(202).send(started(reply, operation.id))
  })

  app.post('/vectors/indexes/:index/compact', COMPACT, async (request, reply) => {
    const { index } = request.params
    findIndex(indexes, request, index)
    const operation = rebuilds.compact(index, { graph: true })
    if (request.query.wait) return operation.result()
    return reply.code(202).send(started(reply, operation.id))
  })

  app.get('/vectors/indexes/:index/generations', GENERATIONS, (request) => {
    const { config, stats } = findIndex(indexes, request, request.params.index).info
    return {
      published: stats?.generation ?? null,
      config: configToJson(config.hnsw),
      config_source: config.source,
      generations: (stats?.generations ?? []).map(generationJson),
    }
  })
  done()
}

function rebuiltJson({ generation, before, source }: Rebuilt): Static<typeof RebuiltJson> {
  return { generation, before, source }
}

function generationJson(info: GenerationInfo): Static<typeof GenerationJson> {
  const { generation, state, config, elements, tombstones } = info
  return {
    ...{ generation, state, elements, tombstones },
    config: configToJson(config),
    graph_id: info.graphId,
    delta_points: info.deltaPoints,
  }
}
