/**
 * Promotions as JSON: what the revisions in a bucket and the replies over HTTP hold.
 *
 * `docs/formats/promotions.md` describes it. An older layout kept one plain file for each index,
 * `{index_name, current, history}`, without format, redo and change, and without `m` and `seed` in
 * its configurations; that is read, and never written.
 */

import { decodeRevision, type Json, type JsonObject } from '../buckets/revision-codec.ts'
import {
  configToJson,
  HNSW_BOUNDS,
  HNSW_DEFAULTS,
  type HnswConfig,
  type HnswConfigJson,
} from '../domain/hnsw-config.ts'
import { VectordError } from '../lib/errors.ts'
import {
  CHANGE_KINDS,
  type ChangeKind,
  PROMOTION_ENTRIES_MAX,
  type PromotionChange,
  type PromotionDocument,
  type PromotionEntry,
  type Rebuild,
  REBUILDS,
} from './promotion-document.ts'

const FORMAT = 1

export type EntryJson = {
  readonly config: HnswConfigJson
  readonly trial_id: string
  readonly promoted_at: string
  readonly promoted_by: string
  readonly note: string | null
  readonly graph_id?: string
  readonly evidence?: JsonObject
  readonly pinned?: boolean
}

export type ChangeJson = {
  readonly kind: ChangeKind
  readonly by: string
  readonly at: string
  readonly note: string | null
  readonly rebuild: Rebuild
  readonly discarded?: EntryJson
}

export type PromotionJson = {
  readonly format: number
  readonly index_name: string
  readonly current: EntryJson | null
  readonly history: readonly EntryJson[]
  readonly redo: readonly EntryJson[]
  readonly change: ChangeJson | null
}

export function promotionToJson(document: PromotionDocument): PromotionJson {
  const { indexName, current, history, redo, change } = document
  return {
    format: FORMAT,
    index_name: indexName,
    current: current === null ? null : entryToJson(current),
    history: history.map(entryToJson),
    redo: redo.map(entryToJson),
    change: change === null ? null : changeToJson(change),
  }
}

export function entryToJson(entry: PromotionEntry): EntryJson {
  const { config, trialId, promotedMs, promotedBy, note, graphId, evidence, pinned } = entry
  return {
    config: configToJson(config),
    trial_id: trialId,
    promoted_at: new Date(promotedMs).toISOString(),
    promoted_by: promotedBy,
    note,
    ...(graphId !== null && { graph_id: graphId }),
    ...(evidence !== null && { evidence }),
    ...(pinned && { pinned }),
  }
}

export function changeToJson(change: PromotionChange): ChangeJson {
  const { kind, by, atMs, note, rebuild, discarded } = change
  return {
    ...{ kind, by, at: new Date(atMs).toISOString(), note, rebuild },
    ...(discarded !== null && { discarded: entryToJson(discarded) }),
  }
}

/**
 * The document in a revision; its checksum has held before.
 *
 * @throws {VectordError} `format_too_new`; `object_corrupt` naming the field, also where the document
 *   is that of another index.
 */
export function promotionFromJson(index: string, json: Json, key: string): PromotionDocument {
  const object = new Fields(json, key, '')
  const format = object.read('format', isInteger(1, Number.MAX_SAFE_INTEGER))
  if (format > FORMAT) throw tooNew(key, format)
  const current = object.child('current')
  const change = object.child('change')
  return {
    indexName: object.read('index_name', (value): value is string => value === index),
    current: current === null ? null : entryFrom(current),
    history: object.children('history').map(entryFrom),
    redo: object.children('redo').map(entryFrom),
    change: change === null ? null : changeFrom(change),
  }
}

/**
 * The document in the file of an older layout, or in a copy whose revisions are gone. Null where the
 * copy says that the document was removed.
 *
 * @throws {VectordError} as `promotionFromJson`.
 */
export function promotionFromCopy(
  index: string,
  key: string,
  body: Uint8Array,
): PromotionDocument | null {
  const json = parse(key, body)
  if (isObject(json) && 'nonce' in json) {
    const { document } = decodeRevision(key, body)
    return document === null ? null : promotionFromJson(index, document, key)
  }
  if (!isObject(json) || 'format' in json) return promotionFromJson(index, json, key)
  const { history } = json
  return promotionFromJson(
    index,
    {
      ...{ format: FORMAT, redo: [], change: null, ...json },
      current: withDefaults(json['current'] ?? null),
      history: Array.isArray(history)
        ? history.slice(-PROMOTION_ENTRIES_MAX).map((entry: Json) => withDefaults(entry))
        : (history ?? []),
    },
    key,
  )
}

/** What configurations and entries of the older layout leave out. */
function withDefaults(entry: Json): Json {
  if (!isObject(entry)) return entry
  const { config } = entry
  if (!isObject(config)) return entry
  const { m, seed, efSearch } = HNSW_DEFAULTS
  const full = { ...config, m: config['m'] ?? m, seed: config['seed'] ?? seed }
  return {
    ...{ note: null, ...entry },
    config: { ...full, ef_search: config['ef_search'] ?? efSearch },
  }
}

