/**
 * Control state: what several servers on one bucket, a lost answer, a crash at any step or a flipped
 * byte may do to a document, and what they may not.
 *
 * How: the document is a list of the names of the changes that were applied. A change that was
 * acknowledged must be in it exactly once, whatever happened around it.
 */

import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { MemoryStore } from '../../src/buckets/memory-store.ts'
import { hasCode } from '../../src/lib/errors.ts'
import { type Fault, FaultyStore, SimulatedCrash } from '../support/faulty-store.ts'
import { append, by, failure, flip, keys, open } from './revisioned-document.support.ts'

describe('two servers', () => {
  it('no acknowledged change is lost or applied twice', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.nat(2), { minLength: 6, maxLength: 24 }),
        fc.array(faultArbitrary(), { maxLength: 4 }),
        async (writers, faults) => {
          const inner = new MemoryStore()
          const stores = [0, 1, 2].map(() => new FaultyStore(inner))
          const documents = stores.map((store) => open(store, { copyKey: '_test/x.json' }))
          for (const [n, fault] of faults.entries()) stores[n % 3]?.inject(fault)
          const outcomes = await Promise.allSettled(
            writers.map((writer, n) => {
              const document = documents[writer]
              assert.ok(document !== undefined)
              return append(document, String(n))
            }),
          )
          const applied = (await open(inner).read())?.document ?? []
          assert.equal(new Set(applied).size, applied.length)
          for (const [n, outcome] of outcomes.entries()) {
            if (outcome.status === 'fulfilled') assert.ok(applied.includes(String(n)))
            else assert.ok(hasCode(outcome.reason, 'bucket_unreachable', 'storage_full'))
          }
          const numbers = (await keys(inner)).map((key) => Number(key.slice(-15, -5)))
          assert.deepEqual(
            numbers,
            numbers.map((_, n) => n + 1),
          )
        },
      ),
      { numRuns: 300 },
    )
  })
})

describe('faults', () => {
  for (const when of ['before', 'after'] as const) {
    it(`a crash at any step (${when} it) leaves the old or the new document`, async () => {
      let steps = 0
      for (let at = 1; ; at += 1) {
        const inner = new MemoryStore()
        const options = { copyKey: '_test/x.json', keep: 2, trimAgeMs: 0 }
        for (const name of ['a', 'b', 'c']) await append(open(inner, options), name)
        const store = new FaultyStore(inner)
        store.crashAt(at, when)
        const acknowledged = await append(open(store, options), 'd').then(
          () => true,
          (error: unknown) => {
            assert.ok(error instanceof SimulatedCrash)
            return false
          },
        )
        const found = (await open(inner, options).read())?.document
        assert.deepEqual(found?.slice(0, 3), ['a', 'b', 'c'])
        if (acknowledged) assert.deepEqual(found, ['a', 'b', 'c', 'd'])
        await append(open(inner, options), 'e')
        assert.equal((await open(inner, options).read())?.document.at(-1), 'e')
        if (!store.crashed) break
        steps += 1
      }
      assert.ok(steps >= 7, `only ${steps} steps`)
    })
  }

  it('a lost answer is settled by reading back', async () => {
    for (const code of ['bucket_unreachable', 'object_exists'] as const) {
      const store = new FaultyStore(new MemoryStore())
      store.inject({ kind: 'error', code, when: 'after', operations: ['putIfAbsent'] })
      const written = await open(store).update(null, { document: ['a'], ...by })
      assert.equal(written.revision, 1)
      assert.deepEqual((await open(store).read())?.document, ['a'])
    }
  })

  it('a bucket that is down never reads as absent, and nothing is overwritten', async () => {
    const store = new FaultyStore(new MemoryStore())
    await append(open(store), 'a')
    for (const operation of ['list', 'get'] as const) {
      const document = open(store)
      store.inject({ ...failure({ operations: [operation] }), times: Infinity })
      await assert.rejects(document.read(), { code: 'storage_full' })
      await assert.rejects(append(document, 'b'), { code: 'storage_full' })
      store.heal()
    }
    assert.deepEqual((await open(store).read())?.document, ['a'])
  })

  it('a list that lags behind hides no revision', async () => {
    const store = new FaultyStore(new MemoryStore())
    for (const name of ['a', 'b', 'c']) await append(open(store), name)
    for (const changes of [1, 2, 3]) {
      store.inject({ kind: 'stale_list', changes, operations: ['list'] })
      assert.deepEqual((await open(store).read())?.document, ['a', 'b', 'c'])
      store.heal()
    }
  })

  it('any flipped bit of the newest revision is object_corrupt, for readers and writers', async () => {
    const store = new MemoryStore()
    await append(open(store), 'grüße 漢字')
    const key = '_test/x/0000000001.json'
    const intact = await store.get(key)
    for (let at = 0; at < intact.byteLength; at += 1) {
      for (const mask of [1, 32, 128]) {
        await flip(store, key, at, mask)
        await assert.rejects(open(store).read(), { code: 'object_corrupt' }, `byte ${at}`)
        await store.put(key, intact)
      }
    }
    await flip(store, key, 20)
    await assert.rejects(append(open(store), 'b'), { code: 'object_corrupt' })
    assert.equal((await keys(store)).length, 1)
  })

  it('any cut of the newest revision is object_corrupt', async () => {
    const store = new MemoryStore()
    await append(open(store), 'a')
    const key = '_test/x/0000000001.json'
    const intact = await store.get(key)
    for (let bytes = 0; bytes < intact.byteLength; bytes += 1) {
      await store.put(key, intact.subarray(0, bytes))
      await assert.rejects(open(store).read(), { code: 'object_corrupt' }, `${bytes} bytes`)
    }
  })

  it('a newer format is refused by its number', async () => {
    const store = new MemoryStore()
    await append(open(store), 'a')
    const rest = '{\n  "format": 2,\n  "anything": []\n}'
    const sha256 = createHash('sha256').update(rest).digest('hex')
    const body = `${rest.slice(0, -2)},\n  "sha256": "${sha256}"\n}\n`
    await store.put('_test/x/0000000002.json', Buffer.from(body))
    const refused = (error: unknown): boolean => {
      assert.ok(hasCode(error, 'format_too_new'))
      assert.deepEqual(error.details, {
        key: '_test/x/0000000002.json',
        format: 2,
        format_max: 1,
      })
      return true
    }
    await assert.rejects(open(store).read(), refused)
    await assert.rejects(append(open(store), 'b'), refused)
  })

  it('a revision under the name of another one is object_corrupt', async () => {
    const store = new MemoryStore()
    await append(open(store), 'a')
    await store.put('_test/x/0000000002.json', await store.get('_test/x/0000000001.json'))
    await assert.rejects(open(store).read(), { code: 'object_corrupt' })
  })
})

function faultArbitrary(): fc.Arbitrary<Fault> {
  return fc
    .record({
      code: fc.constantFrom('bucket_unreachable', 'object_exists', 'storage_full'),
      skip: fc.nat(10),
      stale: fc.boolean(),
    })
    .map(({ code, skip, stale }): Fault => {
      if (stale) return { kind: 'stale_list', changes: 1, skip, operations: ['list'] }
      if (code === 'storage_full') return { ...failure({ operations: ['putIfAbsent'] }), skip }
      return { kind: 'error', code, when: 'after', skip, operations: ['putIfAbsent'] }
    })
}
