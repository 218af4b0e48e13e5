/** Drops of plain objects: merged journal batches, copies left in another bucket, cached graphs. */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { MemoryStore } from '../../src/buckets/memory-store.ts'
import type { ObjectStore } from '../../src/buckets/object-store.ts'
import { GraphCache } from '../../src/indexes/graph-cache.ts'
import { VectordError } from '../../src/lib/errors.ts'
import type { DropKind } from '../../src/versions/drop-request.ts'
import { DropWork, type DropHandler } from '../../src/versions/drop-work.ts'
import {
  COPY_VERSION,
  MovedCopies,
  ReplacedObjects,
  type LeftCopy,
} from '../../src/versions/object-drops.ts'
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

/** A copy that is everything under `x/`. */
function copyIn(store: ObjectStore): LeftCopy {
  return { store, objects: () => store.list('x/') }
}

it('the copy of an index that lives elsewhere goes, once nobody has it open, and nothing else', async () => {
  const store = await filled({ 'x/1': 1, 'x/2': 2, 'xy/1': 4 })
  const moved = new MovedCopies()
  const gone = moved.add('docs', copyIn(store))
  assert.equal(moved.add('docs', copyIn(store)), gone, 'one drop of one copy')
  const pins = new Pins()
  const release = pins.pin({ kind: 'moved_copies', key: 'docs', version: COPY_VERSION })
  const commit = { commitVersion: COPY_VERSION, pins }
  const held = await dropped(moved, 'moved_copies', commit)
  assert.deepEqual(held, { objects: 0, bytes: 0, isHeld: true })
  release()
  const outcome = await dropped(moved, 'moved_copies', commit)
  assert.deepEqual(outcome, { objects: 2, bytes: 3, isHeld: false })
  await gone
  assert.deepEqual(await keysOf(store), ['xy/1'])
  // An index that came back there since.
  await store.put('x/new', Buffer.from('new'))
  assert.equal((await dropped(moved, 'moved_copies', commit)).objects, 0)
})

it('whoever waits for a copy to go is told where that fails, and nobody tries it unasked', async () => {
  const store = await filled({ 'x/1': 1, 'x/2': 2 })
  const moved = new MovedCopies()
  let failures = 1
  const failing = copyIn(store)
  const copy: LeftCopy = {
    store,
    async *objects() {
      if (failures-- > 0) throw new VectordError('bucket_unreachable', 'It is down.')
      yield* failing.objects()
    },
  }
  const gone = assert.rejects(moved.add('docs', copy), { code: 'bucket_unreachable' })
  const commit = { commitVersion: COPY_VERSION }
  await assert.rejects(dropped(moved, 'moved_copies', commit), { code: 'bucket_unreachable' })
  await gone
  assert.equal((await dropped(moved, 'moved_copies', commit)).objects, 0)
  const again = moved.add('docs', copy)
  assert.equal((await dropped(moved, 'moved_copies', commit)).objects, 2)
  await again
  const late = moved.add('docs', copy)
  moved.close()
  await assert.rejects(late, { code: 'shutting_down' })
  await assert.rejects(moved.add('docs', copy), { code: 'shutting_down' })
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
