/**
 * The ef that holds the recall goal of an index, so that it survives a restart.
 *
 *     _indexes/{index}/live_ef/{revision}.json    written before the ef is used; goes with the index
 *
 * A document of its own, beside the promotions and never among them. It names what it was found for
 * (this index, this generation, this configuration): for anything else it means nothing.
 */

import type { ObjectStore } from '../buckets/object-store.ts'
import type { JsonObject } from '../buckets/revision-codec.ts'
import { RevisionedDocument } from '../buckets/revisioned-document.ts'
import { DRIFT_KINDS, type DriftKind } from '../autotune/drift-signals.ts'
import { HNSW_BOUNDS } from '../domain/hnsw-config.ts'
import { fieldsOf, isIntegerIn, isListOf, isOneOf, isText, orNull } from '../journal/json-fields.ts'

/** Revisions kept: the decision log says why each came. */
const REVISIONS_KEPT = 10
const [EF_MIN, EF_MAX] = HNSW_BOUNDS.efSearch

/** What an ef was found for. */
export interface EfAnchor {
  /** Tells an index from an earlier one of its name. */
  readonly incarnation: string
  /** Of the published graph. */
  readonly generation: number
  /** `default`, or `promoted:{trial_id}`. */
  readonly source: string
  /** Null: the server chooses by k. */
  readonly configuredEf: number | null
}

export interface StoredEf {
  readonly anchor: EfAnchor
  readonly ef: number
  /** Points for which it was found. */
  readonly efPoints: number
  /** Signs of drift that were told of this generation. */
  readonly told: readonly DriftKind[]
}

export function isSameAnchor(a: EfAnchor, b: EfAnchor): boolean {
  return (
    a.incarnation === b.incarnation &&
    a.generation === b.generation &&
    a.source === b.source &&
    a.configuredEf === b.configuredEf
  )
}

export class LiveEfStore {
  readonly #storeOf: (index: string) => ObjectStore

  /** @param storeOf the home bucket of an index. */
  constructor(storeOf: (index: string) => ObjectStore) {
    this.#storeOf = storeOf
  }

  /** @throws {VectordError} `object_corrupt`, `index_not_found`, and every error of the store. */
  async load(index: string): Promise<StoredEf | null> {
    return (await this.#document(index).read())?.document ?? null
  }

  /** Durable once resolved. @throws as `load`. */
  async save(index: string, stored: StoredEf, reason: string): Promise<void> {
    await this.#document(index).modify(() => ({ document: stored, author: 'vectord', reason }))
  }

  #document(index: string): RevisionedDocument<StoredEf> {
    return new RevisionedDocument({
      store: this.#storeOf(index),
      prefix: `_indexes/${index}/live_ef/`,
      name: `the live ef of index "${index}"`,
      codec: { toJson: storedToJson, fromJson: storedFromJson },
      keep: REVISIONS_KEPT,
    })
  }
}

function storedToJson({ anchor, ef, efPoints, told }: StoredEf): JsonObject {
  return {
    incarnation: anchor.incarnation,
    generation: anchor.generation,
    config_source: anchor.source,
    configured_ef: anchor.configuredEf,
    ...{ ef, ef_points: efPoints, told: [...told] },
  }
}

function storedFromJson(json: JsonObject): StoredEf {
  const field = fieldsOf('live ef', json)
  return {
    anchor: {
      incarnation: field('incarnation', isText(256, 1)),
      generation: field('generation', isIntegerIn(0)),
      source: field('config_source', isText(256, 1)),
      configuredEf: field('configured_ef', orNull(isIntegerIn(EF_MIN, EF_MAX))),
    },
    ef: field('ef', isIntegerIn(EF_MIN, EF_MAX)),
    efPoints: field('ef_points', isIntegerIn(0)),
    told: field('told', isListOf(isOneOf(DRIFT_KINDS), DRIFT_KINDS.length)),
  }
}
