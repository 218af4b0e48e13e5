/**
 * The document of a snapshot as sealed JSON: `docs/formats/snapshots.md` names every field.
 */

import { corruptObject, openSealedJson, sealJson, type JsonObject } from '../buckets/sealed-json.ts'
import { metaFromJson, metaToJson } from '../indexes/index-meta.ts'
import { contentFromJson, contentToJson } from '../log/checkpoint-manifest.ts'
import { promotionFromJson, promotionToJson } from '../promotions/promotion-codec.ts'
import { neverPromoted } from '../promotions/promotion-document.ts'
import { filesOf, type Snapshot } from './snapshot.ts'

const SNAPSHOT_FORMAT = 1

export function encodeSnapshot(snapshot: Snapshot): Uint8Array {
  const { id, createdMs, createdBy, note, meta, lsn, points, content, promoted } = snapshot
  const promotions = promotionToJson({ ...neverPromoted(meta.name), current: promoted })
  const fields = {
    format: SNAPSHOT_FORMAT,
    snapshot: id,
    created_at: new Date(createdMs).toISOString(),
    created_by: createdBy,
    note,
    ...{ lsn, points },
    bytes: bytesOf(snapshot),
    index: metaToJson(meta),
    promotions: promoted === null ? null : promotions,
    checkpoint: content && contentToJson(content),
  }
  return sealJson(fields as unknown as JsonObject, 2)
}

/** Of all its files. */
export function bytesOf(snapshot: Pick<Snapshot, 'content'>): number {
  return filesOf(snapshot).reduce((sum, { bytes }) => sum + bytes, 0)
}

/**
 * @param key of the object, for messages.
 * @param expected what it must be of.
 * @throws {VectordError} `object_corrupt`, `format_too_new`.
 */
export function decodeSnapshot(
  key: string,
  body: Uint8Array,
  expected: { readonly index: string; readonly id: string },
): Snapshot {
  const json = openSealedJson(key, body, SNAPSHOT_FORMAT)
  const { text, count, time } = fieldsOf(key, json)
  if (text('snapshot') !== expected.id) throw bad(key, 'snapshot')
  const { checkpoint = null, promotions = null } = json
  const lsn = count('lsn')
  const content = checkpoint === null ? null : contentFromJson(key, checkpoint)
  if ((content?.lsn ?? 0) !== lsn) throw bad(key, 'lsn')
  return {
    ...{ id: expected.id, createdMs: time('created_at'), createdBy: text('created_by') },
    note: json['note'] === null ? null : text('note'),
    meta: metaFromJson(expected.index, json['index']),
    ...{ lsn, points: count('points'), content },
    promoted:
      promotions === null ? null : promotionFromJson(expected.index, promotions, key).current,
  }
}

function fieldsOf(key: string, json: JsonObject) {
  const text = (field: string): string => {
    const value = json[field]
    if (typeof value === 'string' && value !== '') return value
    throw bad(key, field)
  }
  return {
    text,
    time: (field: string): number => {
      const ms = Date.parse(text(field))
      if (Number.isFinite(ms)) return ms
      throw bad(key, field)
    },
    count: (field: string): number => {
      const value = json[field]
      if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value
      throw bad(key, field)
    },
  }
}

function bad(key: string, field: string): Error {
  return corruptObject(key, `it has a bad "${field}"`)
}
