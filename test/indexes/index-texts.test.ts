/**
 * Texts of an index from their write to the vectors that an embedder made of them: a vector reaches the
 * version it was made from and no other, and a crash at any step loses neither.
 */

import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { it, type TestContext } from 'node:test'
import { MemoryStore } from '../../src/buckets/memory-store.ts'
import {
  BACKFILL_PRIORITY,
  WRITE_PRIORITY,
  type AppliedVector,
  type EmbedderStamp,
  type PendingText,
} from '../../src/domain/pending-text.ts'
import { textHash } from '../../src/domain/text-hash.ts'
import { upsertOf, type UpsertRow } from '../../src/domain/write-batch.ts'
import type { ServedIndex } from '../../src/indexes/served-index.ts'
import type { ShardClient } from '../../src/indexes/shard-client.ts'
import { FaultyStore } from '../support/faulty-store.ts'
import { openIndex } from '../support/index-scenario.ts'

const ONE: EmbedderStamp = {
  ...{ name: 'one', model: 'm', version: '1', dimension: 4, normalised: false },
}
const TWO: EmbedderStamp = { ...ONE, name: 'two', version: '2' }
const READ = { minLsn: 0, deadlineMs: 60_000 }
const WHOLE = { metadata: true, vector: true, text: true }

interface Options {
  readonly wrap?: (shard: ShardClient) => ShardClient
}

async function open(t: TestContext, options: Options = {}): Promise<ServedIndex> {
  const scratch = await mkdtemp(join(tmpdir(), 'vectord-texts-'))
  t.after(() => rm(scratch, { recursive: true }))
  const { served, close } = await openIndex(new MemoryStore(), scratch, options)
  t.after(close)
  served.changeMeta({ ...served.meta, embedder: ONE }, 2)
  return served
}

function write(served: ServedIndex, ...rows: (readonly [id: string, text: string])[]) {
  return writeRows(
    served,
    rows.map(([id, text]) => ({ id, text, vector: null, metadata: null })),
  )
}

function writeRows(served: ServedIndex, rows: readonly UpsertRow[]) {
  return served.write(upsertOf(4, rows), { ack: 'applied', deadlineMs: 60_000 })
}

function madeOf(
  { id, version, text }: PendingText,
  n: number,
  embedder: EmbedderStamp = ONE,
): AppliedVector {
  const vector = Float32Array.of(n, 1, 2, 3)
  return { id, version, textHash: textHash(id, text), vector, embedder }
}

async function pending(served: ServedIndex): Promise<readonly PendingText[]> {
  return (await served.texts.pending(null, 100)).items
}

async function vectorOf(served: ServedIndex, id: string): Promise<number[] | null> {
  const { points } = await served.fetch([id], WHOLE, READ)
  const vector = points[0]?.vector ?? null
  return vector && [...vector]
}

it('a text is found by id at once and by searches with its vector, under the version of its write', async (t) => {
  const served = await open(t)
  const { lsn } = await write(served, ['a', 'one'], ['b', 'two'])
  const query = { k: 5, ef: null, exact: false, filter: null, include: WHOLE }
  const target = { vector: Float32Array.of(7, 1, 2, 3) }
  const before = await served.search({ ...query, target }, READ)
  assert.deepEqual([before.hits, before.exhausted], [[], true])
  assert.equal(await served.count(null, READ), 2)
  const [first, second] = await pending(served)
  assert.ok(first !== undefined && second !== undefined)
  assert.deepEqual(first, { id: 'a', version: lsn, text: 'one', priority: WRITE_PRIORITY })
  assert.deepEqual(await served.texts.apply([madeOf(first, 7)], 60_000), {
    ...{ applied: 1, stale: [], lsn: lsn + 1 },
  })
  const { hits } = await served.search({ ...query, target }, READ)
  assert.deepEqual(
    hits.map(({ id, version, text, distance }) => ({ id, version, text, distance })),
    [{ id: 'a', version: lsn, text: 'one', distance: 0 }],
  )
  assert.deepEqual(await pending(served), [second])
  assert.deepEqual(await served.texts.count(), { writes: 1, backfill: 0 })
  assert.equal(served.info.stats?.pendingTexts, 1)
})

