/**
 * Filters: LanceDB finds exactly the rows that the index of metadata in our own cores finds.
 *
 * How: random metadata and random filters with names and values that quotes, patterns and the order
 * of characters could trip over, all in one table; then the long and the deep ones.
 */

import assert from 'node:assert/strict'
import { it, type TestContext } from 'node:test'
import fc from 'fast-check'
import type { Scalar } from '../../../src/domain/filter.ts'
import { Bitmap } from '../../../src/engines/bitmap.ts'
import { filterSql } from '../../../src/engines/lance/filter-sql.ts'
import type { LanceDataset } from '../../../src/engines/lance/lance-dataset.ts'
import { numberText, termsOf, unitsText } from '../../../src/engines/lance/metadata-terms.ts'
import { MetadataIndex, parseMetadata } from '../../../src/shard/metadata-index.ts'
import { allIds, localTable, rowsOf } from './lance-world.ts'

// No name is a mere backslash: V8's JSON.parse takes the name `"` for it where it saw that before.
const NAMES = ['a', 'b', 'a.b', "it's", '"', 'x\\', '%_', 'x$y', '\uE000', '\0', '😀', '__proto__']
const TEXTS = ['', '0', '1', 'b', 'é', "'", "x' OR '1'='1", '\\', '.*', '[a-z]|', '\n', '\0', '%']
const UNICODE = [
  '\uD7FF',
  '\uD800',
  '\uDFFF',
  '\uE000',
  '\uE001x',
  '\uFFFF',
  '😀',
  '😀a',
  '\u{10FFFF}',
]
const NUMBERS = [0, -0, 1, 2, -1.5, 1e-300, -1e-300, 5e-324, 1e308, -1e308, 2 ** 53, 0.1]
const SCALARS: Scalar[] = [...TEXTS, ...UNICODE, ...NUMBERS, true, false]

const scalar = fc.constantFrom(...SCALARS)
const value = fc.letrec((tie) => ({
  any: fc.oneof(
    { maxDepth: 3, withCrossShrink: true },
    scalar,
    fc.constant(null),
    fc.array(fc.oneof(scalar, fc.constant(null), fc.array(scalar))),
    tie('object'),
  ),
  object: fc.dictionary(fc.constantFrom(...NAMES), tie('any'), {
    maxKeys: 4,
    noNullPrototype: true,
  }),
}))
const path = fc
  .array(fc.constantFrom(...NAMES), { minLength: 1, maxLength: 2 })
  .map((names) => names.join('.'))
const bound = fc.constantFrom(...SCALARS.filter((x) => typeof x !== 'boolean'))
const condition = fc.oneof(
  scalar,
  fc.record({ $ne: scalar }),
  fc.record({ $in: fc.array(scalar, { maxLength: 4 }) }),
  fc.record({ $nin: fc.array(scalar, { maxLength: 4 }) }),
  fc.record({ $gt: bound }),
  fc.record({ $gte: bound, $lt: bound }),
  fc.record({ $lte: bound }),
  fc.record({ $lt: bound }),
  fc.record({ $exists: fc.boolean() }),
)
const filter = fc.letrec((tie) => ({
  any: fc.oneof(
    { maxDepth: 3 },
    fc.dictionary(path, condition, { maxKeys: 3, noNullPrototype: true }),
    fc.record({ $and: fc.array(tie('any'), { minLength: 1, maxLength: 3 }) }),
    fc.record({ $or: fc.array(tie('any'), { minLength: 1, maxLength: 3 }) }),
    fc.record({ $not: tie('any') }),
  ),
}))

/** Every scalar under the commonest names as well, so that conditions hold now and then. */
const COMMON = SCALARS.map((x, i) => JSON.stringify({ a: x, b: [x, SCALARS[i + 1] ?? null] }))

it('any filter over any metadata matches what it matches in an index of our own', async (t) => {
  const objects = fc.sample(fc.option(value.object, { nil: null }), { numRuns: 300, seed: 11 })
  const metadata = [...objects.map((x) => (x === null ? null : JSON.stringify(x))), ...COMMON]
  const { table, oracle } = await world(t, metadata)
  await fc.assert(
    fc.asyncProperty(filter.any, async (json) => {
      const text = JSON.stringify(json)
      assert.deepEqual(await allIds(table, text), oracle(text), text)
    }),
    { numRuns: 400 },
  )
})

it('each kind of condition with each value matches exactly', async (t) => {
  const { table, oracle } = await world(t, COMMON)
  for (const x of SCALARS) {
    const all: unknown[] = [x, { $in: [x, 'é', 7] }, { $nin: [x, 1] }]
    if (typeof x !== 'boolean') all.push({ $gt: x }, { $gte: x }, { $lt: x }, { $lte: x })
    for (const wanted of all) {
      const text = JSON.stringify({ a: wanted })
      assert.deepEqual(await allIds(table, text), oracle(text), text)
    }
  }
})

