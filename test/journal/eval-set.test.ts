/** Eval sets: honest halves, whole bytes, one set for a name, whatever the buckets do. */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import fc from 'fast-check'
import { MemoryStore } from '../../src/buckets/memory-store.ts'
import type { ObjectStore } from '../../src/buckets/object-store.ts'
import { decodeEvalSet, encodeEvalSet } from '../../src/journal/eval-codec.ts'
import { type EvalSet, isStale, isWeak, splitQueries } from '../../src/journal/eval-set.ts'
import { EvalStore } from '../../src/journal/eval-store.ts'
import { QueryReservoir } from '../../src/journal/query-reservoir.ts'
import { FaultyStore } from '../support/faulty-store.ts'

const KEY = '_hnsw_evals/docs-auto.json'

it('whatever the queries, the halves are disjoint, about even, and hold no look-alikes', () => {
  const row = fc.record({
    value: fc.integer({ min: 1, max: 40 }),
    self: fc.option(fc.integer({ min: 0, max: 30 }).map(String)),
  })
  fc.assert(
    fc.property(fc.array(row, { minLength: 2, maxLength: 80 }), fc.nat(), (rows, seed) => {
      for (const metric of ['l2', 'cosine'] as const) {
        const queries = Float32Array.from(rows.flatMap(({ value }) => [value, 7]))
        const selfIds = rows.map(({ self }) => self)
        const given = { queries, dimension: 2, metric, selfIds }
        const { tune, heldOut } = splitQueries(given, seed)
        const all = [...tune, ...heldOut].toSorted((a, b) => a - b)
        assert.deepEqual(all, [...rows.keys()])
        assert.deepEqual(splitQueries(given, seed), { tune, heldOut })
        for (const a of tune.map((i) => rows[i])) {
          for (const b of heldOut.map((i) => rows[i])) {
            assert.notEqual(a?.value, b?.value)
            assert.ok(a?.self === null || a?.self !== b?.self)
          }
        }
      }
    }),
    { numRuns: 100 },
  )
  const vectors = Float32Array.from({ length: 1000 }, (_, i) => i)
  const selfIds = new Array<null>(1000).fill(null)
  const split = splitQueries({ queries: vectors, dimension: 1, metric: 'l2', selfIds }, 1)
  assert.deepEqual([split.tune.length, split.heldOut.length], [500, 500])
})

it('under cosine two lengths of one direction are look-alikes; -0 is 0', () => {
  const split = (values: number[], metric: 'cosine' | 'l2'): number =>
    splitQueries(
      { queries: Float32Array.from(values), dimension: 2, metric, selfIds: [null, null] },
      1,
    ).heldOut.length
  assert.equal(split([1, 2, 2, 4], 'cosine'), 0)
  assert.equal(split([1, 2, 2, 4], 'l2'), 1)
  assert.equal(split([0, 1, -0, 1], 'l2'), 0)
})

it('a set is stale after a tenth of growth, two percent of deletes, or in another index', () => {
  const set = { points: 1000, lsn: 50 }
  const now = { points: 1000, lsn: 60, deletes: null }
  const cases = [
    [now, false],
    [{ ...now, points: 1100 }, false],
    [{ ...now, points: 1101 }, true],
    [{ ...now, points: 980 }, false],
    [{ ...now, points: 979 }, true],
    [{ ...now, deletes: 20 }, false],
    [{ ...now, deletes: 21 }, true],
    [{ ...now, lsn: 49 }, true],
  ] as const
  for (const [then, stale] of cases) assert.equal(isStale(set, then), stale, JSON.stringify(then))
})

it('a set is read as it was written, and any flipped bit is found', () => {
  const set = evalSet()
  const body = encodeEvalSet(set)
  assert.deepEqual(decodeEvalSet(KEY, body), set)
  assert.equal(isWeak(set), true)
  fc.assert(
    fc.property(fc.integer({ min: 0, max: body.length * 8 - 1 }), (bit) => {
      const flipped = new Uint8Array(body)
      flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      assert.throws(() => decodeEvalSet(KEY, flipped), { code: 'object_corrupt' })
    }),
    { numRuns: 500 },
  )
  for (let bytes = 0; bytes < body.length; bytes += 7) {
    const cut = body.subarray(0, bytes)
    assert.throws(() => decodeEvalSet(KEY, cut), { code: 'object_corrupt' })
  }
})

it('a damaged set is an error, never an empty or an absent one', async () => {
  const store = new MemoryStore()
  await open({ primary: store }).put(evalSet())
  await store.put(KEY, (await store.get(KEY)).subarray(3))
  const evals = open({ primary: store })
  await assert.rejects(evals.get('docs-auto'), { code: 'object_corrupt' })
  const { sets, errors } = await evals.list(() => true, { after: null, limit: 10 })
  assert.deepEqual([sets.length, errors[0]?.code, errors[0]?.key], [0, 'object_corrupt', KEY])
})

