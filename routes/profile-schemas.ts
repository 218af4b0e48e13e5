/**
 * The shapes of profiles, of the GPU slot and of what an activation did.
 */

import { Type, type Static } from '@fastify/type-provider-typebox'
import { ConfigJson, Name, Nullable } from '../src/http/schemas.ts'
import { HNSW_BOUNDS, HNSW_DEFAULTS, type HnswConfig } from '../src/domain/hnsw-config.ts'
import { INDEX_BACKENDS } from '../src/indexes/index-api.ts'
import type { SlotView } from '../src/profiles/gpu-slot.ts'
import { MODEL_PATTERN } from '../src/profiles/model-memory.ts'
import { BOUND_INDEXES_MAX, DESCRIPTION_CHARS_MAX } from '../src/profiles/profile.ts'
import type { Activation } from '../src/profiles/profiles.ts'
import { SLOT_STATES } from '../src/profiles/slot-state.ts'

const STRICT = { additionalProperties: false } as const

export const ModelName = Type.String({
  pattern: MODEL_PATTERN,
  description: 'As the model server calls it; without a tag it means `latest`.',
})

const bounds = ([minimum, maximum]: readonly [number, number]): {
  minimum: number
  maximum: number
} => ({ minimum, maximum })

// Ajv fills no defaults in within a union: `toHnsw` does.
const HnswBody = Type.Object(
  {
    m: Type.Optional(Type.Integer(bounds(HNSW_BOUNDS.m))),
    ef_construction: Type.Optional(Type.Integer(bounds(HNSW_BOUNDS.efConstruction))),
    ef_search: Type.Optional(Nullable(Type.Integer(bounds(HNSW_BOUNDS.efSearch)))),
    seed: Type.Optional(Type.Integer(bounds(HNSW_BOUNDS.seed))),
  },
  {
    ...STRICT,
    description:
      'Its ef_search warms up bound indexes for which nothing is promoted. It changes no index.',
  },
)

export const ProfileBody = Type.Object(
  {
    id: Type.Optional(Name),
    model: ModelName,
    description: Type.String({ maxLength: DESCRIPTION_CHARS_MAX, default: '' }),
    bound_indexes: Type.Array(Name, {
      uniqueItems: true,
      maxItems: BOUND_INDEXES_MAX,
      default: [],
      description: 'What may be searched in the scope of the profile.',
    }),
    hnsw: Type.Union([HnswBody, Type.Null()], { default: null }),
    embed_model: Type.Union([ModelName, Type.Null()], {
      default: null,
      description: 'A note: an index is searched by its own embedder.',
    }),
    bucket: Type.Union([Name, Type.Null()], {
      default: null,
      description: 'Provisioned with the activation, as a folder, where it is not registered.',
    }),
    backend: Type.Enum([...INDEX_BACKENDS], {
      default: 'hnsw',
      description: 'What its indexes are meant to be; each is searched by the backend that it has.',
    }),
  },
  { ...STRICT, required: ['model'] },
)

export const ProfileJson = Type.Object(
  {
    id: Name,
    model: Type.String(),
    description: Type.String(),
    bound_indexes: Type.Array(Name),
    hnsw: Nullable(ConfigJson),
    embed_model: Nullable(Type.String()),
    bucket: Nullable(Name),
    backend: Type.Enum([...INDEX_BACKENDS]),
    revision: Type.Integer(),
    changed_by: Type.String(),
    changed_at: Type.String(),
  },
  STRICT,
)

export const ProfileList = Type.Object(
  {
    profiles: Type.Array(ProfileJson, { description: 'By id.' }),
    errors: Type.Array(
      Type.Object({ id: Name, code: Type.String(), message: Type.String() }, STRICT),
      { description: 'Profiles that are there and cannot be read.' },
    ),
  },
  STRICT,
)

export const ActivationJson = Type.Object(
  {
    state: Type.Literal('active'),
    profile: Name,
    model: Type.String(),
    revision: Type.Integer({ description: 'Of the GPU slot.' }),
    unloaded: Type.Array(Type.String(), { description: 'Models that went.' }),
    preloaded: Type.Boolean({ description: 'False: the model was there and was left alone.' }),
    bucket: Nullable(Type.Object({ name: Name, provisioned: Type.Boolean() }, STRICT)),
    warmed: Type.Array(
      Type.Object(
        {
          index: Name,
          config_source: Type.String({ description: 'default, or promoted:{trial_id}.' }),
          searches: Type.Integer(),
          ef_used: Type.Integer({ description: '0 on the exact path.' }),
          took_ms: Type.Number(),
        },
        STRICT,
      ),
    ),
    failures: Type.Array(
      Type.Object({ index: Name, code: Type.String(), message: Type.String() }, STRICT),
      { description: 'Bound indexes that could not be warmed up.' },
    ),
  },
  STRICT,
)

export const DeactivationJson = Type.Object(
  {
    state: Type.Literal('empty'),
    profile: Name,
    unloaded: Type.Array(Type.String()),
    revision: Type.Integer(),
  },
  STRICT,
)

export const SlotJson = Type.Object(
  {
    state: Type.Enum([...SLOT_STATES], {
      description:
        'active: the model server holds the model. unloaded: it has let it go. failed: `fault` says ' +
        'why. unsettled: a step did not come to its end here. unknown: the model server does not answer.',
    }),
    profile: Nullable(Name),
    profile_revision: Nullable(Type.Integer({ description: 'That was activated.' })),
    model: Nullable(Type.String()),
    model_loaded: Nullable(Type.Boolean({ description: 'null: there is none, or it is unknown.' })),
    fault: Nullable(Type.Object({ code: Type.String(), message: Type.String() }, STRICT)),
    since: Nullable(Type.String()),
    by: Nullable(Type.String()),
    revision: Type.Integer({ description: '0 before the first activation.' }),
  },
  STRICT,
)

/** The configuration that a body asks for; what it leaves out is that of every new index. */
export function toHnsw(body: Static<typeof HnswBody>): HnswConfig {
  const { m, ef_construction, ef_search, seed } = body
  const { efConstruction, efSearch } = HNSW_DEFAULTS
  return {
    m: m ?? HNSW_DEFAULTS.m,
    efConstruction: ef_construction ?? efConstruction,
    efSearch: ef_search ?? efSearch,
    seed: seed ?? HNSW_DEFAULTS.seed,
  }
}

export function activationJson(done: Activation): Static<typeof ActivationJson> {
  const { profile, revision, unloaded, preloaded, bucket, warmed, failures } = done
  return {
    ...{ state: 'active', profile: profile.id, model: profile.model, revision },
    ...{ unloaded: [...unloaded], preloaded, bucket: bucket === null ? null : { ...bucket } },
    warmed: warmed.map(({ index, configSource, searches, efUsed, tookMs }) => ({
      ...{ index, config_source: configSource, searches, ef_used: efUsed, took_ms: tookMs },
    })),
    failures: failures.map((failure) => ({ ...failure })),
  }
}

export function slotJson(view: SlotView): Static<typeof SlotJson> {
  const { slot, state, isLoaded, revision, since } = view
  const { profile, profileRevision, model, fault } = slot
  return {
    ...{ state, profile, profile_revision: profileRevision, model, model_loaded: isLoaded },
    fault: fault === null ? null : { ...fault },
    since: since === null ? null : new Date(since.ms).toISOString(),
    ...{ by: since?.by ?? null, revision },
  }
}
