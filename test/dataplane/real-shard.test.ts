/**
 * The data plane over what a core really hosts: shards of `src/shard` over a local bucket.
 */

import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { it } from 'node:test'
import { encodeBatch } from '../../src/codecs/batch-codec.ts'
import type { ShardQuery } from '../../src/domain/search.ts'
import { textHash } from '../../src/domain/text-hash.ts'
import { upsertOf, type LoggedBatch } from '../../src/domain/write-batch.ts'
import { Dataplane } from '../../src/dataplane/dataplane.ts'
import { serving, until } from './plane.ts'
import { IN_TIME, MemorySource } from './specs.ts'

const ROWS = 200

function upsert(from: number): Uint8Array {
  const numbers = Array.from({ length: ROWS }, (_, i) => from + i)
  return encodeBatch({
    kind: 'upsert',
    dimension: 4,
    ids: numbers.map((n) => `p${n}`),
    vectors: Float32Array.from(numbers.flatMap((n) => [n, n % 7, n % 11, 1])),
    texts: numbers.map(() => null),
    metadata: numbers.map((n) => JSON.stringify({ even: n % 2 === 0 })),
  })
}

function queryAt(n: number, filter: string | null = null): ShardQuery {
  return {
    target: { vector: Float32Array.from([n, n % 7, n % 11, 1]) },
    k: 3,
    ef: null,
    exact: false,
    filter,
    include: { metadata: true, vector: true, text: false },
  }
}

it('a shard serves, survives its core, and comes back from checkpoint and log', async (t) => {
  const root = await mkdtemp(join(tmpdir(), 'vectord-dataplane-'))
  const plane = new Dataplane({ cores: 1, restartMinMs: 10 })
  t.after(async () => {
    await plane.close(2000)
    await rm(root, { recursive: true, force: true })
  })
  const source = new MemorySource('real')
  source.change({ bucket: { backend: 'local', root }, scratch: join(root, 'scratch') })
  const shard = await plane.attach(source)
  await shard.whenReady()
  const write = async (payload: Uint8Array): Promise<void> => {
    const lsn = source.records.length + 1
    source.records.push({ lsn, payload })
    await shard.apply(lsn, payload)
  }
  const check = async (last: number): Promise<void> => {
    assert.equal(await shard.count(null, IN_TIME), last)
    for (const n of [0, last - 1]) {
      const { hits, lsn } = await shard.search(queryAt(n), IN_TIME)
      assert.equal(hits[0]?.id, `p${n}`)
      assert.deepEqual(hits[0].vector, Float32Array.from([n, n % 7, n % 11, 1]))
      assert.equal(lsn, source.records.length)
    }
    const { hits } = await shard.search(queryAt(1, '{"even":true}'), IN_TIME)
    assert.ok(hits.every((hit) => hit.metadata === '{"even":true}'))
    assert.deepEqual(await shard.verify(), [])
  }
  await write(upsert(0))
  await write(upsert(ROWS))
  await check(2 * ROWS)
  const checkpoint = await shard.checkpoint('always')
  assert.equal(checkpoint.lsn, 2)
  source.change({ checkpoint })
  await write(upsert(2 * ROWS))
  await check(3 * ROWS)
  const { pid } = plane.cores()[0] ?? {}
  assert.ok(typeof pid === 'number')
  process.kill(pid, 'SIGABRT')
  await until(() => shard.state !== 'ready')
  await serving(shard)
  await check(3 * ROWS)
  const page = await shard.scroll(
    { after: null, limit: 1000, filter: null, include: queryAt(0).include },
    IN_TIME,
  )
  assert.equal(new Set(page.points.map(({ id }) => id)).size, 3 * ROWS)
  const found = await shard.fetch(['p0', 'none'], queryAt(0).include, IN_TIME)
  assert.deepEqual(
    found.map((point) => point?.id),
    ['p0', undefined],
  )
})

it('texts are asked for, and their vectors applied, across the socket', async (t) => {
  const root = await mkdtemp(join(tmpdir(), 'vectord-dataplane-'))
  const plane = new Dataplane({ cores: 1, restartMinMs: 10 })
  t.after(async () => {
    await plane.close(2000)
    await rm(root, { recursive: true, force: true })
  })
  const source = new MemorySource('texts')
  source.change({ bucket: { backend: 'local', root }, scratch: join(root, 'scratch') })
  const shard = await plane.attach(source)
  await shard.whenReady()
  const row = { vector: null, metadata: null }
  const texts = [
    { ...row, id: 'a', text: 'täxt' },
    { ...row, id: 'b', text: 'two' },
  ]
  const write = async (batch: LoggedBatch): Promise<void> => {
    const record = { lsn: source.records.length + 1, payload: encodeBatch(batch) }
    source.records.push(record)
    await shard.apply(record.lsn, record.payload)
  }
  await write(upsertOf(4, texts))
  const tag = 'm@1/4/raw'
  const page = { kind: 'page', tag, after: null, limit: 1, priority: null } as const
  const { page: first } = await shard.texts(page, IN_TIME)
  assert.deepEqual(first, {
    items: [{ id: 'a', version: 1, text: 'täxt', priority: 1000 }],
    positions: [{ lsn: 1, row: 0 }],
    done: false,
  })
  await write({
    ...{ kind: 'project', dimension: 4, ids: ['a'], vectors: Float32Array.of(1, 2, 3, 4) },
    ...{ versions: Float64Array.of(1), textHashes: [textHash('a', 'täxt')], embedders: [tag] },
  })
  const counts = { kind: 'count', tag: 'm@2/4/raw' } as const
  assert.deepEqual(await shard.texts(counts, IN_TIME), { counts: { writes: 1, backfill: 1 } })
  const states = { kind: 'states', ids: ['b', 'a', 'none'] } as const
  assert.deepEqual(await shard.texts(states, IN_TIME), {
    states: [{ version: 1, tag: null }, { version: 1, tag }, null],
  })
})