it('a filter as deep and as wide as filters may be is answered', async (t) => {
  const { table, oracle } = await world(t, ['{"x":1}', '{"x":2,"y":"z"}', null])
  let deep: unknown = { x: 1 }
  for (let i = 0; i < 10; i += 1) {
    deep = i % 2 === 0 ? { $or: [deep, { y: `z${i}` }] } : { $and: [{ $not: deep }, { x: 2 }] }
  }
  const wide = { $or: Array.from({ length: 300 }, (_, i) => ({ x: { $gt: i + 1, $ne: i } })) }
  const many = { x: { $in: Array.from({ length: 10_000 }, (_, i) => `value ${i} of many`) } }
  const some = { x: { $nin: [...Array.from({ length: 9_000 }, (_, i) => i + 5), 1] } }
  for (const json of [deep, wide, many, some, {}]) {
    const text = JSON.stringify(json)
    assert.deepEqual(await allIds(table, text), oracle(text), text.slice(0, 200))
  }
})

it('ranges over long strings look at every character', async (t) => {
  const long = 'ab'.repeat(100)
  const texts = [long, `${long}a`, long.slice(0, -1), `${long.slice(0, 150)}c`, long.slice(0, 64)]
  const { table, oracle } = await world(
    t,
    texts.map((s) => JSON.stringify({ s })),
  )
  for (const s of texts) {
    for (const op of ['$gt', '$gte', '$lt', '$lte']) {
      const text = JSON.stringify({ s: { [op]: s } })
      assert.deepEqual(await allIds(table, text), oracle(text), text)
    }
  }
  const tooLong = JSON.stringify({ s: { $gt: 'x'.repeat(4097) } })
  await assert.rejects(allIds(table, tooLong), { code: 'invalid_filter' })
})

it('texts of numbers and strings sort as numbers and strings do', () => {
  const number = fc.double({ noNaN: true })
  fc.assert(
    fc.property(number, number, (a, b) => {
      assert.equal(numberText(a) < numberText(b), a < b)
      assert.equal(numberText(a) === numberText(b), a === b)
    }),
  )
  const text = fc.string({ unit: 'binary' })
  fc.assert(
    fc.property(text, text, (a, b) => {
      const [x, y] = [Array.from(unitsText(a)), Array.from(unitsText(b))]
      const at = x.findIndex((character, i) => character !== y[i])
      const differs = at !== -1 && at < y.length
      const less = differs
        ? (x[at]?.codePointAt(0) ?? 0) < (y[at]?.codePointAt(0) ?? 0)
        : x.length < y.length
      assert.equal(less, a < b)
    }),
  )
})

it('metadata that repeats its names without end is refused', () => {
  const leaves = Object.fromEntries(Array.from({ length: 1000 }, (_, i) => [`k${i}`, i]))
  const deep = JSON.stringify({ ['n'.repeat(1000)]: leaves })
  assert.throws(() => termsOf(deep), { code: 'invalid_points' })
  for (const odd of ['[1]', '1', 'null', '{', '']) {
    assert.throws(() => termsOf(odd), { code: 'invalid_points' }, odd)
  }
})

async function world(
  test: TestContext,
  metadata: readonly (string | null)[],
): Promise<{ table: LanceDataset; oracle: (filter: string) => string[] }> {
  const { table } = await localTable(test)
  const ids = metadata.map((_, i) => String(i).padStart(6, '0'))
  await table.append(rowsOf(ids, { metadata: [...metadata] }))
  const index = new MetadataIndex()
  const live = new Bitmap()
  live.reserve(metadata.length)
  for (const [slot, text] of metadata.entries()) {
    live.add(slot)
    index.add(slot, parseMetadata(text))
  }
  const oracle = (filter: string): string[] => {
    const { slots } = index.match(filter, live)
    index.changed()
    return ids.filter((_, slot) => slots.has(slot))
  }
  return { table, oracle }
}

it('what would make a predicate too long is refused, however it is spread', () => {
  const refused = (filter: unknown): void => {
    assert.throws(() => filterSql(JSON.stringify(filter)), {
      code: 'invalid_filter',
      message: /characters together/,
    })
  }
  const ranges = (count: number, chars: number): unknown => {
    return { $or: Array.from({ length: count }, () => ({ s: { $gt: 'x'.repeat(chars) } })) }
  }
  refused(ranges(1, 4097))
  refused(ranges(64, 65))
  refused({ $not: ranges(500, 4096) })
  refused({ s: { $in: Array.from({ length: 9000 }, (_, i) => `${i}`.padEnd(64, ' ')) } })
  refused({ ['f'.repeat(600 * 1024)]: { $exists: true } })
  assert.ok((filterSql(JSON.stringify(ranges(64, 64)))?.length ?? 0) < 4 * 1024 * 1024)
  assert.ok(filterSql(JSON.stringify(ranges(1, 4096))) !== null)
})