it('a vector whose point was written again, deleted or given a vector changes nothing', async (t) => {
  const served = await open(t)
  await write(served, ['a', 'one'], ['b', 'two'], ['c', 'three'], ['d', 'four'])
  const old = await pending(served)
  await write(served, ['a', 'one more'])
  await served.write({ kind: 'delete', ids: ['b'] }, { ack: 'applied', deadlineMs: 60_000 })
  const given = Float32Array.of(9, 9, 9, 9)
  await writeRows(served, [{ id: 'c', text: 'three', vector: given, metadata: null }])
  const vectors = old.map((text, n) => madeOf(text, n))
  const { applied, stale } = await served.texts.apply(vectors, 60_000)
  assert.deepEqual([applied, stale], [1, ['a', 'b', 'c']])
  assert.deepEqual(await vectorOf(served, 'a'), null)
  assert.deepEqual(await vectorOf(served, 'b'), null)
  assert.deepEqual(await vectorOf(served, 'c'), [9, 9, 9, 9])
  assert.deepEqual(await vectorOf(served, 'd'), [3, 1, 2, 3])
  const { lsn } = served.info
  assert.deepEqual(await served.texts.apply(vectors, 60_000), {
    ...{ applied: 0, stale: ['a', 'b', 'c', 'd'], lsn },
  })
  assert.equal(served.info.lsn, lsn, 'what is stale is not even logged')
})

it('a write that comes between the look and the log wins, and the vector is told as stale', async (t) => {
  let overtake: (() => Promise<unknown>) | null = null
  const wrap = (shard: ShardClient): ShardClient => ({
    ...shard,
    texts: async (request, bounds) => {
      const reply = await shard.texts(request, bounds)
      const first = overtake
      overtake = null
      if (request.kind === 'states') await first?.()
      return reply
    },
  })
  const served = await open(t, { wrap })
  await write(served, ['a', 'one'], ['b', 'two'])
  const old = await pending(served)
  overtake = () => write(served, ['a', 'another'])
  const vectors = old.map((text, n) => madeOf(text, n))
  const { applied, stale } = await served.texts.apply(vectors, 60_000)
  assert.deepEqual([applied, stale], [1, ['a']])
  const [waiting] = await pending(served)
  assert.equal(waiting?.text, 'another')
  assert.equal(await vectorOf(served, 'a'), null)
})

it('a vector of another text than it says, or of another embedder, is not believed', async (t) => {
  const served = await open(t)
  await write(served, ['a', 'one'], ['b', 'two'])
  const [a, b] = await pending(served)
  assert.ok(a !== undefined && b !== undefined)
  const swapped = { ...madeOf(a, 1), textHash: textHash('a', 'two') }
  const vectors = [swapped, madeOf(b, 2, TWO)]
  const { applied, stale } = await served.texts.apply(vectors, 60_000)
  assert.deepEqual([applied, stale], [0, ['a', 'b']])
  assert.equal((await pending(served)).length, 2)
})

it('vectors that no index can hold are refused before anything is logged', async (t) => {
  const served = await open(t)
  await write(served, ['a', 'one'])
  const [a] = await pending(served)
  assert.ok(a !== undefined)
  const { lsn } = served.info
  for (const [numbers, code] of [
    [[1, 2, 3], 'vector_dimension_mismatch'],
    [[1, 2, 3, NaN], 'invalid_vector'],
    [[1, 2, Infinity, 4], 'invalid_vector'],
  ] as const) {
    const bad = { ...madeOf(a, 1), vector: Float32Array.from(numbers) }
    await assert.rejects(served.texts.apply([madeOf(a, 1), bad], 60_000), { code })
  }
  assert.equal(served.info.lsn, lsn)
  assert.equal((await pending(served)).length, 1)
})

it('an index without an embedder takes no texts, whoever writes them', async (t) => {
  const served = await open(t)
  const { embedder: _, ...plain } = served.meta
  served.changeMeta(plain, 3)
  await assert.rejects(write(served, ['a', 'one']), { code: 'invalid_points' })
  assert.deepEqual(await served.texts.pending(null, 10), { items: [], next: null })
  assert.deepEqual(await served.texts.count(), { writes: 0, backfill: 0 })
  const { applied } = await served.texts.apply(
    [madeOf({ id: 'a', version: 1, text: 'one', priority: 0 }, 1)],
    60_000,
  )
  assert.equal(applied, 0)
})

