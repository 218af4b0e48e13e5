/** Drops of plain objects: merged journal batches, copies left in another bucket, cached graphs. */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { MemoryStore } from '../../src/buckets/memory-store.ts'
import type { ObjectStore } from '../../src/buckets/object-store.ts'
import { GraphCache } from '../../src/indexes/graph-cache.ts'
import type { DropKind } from '../../src/versions/drop-request.ts'
import { DropWork, type DropHandler } from '../../src/versions/drop-work.ts'
import { COPY_VERSION, LeftPlaces, ReplacedObjects } from '../../src/versions/object-drops.ts'
import { CACHE_VERSION, Pins } from '../../src/versions/pins.ts'

interface Outcome {
  readonly objects: number
  readonly bytes: number
  readonly isHeld: boolean
}

async function dropped(
  handler: DropHandler,
  kind: DropKind,
  { commitVersion, pins = new Pins() }: { readonly commitVersion: number; readonly pins?: Pins },
): Promise<Outcome> {
  let objects = 0
  let bytes = 0
  const work = new DropWork({
    ...{ kind, key: 'docs', rules: [{ commitVersion }] },
    pinned: () => pins.of(kind, 'docs'),
    turn: () => Promise.resolve(),
    onDeleted: (size) => {
      objects += 1
      bytes += size
    },
  })
  await handler.drop(work)
  return { objects, bytes, isHeld: work.isHeld }
}

async function keysOf(store: ObjectStore): Promise<string[]> {
  const keys: string[] = []
  for await (const { key } of store.list('')) keys.push(key)
  return keys
}

async function filled(sizes: Readonly<Record<string, number>>): Promise<MemoryStore> {
  let clockMs = 0
  const store = new MemoryStore(undefined, () => (clockMs += 1))
  for (const [key, bytes] of Object.entries(sizes)) await store.put(key, Buffer.alloc(bytes))
  return store
}

it('only objects that were named by then are dropped, each counted once', async () => {
  const store = await filled({ a: 1, b: 2, c: 4, d: 8 })
  const replaced = new ReplacedObjects()
  const first = replaced.add('docs', store, [
    { key: 'a', bytes: 1 },
    { key: 'b', bytes: 2 },
  ])
  replaced.add('docs', store, [{ key: 'c', bytes: 4 }])
  const outcome = await dropped(replaced, 'journal_batches', { commitVersion: first })
  assert.deepEqual(outcome, { objects: 2, bytes: 3, isHeld: false })
  assert.deepEqual(await keysOf(store), ['c', 'd'])
  const again = await dropped(replaced, 'journal_batches', { commitVersion: first })
  assert.equal(again.objects, 0)
})

it('everything under the prefixes of a place that was left goes, and nothing else', async () => {
  const store = await filled({
    'x/1': 1,
    'x/2': 2,
    'xy/1': 4,
    'z/docs.json': 8,
    'z/docs.json5': 16,
  })
  let home: ObjectStore | null = null
  const left = new LeftPlaces((_, place) => place === home)
  left.add('docs', { store, prefixes: ['x/', 'z/docs.json'] })
  const pins = new Pins()
  const release = pins.pin({ kind: 'moved_copies', key: 'docs', version: COPY_VERSION })
  const held = await dropped(left, 'moved_copies', { commitVersion: 1, pins })
  assert.deepEqual(held, { objects: 0, bytes: 0, isHeld: true })
  release()
  const outcome = await dropped(left, 'moved_copies', { commitVersion: 1, pins })
  assert.deepEqual(outcome, { objects: 4, bytes: 27, isHeld: false })
  assert.deepEqual(await keysOf(store), ['xy/1'])
  await store.put('x/new', Buffer.from('an index that moved back'))
  assert.equal((await dropped(left, 'moved_copies', { commitVersion: 1 })).objects, 0)
  // Left again, and home again before its drop: what is there is the index.
  left.add('docs', { store, prefixes: ['x/'] })
  home = store
  assert.equal((await dropped(left, 'moved_copies', { commitVersion: 1 })).objects, 0)
  assert.deepEqual(await keysOf(store), ['x/new', 'xy/1'])
})

const FOLDER = '_hnsw_graphs/docs/'
const graph = (digit: string, bytes: number): Readonly<Record<string, number>> => ({
  [`${FOLDER}${digit.repeat(32)}-0.hnsw`]: bytes - 2,
  [`${FOLDER}${digit.repeat(32)}-0.labels`]: 1,
  [`${FOLDER}${digit.repeat(32)}.json`]: 1,
})

function cacheOf(store: ObjectStore, bytesMax: number): GraphCache {
  return new GraphCache({ storeOf: () => store, bytesMax, onStored: () => Promise.resolve() })
}

it('cached graphs over the bound go whole, oldest first, never the last', async () => {
  const store = await filled({ ...graph('a', 100), ...graph('b', 100), ...graph('c', 100) })
  const pins = new Pins()
  const release = pins.pinReader('docs', 7)
  const commit = { commitVersion: CACHE_VERSION, pins }
  const held = await dropped(cacheOf(store, 250), 'generations', commit)
  assert.deepEqual(held, { objects: 0, bytes: 0, isHeld: true })
  release()
  const outcome = await dropped(cacheOf(store, 250), 'generations', commit)
  assert.deepEqual(outcome, { objects: 3, bytes: 100, isHeld: false })
  assert.equal((await dropped(cacheOf(store, 0), 'generations', commit)).bytes, 100)
  assert.deepEqual(await keysOf(store), Object.keys(graph('c', 100)).sort())
})

it('files of a graph without a description go, as far as nobody is writing them', async () => {
  const { [`${FOLDER}${'a'.repeat(32)}.json`]: _, ...files } = graph('a', 50)
  const store = await filled({ ...files, ...graph('b', 10) })
  const pins = new Pins()
  const release = pins.pinReader('docs', 7)
  const commit = { commitVersion: CACHE_VERSION, pins }
  assert.ok((await dropped(cacheOf(store, 1e6), 'generations', commit)).isHeld)
  assert.equal((await keysOf(store)).length, 5)
  release()
  assert.equal((await dropped(cacheOf(store, 1e6), 'generations', commit)).bytes, 49)
  assert.deepEqual(await keysOf(store), Object.keys(graph('b', 10)).sort())
})