function entryFrom(entry: Fields): PromotionEntry {
  const config = entry.child('config')
  if (config === null) throw entry.corrupt('config')
  return {
    config: configFrom(config),
    trialId: entry.read('trial_id', isString),
    promotedMs: Date.parse(entry.read('promoted_at', isTime)),
    promotedBy: entry.read('promoted_by', isString),
    note: entry.read('note', isStringOrNull),
    graphId: entry.optional('graph_id', isString),
    evidence: entry.optional('evidence', isObject),
    pinned: entry.optional('pinned', isBoolean) ?? false,
  }
}

function configFrom(config: Fields): HnswConfig {
  const efSearch = isInteger(...HNSW_BOUNDS.efSearch)
  return {
    m: config.read('m', isInteger(...HNSW_BOUNDS.m)),
    efConstruction: config.read('ef_construction', isInteger(...HNSW_BOUNDS.efConstruction)),
    efSearch: config.read(
      'ef_search',
      (value): value is number | null => value === null || efSearch(value),
    ),
    seed: config.read('seed', isInteger(...HNSW_BOUNDS.seed)),
  }
}

function changeFrom(change: Fields): PromotionChange {
  const discarded = change.child('discarded')
  return {
    kind: change.read('kind', isOneOf(CHANGE_KINDS)),
    by: change.read('by', isString),
    atMs: Date.parse(change.read('at', isTime)),
    note: change.read('note', isStringOrNull),
    rebuild: change.read('rebuild', isOneOf(REBUILDS)),
    discarded: discarded === null ? null : entryFrom(discarded),
  }
}

type Guard<T extends Json> = (value: Json | undefined) => value is T

/** The fields of one object; what is wrong is told by its path, such as `history[3].config.m`. */
class Fields {
  readonly #json: JsonObject
  readonly #key: string
  readonly #path: string

  constructor(json: Json | undefined, key: string, path: string) {
    if (!isObject(json)) throw corrupt(key, path)
    this.#json = json
    this.#key = key
    this.#path = path
  }

  read<T extends Json>(name: string, guard: Guard<T>): T {
    const value = this.#json[name]
    if (guard(value)) return value
    throw this.corrupt(name)
  }

  optional<T extends Json>(name: string, guard: Guard<T>): T | null {
    return this.#json[name] === undefined ? null : this.read(name, guard)
  }

  /** Null where the field is null or absent. */
  child(name: string): Fields | null {
    const value = this.#json[name] ?? null
    return value === null ? null : new Fields(value, this.#key, this.#pathOf(name))
  }

  /** At most `PROMOTION_ENTRIES_MAX` of them. */
  children(name: string): readonly Fields[] {
    const list = this.read(name, isBoundedList)
    return list.map((value, i) => new Fields(value, this.#key, this.#pathOf(`${name}[${i}]`)))
  }

  corrupt(name: string): VectordError {
    return corrupt(this.#key, this.#pathOf(name))
  }

  #pathOf(name: string): string {
    return this.#path === '' ? name : `${this.#path}.${name}`
  }
}

function parse(key: string, body: Uint8Array): Json {
  try {
    return JSON.parse(Buffer.from(body).toString()) as Json
  } catch {
    throw corrupt(key, '')
  }
}

function corrupt(key: string, field: string): VectordError {
  const what = field === '' ? 'is no JSON object' : `has a bad "${field}"`
  const message = `The promotions in "${key}" cannot be read: it ${what}.`
  return new VectordError('object_corrupt', message, { details: { key, field } })
}

function tooNew(key: string, format: number): VectordError {
  const message = `The object "${key}" has format ${format}; this version reads up to ${FORMAT}.`
  return new VectordError('format_too_new', message, {
    details: { key, format, format_max: FORMAT },
  })
}

function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isBoundedList(value: Json | undefined): value is readonly Json[] {
  return Array.isArray(value) && value.length <= PROMOTION_ENTRIES_MAX
}

function isString(value: Json | undefined): value is string {
  return typeof value === 'string' && value !== ''
}

function isStringOrNull(value: Json | undefined): value is string | null {
  return value === null || typeof value === 'string'
}

function isBoolean(value: Json | undefined): value is boolean {
  return typeof value === 'boolean'
}

function isTime(value: Json | undefined): value is string {
  return typeof value === 'string' && Number.isFinite(Date.parse(value))
}

function isInteger(low: number, high: number): Guard<number> {
  return (value): value is number =>
    typeof value === 'number' && Number.isInteger(value) && value >= low && value <= high
}

function isOneOf<T extends string>(words: readonly T[]): Guard<T> {
  return (value): value is T => words.some((word) => word === value)
}
