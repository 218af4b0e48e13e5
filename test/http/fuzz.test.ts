/**
 * Fuzz: whatever a client sends, the answer is a 2xx or a 4xx with a code of the table, soon.
 *
 * How: bodies are grown from the words of the API, so that they get past the first check, and
 * broken in one place; queries and filters likewise. A 5xx, an unknown code or a reply that its
 * schema does not know fails. `npm run proof:fuzz` takes it to any
 * size.
 */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import fc from 'fast-check'
import { HTTP_LIMITS } from '../../src/http/limits.ts'
import { ERROR_KINDS } from '../../src/lib/errors.ts'
import { openApp, type TestApp } from '../support/http-app.ts'
import { fuzzParameters } from '../support/fuzz.ts'

/** Honest answers here take a millisecond; this is for machines that are busy. */
const HANG_MS = 10_000

const odd = fc.constantFrom<unknown>(
  ...[null, true, '', 'NaN', '1', [], {}, -1, 0, 1.5, 1e39, -1e308, 2 ** 53, 1e-46, '\ud800'],
  ...['AAAAAAAAAAA=', 'x'.repeat(600), [null], [[1]], { $gt: 1 }, ['a', 'a'], '__proto__'],
)
/** Something valid, of which up to two fields are then overwritten by something odd. */
function damaged<T extends object>(valid: fc.Arbitrary<T>): fc.Arbitrary<object> {
  return valid.chain((whole) => {
    const name = fc.constantFrom(...Object.keys(whole), 'other')
    return fc.dictionary(name, odd, { maxKeys: 2 }).map((damage) => ({ ...whole, ...damage }))
  })
}

const rarelyOdd = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<unknown> =>
  fc.oneof({ weight: 20, arbitrary }, { weight: 1, arbitrary: odd })

const number = rarelyOdd(fc.double({ min: -100, max: 100, noNaN: true }))
const numbers = fc.array(number, { minLength: 3, maxLength: 3 })
const packed = numbers.map((all) => Buffer.from(Float32Array.from(all as number[]).buffer))
const vector = fc.oneof(
  numbers,
  packed.map((bytes) => bytes.toString('base64')),
)
const id = fc.oneof({ weight: 9, arbitrary: fc.constantFrom('a', 'b', 'c') }, fc.string())
const word = fc.constantFrom('a', 'b', 'a.b', 'year', '', '$and', '$x', 'constructor', 'toString')

const { filter } = fc.letrec((tie) => ({
  filter: fc.oneof(
    { depthSize: 'small' },
    fc.dictionary(word, tie('condition'), { maxKeys: 3 }),
    fc.record({ $and: fc.array(tie('filter'), { maxLength: 3 }) }),
    fc.record({ $or: fc.array(tie('filter'), { maxLength: 3 }) }),
    fc.record({ $not: tie('filter') }),
    odd,
  ),
  condition: fc.oneof(
    { depthSize: 'small' },
    odd,
    fc.dictionary(
      fc.constantFrom('$eq', '$ne', '$gt', '$gte', '$lt', '$lte', '$in', '$nin', '$exists', '$y'),
      fc.oneof(odd, fc.array(odd, { maxLength: 3 })),
      { maxKeys: 2 },
    ),
  ),
}))

const searchFields = {
  k: fc.integer({ min: 1, max: 1010 }),
  ef: fc.integer({ min: 1, max: 10_010 }),
  exact: fc.boolean(),
  include: fc.subarray(['metadata', 'vector', 'text']),
  vector_encoding: fc.constantFrom('array', 'base64'),
  min_lsn: fc.nat(),
  deadline_ms: fc.integer({ min: 1, max: 10_000 }),
  as_of: fc.integer({ min: 0, max: 2 }),
}
const plain = fc.record({ vector, ...searchFields }, { requiredKeys: ['vector'] })
const filtered = fc.record({ id, filter, ...searchFields }, { requiredKeys: ['id', 'filter'] })
const text = fc.string({ unit: 'binary' })
const textFields = {
  text: fc.oneof(text, fc.constantFrom('x', 'x y', 'é')),
  mode: fc.constantFrom('vector', 'keyword', 'hybrid'),
  include: fc.subarray(['metadata', 'text', 'highlights']),
}
const byText = fc.record(
  { ...searchFields, ...textFields, vector },
  { requiredKeys: ['text', 'mode'] },
)
const search = damaged(fc.oneof(plain, filtered, byText))
const groups = damaged(
  fc.record(
    { ...{ vector, filter, group_by: word, group_size: fc.integer({ min: 0, max: 11 }) } },
    { requiredKeys: ['vector', 'group_by'] },
  ),
)

