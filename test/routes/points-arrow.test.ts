/** Upserts as Arrow IPC streams, made by Arrow's own library. */

import assert from 'node:assert/strict'
import { it, type TestContext } from 'node:test'
import {
  Field,
  FixedSizeList,
  Float32,
  Table,
  Utf8,
  tableToIPC,
  vectorFromArray,
} from 'apache-arrow'
import fc from 'fast-check'
import { HTTP_LIMITS } from '../../src/http/limits.ts'
import { openApp, type TestApp } from '../support/http-app.ts'
import { fuzzParameters } from '../support/fuzz.ts'

const URL = '/vectors/indexes/words/points'
const ARROW = { 'content-type': 'application/vnd.apache.arrow.stream' }

interface Row {
  readonly id: string | null
  readonly vector: readonly number[]
  readonly text?: string | null
  readonly metadata?: string | null
}

function stream(rows: readonly Row[], dimension = 3): Uint8Array {
  const list = new FixedSizeList(dimension, new Field('item', new Float32()))
  const column = (values: readonly (string | null)[]): unknown =>
    vectorFromArray(values, new Utf8())
  const columns = {
    id: column(rows.map((row) => row.id)),
    vector: vectorFromArray(
      rows.map((row) => row.vector),
      list,
    ),
    text: column(rows.map((row) => row.text ?? null)),
    metadata: column(rows.map((row) => row.metadata ?? null)),
  }
  return tableToIPC(new Table(columns as never), 'stream')
}

async function open(t: TestContext): Promise<TestApp> {
  const app = await openApp(t, { limits: { ...HTTP_LIMITS, rowsMax: 5 } })
  await app.send('POST', '/vectors/indexes', { name: 'words', dimension: 3 })
  return app
}

it('200: a stream is stored as the same rows in JSON would be', async (t) => {
  const { send } = await open(t)
  const rows = [
    { id: 'a', vector: [1, 0.5, 0], text: 'hello', metadata: '{ "year": 2020, "tag": null }' },
    { id: 'b', vector: [0, 1, 0] },
  ]
  const reply = await send('POST', URL, stream(rows), ARROW)
  assert.deepEqual(reply.body, { lsn: 1, accepted: 2 }, reply.text)
  const a = await send('GET', `${URL}/a?include=metadata,vector,text`)
  const metadata = { year: 2020, tag: null }
  assert.deepEqual(a.body, { id: 'a', version: 1, vector: [1, 0.5, 0], text: 'hello', metadata })
  const b = await send('GET', `${URL}/b`)
  assert.deepEqual(b.body, { id: 'b', version: 1, metadata: null })
})

it('400: rows are checked as those of any other body', async (t) => {
  const { send, indexes } = await open(t)
  const vector = [1, 0, 0]
  const cases: [readonly Row[], string][] = [
    [[{ id: 'a', vector: [1, NaN, 0] }], 'invalid_points'],
    [[{ id: 'a', vector: [1, Infinity, 0] }], 'invalid_points'],
    [[{ id: 'a', vector: [0, 0, 0] }], 'invalid_points'],
    [[{ id: '', vector }], 'invalid_points'],
    [[{ id: null, vector }], 'invalid_points'],
    [
      [
        { id: 'a', vector },
        { id: 'a', vector },
      ],
      'invalid_points',
    ],
    [[{ id: 'a', vector, metadata: '{' }], 'invalid_points'],
    [[{ id: 'a', vector, metadata: '[1]' }], 'invalid_points'],
    [[{ id: 'a', vector, metadata: '{"__proto__":1}' }], 'invalid_points'],
    [[{ id: 'x'.repeat(513), vector }], 'limit_exceeded'],
    [Array.from({ length: 6 }, (_, i) => ({ id: `p${i}`, vector })), 'limit_exceeded'],
    [[], 'bad_request'],
  ]
  for (const [rows, code] of cases) {
    const reply = await send('POST', URL, stream(rows), ARROW)
    assert.deepEqual([reply.status, reply.code], [400, code], JSON.stringify(rows))
  }
  const flat = await send('POST', URL, stream([{ id: 'a', vector: [1, 0] }], 2), ARROW)
  assert.equal(flat.code, 'vector_dimension_mismatch')
  assert.equal(indexes.get('words').size, 0)
})

it('400: bytes that are no stream, cut anywhere or overwritten, never 5xx', async (t) => {
  const { send } = await open(t)
  const whole = stream([{ id: 'a', vector: [1, 0.5, 0], metadata: '{"year":2020}' }])
  const damage = fc.record({
    end: fc.oneof(fc.constant(whole.length), fc.nat(whole.length)),
    at: fc.nat(whole.length - 1),
    byte: fc.nat(255),
  })
  await fc.assert(
    fc.asyncProperty(damage, async ({ end, at, byte }) => {
      const bytes = Buffer.from(whole)
      bytes[at] = byte
      const reply = await send('POST', URL, bytes.subarray(0, end), ARROW)
      assert.ok(reply.status < 500, `${end} ${at} ${byte}: ${reply.text}`)
    }),
    fuzzParameters(1000),
  )
  for (const bytes of [Buffer.alloc(0), Buffer.from('PAR1'), Buffer.alloc(64, 0xff)]) {
    assert.equal((await send('POST', URL, bytes, ARROW)).status, 400)
  }
})
