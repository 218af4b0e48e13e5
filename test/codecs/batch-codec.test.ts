/**
 * Write batches come back as they went in, any Arrow reader opens them, and bytes that are not a
 * batch are refused as `log_corrupt` whatever they are.
 */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { tableFromIPC } from 'apache-arrow'
import fc from 'fast-check'
import { decodeBatch, encodeBatch } from '../../src/codecs/batch-codec.ts'
import type { LoggedBatch, ProjectBatch, UpsertBatch } from '../../src/domain/write-batch.ts'
import { hasCode, VectordError } from '../../src/lib/errors.ts'
import { fuzzParameters } from '../support/fuzz.ts'

const text = fc.string({ unit: 'grapheme', maxLength: 20 })
const id = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 })

const upserts: fc.Arbitrary<UpsertBatch> = fc
  .record({
    dimension: fc.integer({ min: 1, max: 9 }),
    rows: fc.array(fc.tuple(id, fc.option(text), fc.option(fc.dictionary(text, fc.integer()))), {
      minLength: 1,
      maxLength: 40,
    }),
    seed: fc.float({ noNaN: true, noDefaultInfinity: true }),
  })
  .map(({ dimension, rows, seed }) => ({
    kind: 'upsert',
    dimension,
    ids: rows.map(([one]) => one),
    vectors: Float32Array.from({ length: rows.length * dimension }, (_, i) => seed + i),
    texts: rows.map(([, one]) => one),
    metadata: rows.map(([, , one]) => (one === null ? null : JSON.stringify(one))),
  }))

/** As `upserts`, but at least one row has no vector. */
const texts: fc.Arbitrary<UpsertBatch> = fc
  .tuple(upserts, fc.infiniteStream(fc.boolean()))
  .map(([batch, bits]) => {
    const has = batch.ids.map((_, row) => row > 0 && bits.next().value === true)
    let present = 0
    const places = Int32Array.from(has, (one) => (one ? present++ : -1))
    return { ...batch, places, vectors: batch.vectors.slice(0, present * batch.dimension) }
  })

const projects: fc.Arbitrary<ProjectBatch> = fc
  .tuple(upserts, fc.nat(2 ** 31), fc.array(text, { minLength: 1 }))
  .map(([{ dimension, ids, vectors }, version, strings]) => {
    const stringAt = (i: number): string => strings[i % strings.length] ?? ''
    return {
      ...{ kind: 'project', dimension, ids, vectors },
      versions: Float64Array.from(ids, (_, row) => (version + row) * 2 ** 21),
      textHashes: ids.map((_, row) => stringAt(row)),
      embedders: ids.map((_, row) => stringAt(row + 1)),
    }
  })

const deletes: fc.Arbitrary<LoggedBatch> = fc
  .array(id, { minLength: 1, maxLength: 100 })
  .map((ids) => ({ kind: 'delete', ids }))

function point(change: Partial<UpsertBatch> = {}): UpsertBatch {
  const vectors = new Float32Array([1, 2, 3])
  const plain = { ids: ['a'], texts: ['t'], metadata: ['{}'] }
  return { kind: 'upsert', dimension: 3, vectors, ...plain, ...change }
}

function oneText(): UpsertBatch {
  return point({
    ids: ['a', 'b'],
    texts: ['t', 'u'],
    metadata: [null, null],
    places: Int32Array.of(-1, 0),
  })
}

const PROJECT: ProjectBatch = {
  ...{ kind: 'project', dimension: 3, ids: ['a'], vectors: Float32Array.of(1, 2, 3) },
  ...{ versions: Float64Array.of(7), textHashes: ['ab'], embedders: ['m@1/3/unit'] },
}

it('a row without a vector takes no room for one', () => {
  const ids = Array.from({ length: 100 }, (_, i) => `id-${i}`)
  const rest = { ids, texts: ids, metadata: ids.map(() => null), dimension: 768 }
  const places = new Int32Array(100).fill(-1)
  const bytes = encodeBatch(point({ ...rest, vectors: new Float32Array(0), places }))
  assert.ok(bytes.length < 10_000, `${bytes.length} bytes`)
})

it('only batches that need it have the newer format, which names their rows', () => {
  const formatOf = (batch: LoggedBatch): string | undefined =>
    tableFromIPC(encodeBatch(batch)).schema.metadata.get('vectord.format')
  const whole = point({ places: Int32Array.of(0) })
  const formats = [point(), whole, { kind: 'delete', ids: ['a'] } as const, oneText(), PROJECT]
  assert.deepEqual(formats.map(formatOf), ['1', '2', '1', '2', '2'])
  const rows = tableFromIPC(encodeBatch(oneText())).toArray() as { toJSON(): { vector: unknown } }[]
  assert.deepEqual(
    rows.map((row) => row.toJSON().vector === null),
    [true, false],
  )
})

