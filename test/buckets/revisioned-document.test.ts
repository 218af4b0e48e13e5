/**
 * Control state with one writer: revisions, history, removal, the copy for people, trimming.
 */

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { MemoryStore } from '../../src/buckets/memory-store.ts'
import type { ObjectStore } from '../../src/buckets/object-store.ts'
import { hasCode } from '../../src/lib/errors.ts'
import { collect } from '../support/collect.ts'
import { FaultyStore } from '../support/faulty-store.ts'
import { append, by, failure, flip, keys, open, text } from './revisioned-document.support.ts'

describe('one writer', () => {
  it('what was written is read, with its author, reason and time', async () => {
    const store = new MemoryStore()
    const document = open(store, { nowMs: () => 1_700_000_000_000 })
    assert.equal(await document.read(), null)
    const written = await document.update(null, { document: ['a'], ...by })
    const wanted = { revision: 1, document: ['a'], ...by, writtenMs: 1_700_000_000_000 }
    assert.deepEqual(written, wanted)
    assert.deepEqual(await open(store).read(), wanted)
    assert.deepEqual(await keys(store), ['_test/x/0000000001.json'])
  })

  it('the stored object is JSON with format 1 that a person can read', async () => {
    const store = new MemoryStore()
    await open(store).update(null, { document: ['a'], ...by })
    const json = JSON.parse(await text(store, '_test/x/0000000001.json')) as Record<string, unknown>
    assert.equal(json['format'], 1)
    assert.deepEqual(json['document'], { applied: ['a'] })
    assert.equal(typeof json['written_at'], 'string')
  })

  it('a change of another revision than the newest is refused and writes nothing', async () => {
    const store = new MemoryStore()
    const document = open(store)
    await append(document, 'a')
    await append(document, 'b')
    for (const expected of [null, 0, 1, 3]) {
      const change = document.update(expected, { document: ['lost'], ...by })
      await assert.rejects(change, { code: 'revision_mismatch' })
    }
    assert.deepEqual((await document.read())?.document, ['a', 'b'])
    assert.equal((await keys(store)).length, 2)
  })

  it('numbers go on after those that the document had elsewhere, and are found in order', async () => {
    const store = new MemoryStore()
    await open(store).update(null, { document: ['a'], ...by, after: 12 })
    await append(open(store), 'b')
    const newest = await open(store).read()
    assert.deepEqual([newest?.revision, newest?.document], [14, ['a', 'b']])
    const late = open(store).update(null, { document: ['lost'], ...by })
    await assert.rejects(late, { code: 'revision_mismatch' })
    await open(store).update(14, { document: ['c'], ...by, after: 3 })
    assert.equal((await open(store).read())?.revision, 15, 'never back')
  })

  it('a change that wants nothing writes nothing', async () => {
    const store = new MemoryStore()
    assert.equal(await open(store).modify(() => null), null)
    assert.deepEqual(await keys(store), [])
  })

  it('more than nine revisions keep their order', async () => {
    const store = new MemoryStore()
    const names = Array.from({ length: 12 }, (_, n) => `change ${n}`)
    for (const name of names) await append(open(store), name)
    assert.deepEqual((await open(store).read())?.document, names)
  })

  it('history is newest first, and tells of a revision that cannot be read', async () => {
    const store = new MemoryStore()
    const document = open(store)
    for (const name of ['a', 'b', 'c']) await append(document, name)
    await document.remove(3, by)
    await flip(store, '_test/x/0000000002.json', 40)
    const past = await collect(document.history())
    assert.deepEqual(
      past.map(({ kind, revision }) => [kind, revision]),
      [
        ['removed', 4],
        ['document', 3],
        ['unreadable', 2],
        ['document', 1],
      ],
    )
    assert.equal((await collect(document.history(2))).length, 1)
  })

  it('readIfNewer tells of a change and asks once where there is none', async () => {
    const store = new FaultyStore(new MemoryStore())
    const document = open(store)
    await append(document, 'a')
    const before = store.operations
    assert.equal(await document.readIfNewer(1), null)
    assert.equal(store.operations, before + 1)
    await append(open(store), 'b')
    assert.equal(await document.isNewest(1), false)
    assert.equal(await document.isNewest(2), true)
    assert.equal((await document.readIfNewer(1))?.revision, 2)
  })
})