const metadata = fc.dictionary(fc.string(), fc.jsonValue(), { maxKeys: 4 })
const wholePoint = fc.record({ id, vector, text, metadata }, { requiredKeys: ['id', 'vector'] })
const point = fc.oneof({ weight: 3, arbitrary: wholePoint }, damaged(wholePoint))
const points = fc.array(point, { minLength: 1, maxLength: 4 })
const columns = fc.array(fc.tuple(id, vector), { minLength: 1, maxLength: 3 }).map((rows) => ({
  ids: rows.map(([name]) => name),
  vectors: rows.map(([, numbers]) => numbers),
}))
const upsert = fc.oneof(fc.record({ points }), damaged(columns), odd)

const chunking = fc.record(
  {
    max_chars: fc.integer({ min: 49, max: 200 }),
    overlap_sentences: fc.integer({ min: -1, max: 21 }),
    locale: fc.constantFrom('en', 'ja', 'x'),
  },
  { requiredKeys: [] },
)
const document = damaged(fc.record({ id, text: textFields.text, metadata }))
const documents = damaged(
  fc.record(
    { documents: fc.array(document, { minLength: 1, maxLength: 2 }), chunking: damaged(chunking) },
    { requiredKeys: ['documents'] },
  ),
)
const profile = damaged(
  fc.record(
    {
      ...{ model: fc.constantFrom('m', 'm:1', 'a b'), description: text, embed_model: fc.string() },
      bound_indexes: fc.array(fc.constantFrom('words', 'texts', 'a/b'), { maxLength: 3 }),
      hnsw: damaged(fc.record({ m: fc.integer({ min: 1, max: 140 }), seed: fc.nat() })),
    },
    { requiredKeys: ['model'] },
  ),
)

const create = damaged(
  fc.record(
    {
      name: fc.constantFrom('words', 'new', 'new', 'a/b'),
      dimension: fc.integer({ min: 1, max: 9000 }),
      metric: fc.constantFrom('cosine', 'l2', 'ip'),
      hnsw: damaged(fc.record({ m: fc.integer({ min: 1, max: 140 }), seed: fc.nat() })),
      shards: fc.integer({ min: 1, max: 70 }),
      retention: damaged(fc.record({ keep_last_versions: fc.integer({ min: 1, max: 1100 }) })),
    },
    { requiredKeys: ['name', 'dimension'] },
  ),
)

async function open(t: Parameters<typeof openApp>[0]): Promise<TestApp> {
  const app = await openApp(t, { limits: { ...HTTP_LIMITS, rowsMax: 3 } })
  await app.send('POST', '/vectors/indexes', { name: 'words', dimension: 3 })
  const metadata = { a: 1, year: [1, 2], b: 'x' }
  const first = { id: 'a', vector: [1, 2, 3], text: 'x y', metadata }
  await app.send('POST', '/vectors/indexes/words/points', { points: [first] })
  app.embedder.embed = async () => Float32Array.of(1, 2, 3)
  return app
}

type Sent = Parameters<TestApp['send']>

async function survives({ send }: TestApp, ...sent: Sent): Promise<number> {
  const startMs = performance.now()
  const { status, code, text } = await send(...sent)
  assert.ok(performance.now() - startMs < HANG_MS, `slow: ${JSON.stringify(sent)}`)
  assert.ok(status < 500, `${status} for ${JSON.stringify(sent)}: ${text}`)
  if (status >= 400) assert.ok(code !== null && code in ERROR_KINDS, text)
  return status
}

/** Also asserts that some requests got through: a fuzz that never passes the door tests the door. */
async function fuzz<T>(
  arbitrary: fc.Arbitrary<T>,
  send: (value: T) => Promise<number>,
): Promise<void> {
  const statuses = new Map<number, number>()
  await fc.assert(
    fc.asyncProperty(arbitrary, async (value) => {
      const status = await send(value)
      statuses.set(status, (statuses.get(status) ?? 0) + 1)
    }),
    fuzzParameters(1500),
  )
  assert.ok(
    [...statuses.keys()].some((status) => status < 300),
    JSON.stringify([...statuses]),
  )
  assert.ok(
    [...statuses.keys()].some((status) => status >= 400),
    JSON.stringify([...statuses]),
  )
}

it('search bodies', async (t) => {
  const app = await open(t)
  await fuzz(search, (body) => survives(app, 'POST', '/vectors/indexes/words/search', body))
})