it('sets are put, found, listed in pages and deleted', async () => {
  const evals = open({ primary: new MemoryStore(), cold: new MemoryStore() })
  for (const name of ['c', 'a', 'b']) await evals.put(evalSet({ name }))
  assert.equal((await evals.get('a')).name, 'a')
  const first = await evals.list(() => true, { after: null, limit: 2 })
  assert.deepEqual([first.sets.map(({ name }) => name), first.next], [['a', 'b'], 'b'])
  const second = await evals.list(() => true, { after: first.next, limit: 2 })
  assert.deepEqual([second.sets.map(({ name }) => name), second.next], [['c'], null])
  await evals.delete('a')
  await assert.rejects(evals.get('a'), { code: 'eval_not_found' })
  await assert.rejects(evals.delete('a'), { code: 'eval_not_found' })
  await assert.rejects(evals.get('../a'), { code: 'invalid_name' })
  await assert.rejects(evals.put(evalSet({ index: 'nope' })), { code: 'index_not_found' })
})

it('of two sets of one name the one in the home bucket of its index wins', async () => {
  const [primary, cold] = [new MemoryStore(), new MemoryStore()]
  await primary.put(KEY, encodeEvalSet(evalSet({ k: 5, createdMs: 2 })))
  await cold.put(KEY, encodeEvalSet(evalSet({ k: 7, createdMs: 1 })))
  const evals = open({ primary, cold })
  assert.equal((await evals.get('docs-auto')).k, 7)
  await evals.put(evalSet({ k: 8 }))
  assert.equal((await evals.get('docs-auto')).k, 8)
  await assert.rejects(primary.head(KEY), { code: 'object_not_found' })
})

it('a bucket that fails does not hide a set at its home, and is no absence', async () => {
  const [primary, cold] = [new FaultyStore(new MemoryStore()), new MemoryStore()]
  const evals = open({ primary, cold })
  await evals.put(evalSet())
  const fault = { kind: 'error', code: 'bucket_unreachable', when: 'before' } as const
  primary.inject({ ...fault, times: Infinity })
  assert.equal((await evals.get('docs-auto')).k, 2)
  await assert.rejects(evals.get('other'), { code: 'bucket_unreachable' })
  const { sets, errors } = await evals.list(() => true, { after: null, limit: 10 })
  assert.deepEqual([sets.length, errors.map(({ bucket }) => bucket)], [1, ['primary']])
})

it('a set that another server replaced is read anew, one that stayed is not', async () => {
  let nowMs = 1
  const store = new FaultyStore(new MemoryStore(new Map(), () => (nowMs += 1)))
  const [ours, theirs] = [open({ cold: store }), open({ cold: store })]
  await ours.put(evalSet({ k: 2 }))
  await ours.get('docs-auto')
  await ours.get('docs-auto')
  assert.equal(store.log.filter(({ operation }) => operation === 'get').length, 1)
  await theirs.put(evalSet({ k: 3 }))
  assert.equal((await ours.get('docs-auto')).k, 3)
})

it('a reservoir keeps a bounded, fair and fading sample of an index that has opted in', () => {
  const reservoir = new QueryReservoir({ keptMax: 100, bytesMax: 1000 })
  reservoir.offer('docs', Float32Array.of(1, 2))
  assert.deepEqual(reservoir.take('docs', 5), { queries: new Float32Array(0), count: 0 })
  reservoir.enable('docs', { dimension: 2, seed: 7 })
  for (let i = 0; i < 1000; i += 1) reservoir.offer('docs', Float32Array.of(i, 1))
  const { queries, count } = reservoir.take('docs', 1000)
  const values = queries.filter((_, i) => i % 2 === 0)
  assert.deepEqual([count, new Set(values).size], [100, 100])
  const mean = values.reduce((sum, value) => sum + value, 0) / count
  assert.ok(mean > 400 && mean < 600, `${mean}`)
  // Ten thousand later the first thousand are all but gone.
  for (let i = 0; i < 10_000; i += 1) reservoir.offer('docs', Float32Array.of(i + 1000, 1))
  const old = reservoir.take('docs', 100).queries.filter((value, i) => i % 2 === 0 && value < 1000)
  assert.ok(old.length <= 2, `${old.length}`)
  assert.throws(() => reservoir.enable('more', { dimension: 2, seed: 1 }), { code: 'memory_full' })
  reservoir.disable('docs')
  assert.equal(reservoir.count('docs'), 0)
  reservoir.enable('more', { dimension: 2, seed: 1 })
})

function evalSet(change: Partial<EvalSet> = {}): EvalSet {
  return {
    ...{ name: 'docs-auto', index: 'docs', k: 2, metric: 'l2', dimension: 2, source: 'index' },
    ...{ seed: 1, lsn: 17, points: 100, createdMs: 1_767_225_600_000 },
    tune: {
      queries: Float32Array.of(0.1, -2.5),
      truth: [{ ids: ['a', 'b'], distances: [0.1, 0.30000000000000004] }],
      selfIds: ['c'],
    },
    heldOut: {
      queries: Float32Array.of(3, 4),
      truth: [{ ids: ['ü'], distances: [0] }],
      selfIds: [null],
    },
    ...change,
  }
}

/** The index "docs" lives in "cold". */
function open(buckets: Readonly<Record<string, ObjectStore>>): EvalStore {
  return new EvalStore({
    buckets: {
      names: () => Object.keys(buckets),
      store: (name) => buckets[name] ?? assert.fail(name),
    },
    homeOf: (index) => {
      if (index !== 'docs') return null
      return 'cold' in buckets ? 'cold' : 'primary'
    },
  })
}
