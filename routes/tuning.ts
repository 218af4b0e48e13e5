/**
 * POST /vectors/hnsw/trial, POST /vectors/hnsw/autotune: try one configuration, or a grid of them.
 */

import {
  Type,
  type FastifyPluginCallbackTypebox,
  type Static,
} from '@fastify/type-provider-typebox'
import { HNSW_BOUNDS, HNSW_DEFAULTS, type HnswConfig } from '../src/domain/hnsw-config.ts'
import { findIndex, type IndexRoutesOptions } from '../src/http/index-access.ts'
import { Name, Nullable, replies, StartedJson, started, WaitQuery } from '../src/http/schemas.ts'
import { trialToJson } from '../src/journal/trial-codec.ts'
import { DEFAULT_GRID, type AutotuneOutcome, type Tuning } from '../src/services/tuning.ts'
import { ChangedJson } from './promotion-schemas.ts'
import { changedJson } from './promotions.ts'
import { TrialJson } from './trials.ts'

export interface TuningRoutesOptions extends Pick<IndexRoutesOptions, 'indexes'> {
  readonly tuning: Tuning
}

const STRICT = { additionalProperties: false } as const
const TAGS = ['tuning']
const GRID_MAX = 64
const NOTE_MAX = 1000

const bounds = ([minimum, maximum]: readonly [number, number]): {
  minimum: number
  maximum: number
} => ({ minimum, maximum })

const ConfigBody = Type.Object(
  {
    m: Type.Integer({ ...bounds(HNSW_BOUNDS.m), default: HNSW_DEFAULTS.m }),
    ef_construction: Type.Integer({
      ...bounds(HNSW_BOUNDS.efConstruction),
      default: HNSW_DEFAULTS.efConstruction,
    }),
    ef_search: Type.Union([Type.Integer(bounds(HNSW_BOUNDS.efSearch)), Type.Null()], {
      default: null,
      description: 'Measured too; null leaves ef to the curve, which is always solved.',
    }),
    seed: Type.Integer({ ...bounds(HNSW_BOUNDS.seed), default: HNSW_DEFAULTS.seed }),
  },
  STRICT,
)

const TrialBody = Type.Object(
  {
    index: Name,
    config: ConfigBody,
    eval: Type.String({ ...Name, description: 'An eval set of the index.' }),
    k: Type.Optional(Type.Integer({ minimum: 1, description: 'Must be that of the eval set.' })),
    note: Type.Optional(Type.String({ maxLength: NOTE_MAX })),
  },
  STRICT,
)

const AutotuneBody = Type.Object(
  {
    index: Name,
    eval: Name,
    min_recall: Type.Number({ minimum: 0, maximum: 1, default: 0.9 }),
    grid: Type.Optional(Type.Array(ConfigBody, { minItems: 1, maxItems: GRID_MAX })),
    objective: Type.Enum(['recall_first', 'slo'], {
      default: 'recall_first',
      description: 'The highest recall, or the cheapest search, of what holds the floor.',
    }),
  },
  STRICT,
)

/** The codec of the journal makes it, and the schema checks it. */
const StoredTrial = Type.Unsafe<ReturnType<typeof trialToJson>>(TrialJson)

const TrialStartedJson = Type.Object(
  { operation_id: Type.String(), trial_id: Type.String() },
  STRICT,
)

const AutotuneJson = Type.Object(
  {
    trials: Type.Array(StoredTrial),
    winner: Nullable(Type.String({ description: 'The id of the trial that was promoted.' })),
    reason: Nullable(Type.String({ description: 'Why nothing was promoted.' })),
    promotion: Nullable(ChangedJson),
  },
  STRICT,
)

const TRIAL = {
  config: { role: 'write', idempotencyKey: true },
  schema: {
    tags: TAGS,
    summary: 'Build and measure one configuration beside serving',
    querystring: WaitQuery,
    body: TrialBody,
    response: replies({ 200: StoredTrial, 202: TrialStartedJson }),
  },
} as const

const AUTOTUNE = {
  config: { role: 'admin', idempotencyKey: true },
  schema: {
    tags: TAGS,
    summary: 'Try a grid of configurations and promote the best above the floor',
    querystring: WaitQuery,
    body: AutotuneBody,
    response: replies({ 200: AutotuneJson, 202: StartedJson }),
  },
} as const

export const tuningRoutes: FastifyPluginCallbackTypebox<TuningRoutesOptions> = (
  app,
  { indexes, tuning },
  done,
) => {
  app.post('/vectors/hnsw/trial', TRIAL, async (request, reply) => {
    const { index, config, eval: evalName, k, note } = request.body
    findIndex(indexes, request, index)
    const { operation, trialId } = tuning.trial({
      ...{ index, evalName, k: k ?? null, note: note ?? null, config: toConfig(config) },
      ...{ strategy: 'manual', explain: { mode: 'manual', by: request.caller.name } },
    })
    if (request.query.wait) return trialToJson(await operation.result())
    const { operation_id } = started(reply, operation.id)
    return reply.code(202).send({ operation_id, trial_id: trialId })
  })

  app.post('/vectors/hnsw/autotune', AUTOTUNE, async (request, reply) => {
    const { index, eval: evalName, min_recall: minRecall, grid, objective } = request.body
    findIndex(indexes, request, index)
    const operation = tuning.autotune({
      ...{ index, evalName, minRecall, objective, by: request.caller.name },
      grid: grid?.map(toConfig) ?? DEFAULT_GRID,
    })
    if (request.query.wait) return autotuneJson(await operation.result())
    return reply.code(202).send(started(reply, operation.id))
  })
  done()
}

/** The results of operations of these kinds as answers show them; others are made that way. */
export const TUNING_RESULTS: Readonly<Record<string, (result: never) => object>> = {
  trial: trialToJson,
  autotune: autotuneJson,
}

function toConfig(body: Static<typeof ConfigBody>): HnswConfig {
  const { m, ef_construction: efConstruction, ef_search: efSearch, seed } = body
  return { m, efConstruction, efSearch, seed }
}

function autotuneJson(outcome: AutotuneOutcome): Static<typeof AutotuneJson> {
  const { trials, winner, reason, promotion } = outcome
  return {
    trials: trials.map(trialToJson),
    winner: winner?.trialId ?? null,
    reason,
    promotion: promotion === null ? null : changedJson(promotion),
  }
}