it('batches of searches', async (t) => {
  const app = await open(t)
  const body = fc.oneof(fc.record({ queries: fc.array(search, { maxLength: 3 }) }), odd)
  await fuzz(body, (value) => survives(app, 'POST', '/vectors/indexes/words/search/batch', value))
})

it('groups, documents, and profiles with searches in their scope', async (t) => {
  const app = await open(t)
  await app.send('POST', '/vectors/indexes', { name: 'texts', dimension: 3 })
  const grouped = '/vectors/indexes/words/search/groups'
  await fuzz(groups, (body) => survives(app, 'POST', grouped, body))
  const url = '/vectors/indexes/texts/documents'
  await fuzz(documents, (body) => survives(app, 'POST', url, body))
  await fuzz(profile, (body) => survives(app, 'PUT', '/vectors/profiles/p', body))
  await app.send('PUT', '/vectors/profiles/p', { model: 'm', bound_indexes: ['words'] })
  const index = fc.constantFrom('words', 'words', 'words', 'texts', 'a/b')
  const scoped = fc.tuple(search, index).map(([body, name]) => ({ ...body, index: name }))
  await fuzz(scoped, (body) => survives(app, 'POST', '/vectors/profile/p/search', body))
})

it('upserts in JSON and NDJSON, deletes', async (t) => {
  const app = await open(t)
  const url = '/vectors/indexes/words/points'
  await fuzz(upsert, (body) => survives(app, 'POST', url, body))
  const lines = fc
    .array(fc.oneof(point, odd), { maxLength: 4 })
    .map((all) => all.map((line) => JSON.stringify(line)).join('\n'))
  const ndjson = { 'content-type': 'application/x-ndjson' }
  await fuzz(fc.oneof(lines, fc.string()), (body) => survives(app, 'POST', url, body, ndjson))
  const deletes = fc.oneof(
    damaged(fc.record({ ids: fc.array(id, { minLength: 1, maxLength: 4 }) })),
    fc.record({ filter }),
    odd,
  )
  await fuzz(deletes, (body) => survives(app, 'POST', `${url}/delete`, body))
})

it('settings of new indexes', async (t) => {
  const app = await open(t)
  await fuzz(create, async (body) => {
    const status = await survives(app, 'POST', '/vectors/indexes', body)
    await app.send('DELETE', '/vectors/indexes/new')
    return status
  })
})

it('text that is cut, repeated or overwritten at a random place', async (t) => {
  const app = await open(t)
  const good = Buffer.from('{"vector":[1,0.5,-2e-3],"k":3,"filter":{"a":{"$in":[1,"x"]}}}')
  const damage = fc.record({
    at: fc.nat(good.length),
    length: fc.nat(6),
    bytes: fc.uint8Array({ maxLength: 6 }),
  })
  await fuzz(damage, ({ at, length, bytes }) => {
    const body = Buffer.concat([good.subarray(0, at), bytes, good.subarray(at + length)])
    return survives(app, 'POST', '/vectors/indexes/words/search', body)
  })
})

it('paths, queries and headers', async (t) => {
  const app = await open(t)
  const name = fc.constantFrom(
    'limit',
    'cursor',
    'filter',
    'include',
    'min_lsn',
    'deadline_ms',
    'x',
  )
  const value = fc.oneof(
    fc.constantFrom('1', '5', 'metadata', 'vector,text', '{}', '{"a":1}', 'MToxOjA'),
    fc.string({ unit: 'binary', maxLength: 12 }),
  )
  const query = fc.dictionary(name, value, { maxKeys: 2 })
  await fuzz(query, (fields) => {
    const text = new URLSearchParams(fields).toString()
    return survives(app, 'GET', `/vectors/indexes/words/points?${text}`)
  })
  for (const path of ['points/a', 'points/a/versions']) {
    const one = fc.tuple(query, fc.option(value, { nil: '1' })).map(([fields, version]) => ({
      ...fields,
      ...(path === 'points/a' && { version }),
    }))
    await fuzz(one, (fields) => {
      const text = new URLSearchParams(fields).toString()
      return survives(app, 'GET', `/vectors/indexes/words/${path}?${text}`)
    })
  }
  const segment = fc.oneof(fc.constantFrom('a', 'words', '..', '%2F'), fc.string({ maxLength: 8 }))
  await fuzz(fc.tuple(segment, fc.boolean()), ([part, raw]) => {
    const last = raw
      ? part.replaceAll(/[^\x21-\x7e]/g, '')
      : encodeURIComponent(part.toWellFormed())
    return survives(app, 'GET', `/vectors/indexes/words/points/${last}`)
  })
})
