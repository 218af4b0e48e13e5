/**
 * Promotions as JSON: what goes in comes out, damage is named by its field, an older layout is read,
 * a newer format is refused, and no bytes whatever bring anything but these errors.
 */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import fc from 'fast-check'
import { encodeRevision, type Json, type JsonObject } from '../../src/buckets/revision-codec.ts'
import { hasCode } from '../../src/lib/errors.ts'
import {
  promotionFromCopy,
  promotionFromJson,
  promotionToJson,
} from '../../src/promotions/promotion-codec.ts'
import type { PromotionDocument } from '../../src/promotions/promotion-document.ts'
import { AUTHOR, entry, NOW_MS, trialIds } from './promotions.support.ts'

const KEY = '_hnsw_promotions/x.json'

const FULL: PromotionDocument = {
  indexName: 'x',
  current: { ...entry('c'), graphId: 'ab12', evidence: { recall: [0.95, null] }, pinned: true },
  history: [entry('a'), { ...entry('b'), note: 'b, "quoted" 漢字' }],
  redo: [{ ...entry('d'), config: { m: 8, efConstruction: 60, efSearch: null, seed: 0 } }],
  change: { kind: 'rollback', ...AUTHOR, note: 'slow', rebuild: 'lazy', discarded: entry('d') },
}

it('survives JSON unchanged, with every optional field and with none', () => {
  const bare = { indexName: 'x', current: null, history: [], redo: [], change: null }
  for (const document of [FULL, bare]) {
    const json = JSON.parse(JSON.stringify(promotionToJson(document))) as Json
    assert.deepEqual(promotionFromJson('x', json, KEY), document)
  }
})

it('each damaged field is refused by its path', () => {
  const many = Array.from({ length: 51 }, () => promotionToJson(FULL).current)
  /** Undefined deletes the field. */
  const damages: [string, unknown][] = [
    ['format', '1'],
    ['index_name', 'other'],
    ['current', []],
    ['history', undefined],
    ['history', many],
    ['redo', {}],
    ['history[1]', null],
    ['history[1].config', undefined],
    ['history[1].config.m', 1.5],
    ['current.config.ef_search', undefined],
    ['current.config.seed', -1],
    ['current.trial_id', ''],
    ['current.promoted_at', 'yesterday'],
    ['current.pinned', 'yes'],
    ['current.evidence', []],
    ['change.kind', 'delete'],
    ['change.discarded.trial_id', undefined],
  ]
  for (const [field, value] of damages) {
    const json = replaced(promotionToJson(FULL), field.split(/[.[\]]+/).filter(Boolean), value)
    assert.throws(
      () => promotionFromJson('x', json as Json, KEY),
      (error) => hasCode(error, 'object_corrupt') && error.details['field'] === field,
      field,
    )
  }
})

it('a newer format is refused by its number, whatever else it holds', () => {
  for (const json of [{ format: 2 }, { format: 2, nonsense: [] }]) {
    assert.throws(() => promotionFromJson('x', json, KEY), { code: 'format_too_new' })
    const body = Buffer.from(JSON.stringify(json))
    assert.throws(() => promotionFromCopy('x', KEY, body), { code: 'format_too_new' })
  }
})

it('a copy of a revision, a plain document and the older layout are read', () => {
  const json = promotionToJson(FULL)
  const stored = {
    ...{ revision: 3, parent: null, author: 'ada', reason: 'promote' },
    ...{ writtenMs: NOW_MS, nonce: 'n', document: { ...json } },
  }
  assert.deepEqual(promotionFromCopy('x', KEY, encodeRevision(stored)), FULL)
  const removed = encodeRevision({ ...stored, document: null })
  assert.equal(promotionFromCopy('x', KEY, removed), null)
  assert.deepEqual(promotionFromCopy('x', KEY, bytes(json)), FULL)
  const config = { ef_construction: 100, ef_search: 60 }
  const at = { promoted_at: '2025-06-01T10:00:00.123456789Z', promoted_by: 'ops' }
  const old = (id: string): JsonObject => ({ config, trial_id: id, ...at })
  const read = promotionFromCopy(
    'x',
    KEY,
    bytes({ index_name: 'x', current: old('b'), history: [old('a')] }),
  )
  assert.deepEqual(trialIds(read), ['a', 'b'])
  assert.deepEqual(read?.current?.config, { m: 16, efConstruction: 100, efSearch: 60, seed: 42 })
  assert.equal(read.change, null)
  const long = Array.from({ length: 60 }, (_, n) => old(String(n)))
  const kept = promotionFromCopy('x', KEY, bytes({ index_name: 'x', current: null, history: long }))
  assert.deepEqual([kept?.history.length, kept?.history[0]?.trialId], [50, '10'])
})

it('a copy that is torn at any byte is object_corrupt', () => {
  const whole = bytes(promotionToJson(FULL))
  for (let length = 0; length < whole.length; length += 1) {
    const torn = (): unknown => promotionFromCopy('x', KEY, whole.subarray(0, length))
    assert.throws(torn, { code: 'object_corrupt' }, `${length} bytes`)
  }
})

it('no JSON whatever brings anything but object_corrupt or format_too_new', () => {
  const alien = fc.oneof(fc.json(), mutated())
  fc.assert(
    fc.property(alien, (text) => {
      try {
        const read = promotionFromCopy('x', KEY, Buffer.from(text))
        if (read !== null) promotionFromJson('x', promotionToJson(read), KEY)
      } catch (error) {
        assert.ok(hasCode(error, 'object_corrupt', 'format_too_new'), String(error))
      }
    }),
    { numRuns: 2000 },
  )
})

/** The JSON of a real document with one field anywhere replaced. */
function mutated(): fc.Arbitrary<string> {
  return fc.tuple(fc.nat(200), fc.jsonValue()).map(([place, value]) => {
    let at = 0
    return JSON.stringify(promotionToJson(FULL), (name, old: unknown) => {
      at += 1
      return at === place && name !== '' ? value : old
    })
  })
}

/** `json` with `value` at the end of `path`. */
function replaced(json: unknown, [name, ...rest]: readonly string[], value: unknown): unknown {
  if (name === undefined) return value
  assert.ok(typeof json === 'object' && json !== null)
  const inner = replaced(new Map(Object.entries(json)).get(name), rest, value)
  if (Array.isArray(json)) return json.with(Number(name), inner)
  const copy = { ...json, [name]: inner }
  return JSON.parse(JSON.stringify(copy)) as unknown
}

function bytes(json: JsonObject | object): Buffer {
  return Buffer.from(JSON.stringify(json))
}
