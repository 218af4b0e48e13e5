/** What was read of batch logs is not read again, as far as the cache has room, and holds nobody up. */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { BatchCache } from '../../src/buckets/batch-cache.ts'
import { MemoryStore } from '../../src/buckets/memory-store.ts'
import type { JsonObject } from '../../src/buckets/revision-codec.ts'
import { collect } from '../support/collect.ts'
import { FaultyStore } from '../support/faulty-store.ts'
import { openTextLog as open, TEXT_PREFIX, textsOf } from '../support/text-log.ts'

it('an object that was read is not read again while the cache has room', async () => {
  const store = new FaultyStore(new MemoryStore())
  const log = open(store, { cache: new BatchCache(1000) })
  for (let i = 0; i < 40; i += 1) {
    log.append(`entry ${i}`)
    await log.flush()
  }
  await log.read()
  assert.equal(getsOf(store), 40)
  await log.read()
  assert.ok(getsOf(store) > 40, 'the cache is bounded')
  await log.compact()
  assert.equal((await textsOf(log)).length, 40)
  const roomy = open(store, { cache: new BatchCache(1_000_000) })
  await roomy.read()
  const before = getsOf(store)
  assert.equal((await textsOf(roomy)).length, 40)
  assert.equal(getsOf(store), before)
})

it('logs that share a cache share its bound; what one drops or merges leaves it', async () => {
  const store = new FaultyStore(new MemoryStore())
  const cache = new BatchCache<string>(2000)
  const [small, large] = [open(store, { cache }), open(store, { cache, prefix: 'log/y/' })]
  small.append('here')
  large.append('y'.repeat(1500))
  for (const log of [small, large]) await log.flush()
  for (let i = 0; i < 3; i += 1) for (const log of [small, large]) await log.read()
  assert.equal(getsOf(store), 2, 'both have room')
  large.append('z'.repeat(1500))
  await large.flush()
  assert.equal((await large.read()).entries.length, 2)
  await small.read()
  assert.equal(getsOf(store), 5, 'the newest object was read, then the others took turns')
  const keys = (await collect(store.list(''))).map(({ key }) => key)
  assert.equal(keys.filter((key) => cache.get(key) !== undefined).length, 2)
  await large.drop()
  assert.deepEqual(
    keys.filter((key) => cache.get(key) !== undefined),
    keys.filter((key) => key.startsWith(TEXT_PREFIX)),
  )
})

it('a log is read and written in steps, and read once for all who ask at the same time', async () => {
  const store = new FaultyStore(new MemoryStore())
  const slow = {
    toJson: (text: string) => ({ text: busy(text) }),
    fromJson: ({ text }: JsonObject) => busy(text as string),
  }
  const log = open(store, { codec: slow, cache: new BatchCache(1_000_000) })
  for (let i = 0; i < 40; i += 1) log.append(`entry ${i}`)
  assert.ok((await turnsDuring(() => log.flush())) >= 10, 'a flush gives way')
  const ask = async (): Promise<void> => {
    const all = await Promise.all([log.read(), log.read(), log.read()])
    for (const { entries } of all) assert.equal(entries.length, 40)
  }
  assert.ok((await turnsDuring(ask)) >= 10, 'a read gives way')
  assert.equal(getsOf(store), 1)
})

function getsOf(store: FaultyStore): number {
  return store.log.filter(({ operation }) => operation === 'get').length
}

/** Takes a few milliseconds for it. */
function busy(text: string): string {
  const endMs = performance.now() + 3
  while (performance.now() < endMs);
  return text
}

/** How often others had a turn of the event loop meanwhile. */
async function turnsDuring(work: () => Promise<unknown>): Promise<number> {
  let turns = 0
  let isOver = false
  const count = (): void => {
    turns += 1
    if (!isOver) setImmediate(count)
  }
  setImmediate(count)
  await work()
  isOver = true
  return turns
}
