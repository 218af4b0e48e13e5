/**
 * A profile: a model of the model server, and the indexes that belong to it.
 *
 * As JSON it is the same in a bucket and over HTTP, but for what the bucket adds around it.
 */

import type { JsonObject } from '../buckets/revision-codec.ts'
import {
  configToJson,
  HNSW_BOUNDS,
  type HnswConfig,
  type HnswConfigJson,
} from '../domain/hnsw-config.ts'
import { NAME_PATTERN } from '../domain/names.ts'
import { INDEX_BACKENDS, type IndexBackend } from '../indexes/index-api.ts'
import {
  fieldsOf,
  isIntegerIn,
  isListOf,
  isOneOf,
  isText,
  orNull,
  type JsonFields,
} from '../journal/json-fields.ts'
import { MODEL_PATTERN } from './model-memory.ts'

export const BOUND_INDEXES_MAX = 100
export const DESCRIPTION_CHARS_MAX = 2000

export interface Profile {
  readonly id: string
  /** Its name at the model server. */
  readonly model: string
  readonly description: string
  /** Names of indexes, which need not exist; a search in the scope of the profile may ask no other. */
  readonly boundIndexes: readonly string[]
  /** What the profile expects of a graph; its ef warms up the indexes for which nothing is promoted. */
  readonly hnsw: HnswConfig | null
  /** The model that is meant to embed for it, as a note: an index is searched by its own embedder. */
  readonly embedModel: string | null
  /** Provisioned when the profile is activated, where it is not registered. */
  readonly bucket: string | null
  /** What its indexes are meant to be: each is searched by the backend that it has. */
  readonly backend: IndexBackend
}

export type ProfileJson = {
  readonly id: string
  readonly model: string
  readonly description: string
  readonly bound_indexes: string[]
  readonly hnsw: HnswConfigJson | null
  readonly embed_model: string | null
  readonly bucket: string | null
  readonly backend: IndexBackend
}

const NAME = new RegExp(NAME_PATTERN)
const MODEL = new RegExp(MODEL_PATTERN)

export function profileToJson(profile: Profile): ProfileJson {
  const { id, model, description, boundIndexes, hnsw, embedModel, bucket, backend } = profile
  return {
    ...{ id, model, description, bound_indexes: [...boundIndexes] },
    hnsw: hnsw === null ? null : configToJson(hnsw),
    ...{ embed_model: embedModel, bucket, backend },
  }
}

/** @throws {VectordError} `object_corrupt` naming the field, also where it is another profile. */
export function profileFromJson(id: string, json: JsonObject): Profile {
  const field = fieldsOf('profile', json)
  return {
    id: field('id', (value): value is string => value === id),
    model: field('model', isModel),
    description: field('description', isText(DESCRIPTION_CHARS_MAX)),
    boundIndexes: field('bound_indexes', isListOf(isName, BOUND_INDEXES_MAX)),
    hnsw: json['hnsw'] === null ? null : hnswFrom(fieldsOf('profile', json['hnsw'])),
    embedModel: field('embed_model', orNull(isModel)),
    bucket: field('bucket', orNull(isName)),
    backend: field('backend', isOneOf(INDEX_BACKENDS)),
  }
}

function hnswFrom(field: JsonFields): HnswConfig {
  return {
    m: field('m', isIntegerIn(...HNSW_BOUNDS.m)),
    efConstruction: field('ef_construction', isIntegerIn(...HNSW_BOUNDS.efConstruction)),
    efSearch: field('ef_search', orNull(isIntegerIn(...HNSW_BOUNDS.efSearch))),
    seed: field('seed', isIntegerIn(...HNSW_BOUNDS.seed)),
  }
}

export function isName(value: unknown): value is string {
  return typeof value === 'string' && NAME.test(value)
}

export function isModel(value: unknown): value is string {
  return typeof value === 'string' && MODEL.test(value)
}
