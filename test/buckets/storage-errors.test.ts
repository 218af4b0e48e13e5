/** The journal of storage failures: nothing is lost or shown twice, and it never makes things worse. */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { MemoryStore } from '../../src/buckets/memory-store.ts'
import type { ObjectStore } from '../../src/buckets/object-store.ts'
import { StorageErrors } from '../../src/buckets/storage-errors.ts'
import { collect } from '../support/collect.ts'
import { FaultyStore } from '../support/faulty-store.ts'

it('what waits and what was flushed is listed, newest first, also after a restart', async () => {
  const store = new MemoryStore()
  const errors = open(store)
  record(errors, 'a')
  assert.equal(await errors.flush(), 1)
  assert.equal(await errors.flush(), 0)
  record(errors, 'b')
  record(errors, 'c')
  assert.deepEqual(await keysOf(errors), ['c', 'b', 'a'])
  assert.equal((await errors.list(2)).length, 2)
  await errors.flush()
  assert.deepEqual(await keysOf(open(store)), ['c', 'b', 'a'])
})

it('compaction leaves one object with everything', async () => {
  const store = new MemoryStore()
  const errors = open(store)
  for (const key of ['a', 'b', 'c', 'd']) {
    record(errors, key)
    await errors.flush()
  }
  assert.equal(await errors.compact(), 4)
  assert.equal((await objects(store)).length, 1)
  assert.deepEqual(await keysOf(errors), ['d', 'c', 'b', 'a'])
  assert.equal(await errors.compact(), 1)
})

it('a crash at any step of a compaction loses nothing and shows nothing twice', async () => {
  for (const when of ['before', 'after'] as const) {
    for (let at = 1; ; at += 1) {
      const inner = new MemoryStore()
      const errors = open(inner)
      for (const key of ['a', 'b', 'c']) {
        record(errors, key)
        await errors.flush()
      }
      const store = new FaultyStore(inner)
      store.crashAt(at, when)
      await open(store)
        .compact()
        .catch(() => undefined)
      assert.deepEqual((await keysOf(open(inner))).sort(), ['a', 'b', 'c'])
      await open(inner).compact()
      assert.deepEqual((await keysOf(open(inner))).sort(), ['a', 'b', 'c'])
      if (!store.crashed) break
    }
  }
})

it('while the bucket is down entries wait, a bounded number, and stay readable', async () => {
  const store = new FaultyStore(new MemoryStore())
  const errors = open(store)
  store.inject({ kind: 'error', code: 'bucket_unreachable', when: 'before', times: Infinity })
  for (let n = 0; n < 10_050; n += 1) record(errors, String(n))
  await assert.rejects(errors.flush(), { code: 'bucket_unreachable' })
  assert.deepEqual(errors.counts, { total: 10_050, dropped: 50, waiting: 10_000 })
  assert.equal((await errors.list(5)).length, 5)
  store.heal()
  assert.equal(await errors.flush(), 10_000)
})

it('a torn or alien object is reported, and the rest is read', async () => {
  const store = new MemoryStore()
  const errors = open(store)
  record(errors, 'a')
  record(errors, 'b')
  await errors.flush()
  const [key] = await objects(store)
  assert.ok(key !== undefined)
  const body = await store.get(key)
  await store.put(key, body.subarray(0, body.byteLength - 20))
  await store.put('_storage_errors/alien', Buffer.from([0xff, 0, 1]))
  const found = await open(store).list(10)
  assert.deepEqual(found.map((failure) => `${failure.code} ${failure.key ?? ''}`).sort(), [
    'object_corrupt _storage_errors/alien',
    `object_corrupt ${key}`,
    'storage_full a',
  ])
  record(errors, 'c')
  await errors.flush()
  record(errors, 'd')
  await errors.flush()
  assert.equal(await errors.compact(), 2)
  assert.equal((await objects(store)).length, 3) // What cannot be read is not thrown away.
})

let nowMs = 1_700_000_000_000

function open(store: ObjectStore): StorageErrors {
  return new StorageErrors(store, () => (nowMs += 1))
}

function record(errors: StorageErrors, key: string): void {
  errors.record({ bucket: 'cold', operation: 'put', key, code: 'storage_full', message: 'full' })
}

async function keysOf(errors: StorageErrors): Promise<(string | null)[]> {
  return (await errors.list(100)).map((failure) => failure.key)
}

async function objects(store: ObjectStore): Promise<string[]> {
  return (await collect(store.list('_storage_errors/'))).map((object) => object.key)
}