describe('removal', () => {
  it('a removed document is absent, can be made anew, and keeps counting', async () => {
    const store = new MemoryStore()
    const document = open(store, { copyKey: '_test/x.json' })
    await append(document, 'a')
    await document.remove(1, by)
    assert.equal(await open(store).read(), null)
    await assert.rejects(store.get('_test/x.json'), { code: 'object_not_found' })
    const late = document.update(1, { document: ['late'], ...by })
    await assert.rejects(late, { code: 'revision_mismatch' })
    const again = await document.update(null, { document: ['new'], ...by })
    assert.equal(again.revision, 3)
  })
})

describe('copy and trim', () => {
  it('the copy is the newest revision', async () => {
    const store = new MemoryStore()
    const document = open(store, { copyKey: '_test/x.json' })
    await append(document, 'a')
    await append(document, 'b')
    const newest = await text(store, '_test/x/0000000002.json')
    assert.equal(await text(store, '_test/x.json'), newest)
  })

  it('a copy or trim that fails fails no change, and is told', async () => {
    const store = new FaultyStore(new MemoryStore())
    const document = open(store, { copyKey: '_test/x.json' })
    store.inject(failure({ operations: ['put'] }))
    await append(document, 'a')
    assert.ok(hasCode(document.housekeepingFault, 'storage_full'))
    await append(document, 'b')
    assert.equal(document.housekeepingFault, null)
    assert.match(await text(store, '_test/x.json'), /"b"/)
  })

  it('old revisions go when there are more than wanted and they are old enough', async () => {
    let nowMs = 0
    const store = new MemoryStore(new Map(), () => nowMs)
    const document = open(store, { keep: 3 })
    for (let n = 1; n <= 20; n += 1) {
      nowMs += 4 * 60 * 1000
      await append(document, String(n))
    }
    const left = (await keys(store)).map((key) => Number(key.slice(-7, -5)))
    assert.deepEqual(left, [18, 19, 20])
    assert.equal((await open(store, { keep: 3 }).read())?.document.length, 20)
    await append(document, 'at once') // Now 18 is younger than ten minutes before the newest.
    assert.equal((await keys(store)).length, 4)
  })

  it('a writer that slept while its number was trimmed is told, and its object is taken back', async () => {
    const store = new MemoryStore()
    for (const hole of [2, 3, 4]) {
      const options = { keep: 2, trimAgeMs: 0, prefix: `_test/${hole}/` }
      const [sleeper, other] = [open(gate(store), options), open(store, options)]
      for (let n = 1; n < hole; n += 1) await append(other, `before ${n}`)
      const asleep = sleeper.update(hole - 1, { document: ['late'], ...by })
      const outcome = assert.rejects(asleep, { code: 'revision_mismatch' })
      await gates.reached
      for (let n = 0; n < 5; n += 1) await append(other, `beside ${n}`)
      gates.open()
      await outcome
      assert.ok((await other.read())?.document.includes('beside 4'))
      assert.equal((await collect(store.list(options.prefix))).length, 2)
    }
  })
})

/** Holds the first put-if-absent back until `open` is called. */
const gates = { reached: Promise.resolve(), open: (): void => undefined }

function gate(store: ObjectStore): ObjectStore {
  const reached = Promise.withResolvers<undefined>()
  const opened = Promise.withResolvers<undefined>()
  gates.reached = reached.promise.then(() => undefined)
  gates.open = () => {
    opened.resolve(undefined)
  }
  return new Proxy(store, {
    get(target, name) {
      if (name === 'putIfAbsent') {
        return async (key: string, body: Uint8Array) => {
          reached.resolve(undefined)
          await opened.promise
          await target.putIfAbsent(key, body)
        }
      }
      const value: unknown = Reflect.get(target, name)
      return typeof value === 'function' ? (value as () => unknown).bind(target) : value
    },
  })
}