it('every batch comes back as it went in', () => {
  fc.assert(
    fc.property(fc.oneof(upserts, texts, projects, deletes), (batch) => {
      assert.deepEqual(decodeBatch(encodeBatch(batch)), batch)
    }),
  )
})

it('a batch at any offset of a larger buffer decodes the same', () => {
  const bytes = encodeBatch(point())
  for (let shift = 0; shift < 9; shift += 1) {
    const larger = new Uint8Array(bytes.length + shift)
    larger.set(bytes, shift)
    assert.deepEqual(decodeBatch(larger.subarray(shift)), point())
  }
})

it('an aligned batch is decoded without a copy of its vectors', () => {
  const bytes = encodeBatch(point())
  const decoded = decodeBatch(bytes)
  assert.ok(decoded.kind === 'upsert')
  assert.equal(decoded.vectors.buffer, bytes.buffer)
})

it('apache-arrow reads the same rows', () => {
  const batch = point({
    ids: ['a', 'bé'],
    vectors: new Float32Array([1, 2, 3, 4, 5, 6]),
    texts: [null, '漢字'],
    metadata: ['{"a":1}', null],
  })
  const rows = tableFromIPC(encodeBatch(batch)).toArray() as {
    toJSON(): Record<string, unknown>
  }[]
  const plain = rows.map((row) => {
    const { vector, ...rest } = row.toJSON()
    return { ...rest, vector: [...(vector as Iterable<number>)] }
  })
  assert.deepEqual(plain, [
    { id: 'a', text: null, metadata: '{"a":1}', vector: [1, 2, 3] },
    { id: 'bé', text: '漢字', metadata: null, vector: [4, 5, 6] },
  ])
})

it('a string that UTF-8 cannot hold is refused with its row', () => {
  for (const change of [{ ids: ['\ud800'] }, { texts: ['x\udc00'] }, { metadata: ['\ud800'] }]) {
    assert.throws(() => encodeBatch(point(change)), {
      code: 'invalid_points',
      details: { column: Object.keys(change)[0]?.replace(/s$/, ''), row: 0 },
    })
  }
})

it('a later format is refused by name', () => {
  const bytes = Buffer.from(encodeBatch(point()))
  const at = bytes.indexOf('vectord.format') - 12
  const value = bytes.lastIndexOf('1\0\0\0', at + 40)
  const changed = [...bytes.keys()].filter((i) => bytes[i] === 0x31 && i < 600)
  assert.ok(value > 0 && changed.length > 0)
  const refused = changed.some((i) => {
    const newer = Buffer.from(bytes)
    newer[i] = 0x33
    try {
      decodeBatch(newer)
      return false
    } catch (error) {
      return hasCode(error, 'format_too_new') && error.message.includes('3')
    }
  })
  assert.ok(refused)
})

it('a batch that is cut anywhere is corrupt', () => {
  const bytes = encodeBatch(point())
  for (let end = 0; end < bytes.length - 8; end += 1) {
    assert.throws(() => decodeBatch(bytes.subarray(0, end)), { code: 'log_corrupt' })
  }
})

it('no bytes crash the decoder', () => {
  const valid = [
    encodeBatch(point()),
    encodeBatch({ kind: 'delete', ids: ['a', 'b'] }),
    encodeBatch(oneText()),
    encodeBatch(PROJECT),
  ]
  const mutated = fc
    .tuple(
      fc.constantFrom(...valid),
      fc.array(fc.tuple(fc.nat(2000), fc.nat(255)), { minLength: 1, maxLength: 6 }),
    )
    .map(([bytes, flips]) => {
      const copy = bytes.slice()
      for (const [at, value] of flips) copy[at % copy.length] = value
      return copy
    })
  fc.assert(
    fc.property(fc.oneof(mutated, fc.uint8Array({ maxLength: 400 })), (bytes) => {
      try {
        decodeBatch(bytes)
      } catch (error) {
        if (!(error instanceof VectordError)) throw error
        assert.ok(hasCode(error, 'log_corrupt', 'format_too_new'))
      }
    }),
    fuzzParameters(20_000),
  )
})

it('a batch that lies in a Buffer at any offset decodes to the same', () => {
  const batch = decodeBatch(encodeBatch(point()))
  for (let offset = 0; offset < 9; offset += 1) {
    const around = Buffer.concat([Buffer.alloc(offset), encodeBatch(point()), Buffer.alloc(3)])
    assert.deepEqual(decodeBatch(around.subarray(offset, around.length - 3)), batch)
  }
})