it('another embedder makes a backfill of the texts, and their old vectors serve meanwhile', async (t) => {
  const served = await open(t)
  await write(served, ['a', 'one'], ['b', 'two'])
  const made = (await pending(served)).map((text, n) => madeOf(text, n))
  await served.texts.apply(made, 60_000)
  const given = { id: 'c', text: 'three', vector: Float32Array.of(9, 9, 9, 9), metadata: null }
  await writeRows(served, [given])
  await write(served, ['d', 'four'])
  let told = 0
  const stop = served.texts.onTexts(() => (told += 1))
  assert.deepEqual(await served.texts.count(TWO), { writes: 1, backfill: 2 })
  served.changeMeta({ ...served.meta, embedder: TWO }, 3)
  assert.equal(told, 1)
  stop()
  const waiting = await pending(served)
  assert.deepEqual(
    waiting.map(({ id, priority }) => [id, priority]),
    [
      ['a', BACKFILL_PRIORITY],
      ['b', BACKFILL_PRIORITY],
      ['d', WRITE_PRIORITY],
    ],
  )
  const { items } = await served.texts.pending(null, 10, WRITE_PRIORITY)
  assert.deepEqual(
    items.map(({ id }) => id),
    ['d'],
  )
  assert.deepEqual(await vectorOf(served, 'a'), [0, 1, 2, 3])
  const again = waiting.map((text, n) => madeOf(text, n + 5, TWO))
  assert.equal((await served.texts.apply(again, 60_000)).applied, 3)
  assert.deepEqual(await vectorOf(served, 'a'), [5, 1, 2, 3])
  assert.deepEqual(await served.texts.count(), { writes: 0, backfill: 0 })
  assert.deepEqual(await vectorOf(served, 'c'), [9, 9, 9, 9])
})

it('listeners are told of texts without vectors, and of nothing else', async (t) => {
  const served = await open(t)
  let told = 0
  const stop = served.texts.onTexts(() => (told += 1))
  await writeRows(served, [
    { id: 'a', text: 'with one', vector: Float32Array.of(1, 2, 3, 4), metadata: null },
  ])
  assert.equal(told, 0)
  await write(served, ['b', 'two'])
  assert.equal(told, 1)
  stop()
  await write(served, ['c', 'three'])
  assert.equal(told, 1)
})

for (const when of ['before', 'after'] as const) {
  it(`a crash ${when} any object operation loses no text and no vector that was acknowledged`, async (t) => {
    const scratch = await mkdtemp(join(tmpdir(), 'vectord-texts-'))
    t.after(() => rm(scratch, { recursive: true }))
    let crashes = 0
    for (let n = 1; ; n += 1) {
      const bucket = new MemoryStore()
      const store = new FaultyStore(bucket)
      store.crashAt(n, when)
      const done: string[] = []
      let through = false
      try {
        const { served } = await openIndex(store, scratch)
        served.changeMeta({ ...served.meta, embedder: ONE }, 2)
        await embed(served, (step) => done.push(step))
        through = !store.crashed
      } catch (error) {
        if (!store.crashed) throw error
        crashes += 1
      }
      const { served, close } = await openIndex(bucket, scratch)
      served.changeMeta({ ...served.meta, embedder: ONE }, 2)
      await checkEmbedded(served, done, `operation ${n}`)
      await served.checkpoint('always')
      assert.deepEqual((await served.verify()).faults, [])
      await close()
      if (through) break
    }
    assert.ok(crashes > 10, `${crashes} crashes`)
  })
}

/** Texts, a checkpoint while they wait, their vectors, a checkpoint with these. */
async function embed(served: ServedIndex, done: (step: string) => void): Promise<void> {
  await write(served, ['a', 'one'], ['b', 'two'], ['c', 'three'])
  done('written')
  await served.checkpoint('always')
  const waiting = await pending(served)
  await write(served, ['b', 'two again'])
  done('overwritten')
  await served.texts.apply(
    waiting.map((text, n) => madeOf(text, n)),
    60_000,
  )
  done('embedded')
  await served.checkpoint('always')
  await served.write({ kind: 'delete', ids: ['c'] }, { ack: 'applied', deadlineMs: 60_000 })
  done('deleted')
  await served.checkpoint('always')
}

async function checkEmbedded(
  served: ServedIndex,
  done: readonly string[],
  at: string,
): Promise<void> {
  const { points } = await served.fetch(['a', 'b', 'c'], WHOLE, READ)
  const [a, b, c] = points
  const waiting = new Map((await pending(served)).map(({ id, text }) => [id, text]))
  const checks: Record<string, () => void> = {
    written: () => {
      assert.deepEqual([a?.text, a?.version], ['one', 1], at)
    },
    overwritten: () => {
      assert.deepEqual([b?.text, waiting.get('b')], ['two again', 'two again'], at)
    },
    embedded: () => {
      assert.deepEqual(a?.vector, Float32Array.of(0, 1, 2, 3), at)
      assert.equal(waiting.has('a'), false, at)
    },
    deleted: () => {
      assert.equal(c, null, at)
    },
  }
  for (const step of done) checks[step]?.()
  // Either a point has its vector or it waits for one; nothing is in between.
  for (const point of [a, b, c]) {
    if (point) assert.equal(waiting.has(point.id), point.vector === null, at)
  }
}
