/** Writes of one Lance table: in order, and together where they wait together. */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import fc from 'fast-check'
import type { LanceRows } from '../../src/domain/lance-table.ts'
import { joined, LanceWrites } from '../../src/indexes/lance-writes.ts'
import { VectordError } from '../../src/lib/errors.ts'
import { MemoryLanceTable } from '../support/memory-lance-table.ts'

function rowsOf(ids: readonly string[], value: number): LanceRows {
  return {
    ids,
    vectors: new Float32Array(2 * ids.length).fill(value),
    texts: ids.map(() => null),
    metadata: ids.map(() => null),
  }
}

function open(): { readonly table: MemoryLanceTable; readonly writes: LanceWrites } {
  const table = new MemoryLanceTable()
  return { table, writes: new LanceWrites((rows) => table.upsert(rows)) }
}

it('writes that wait together share a commit, and each is told its version', async () => {
  const { table, writes } = open()
  const first = Promise.withResolvers<null>()
  table.beforeCommit = async () => {
    table.beforeCommit = () => Promise.resolve()
    await first.promise
  }
  const a = writes.upsert(rowsOf(['a'], 1))
  await new Promise((resolve) => setImmediate(resolve))
  const others = [writes.upsert(rowsOf(['b'], 2)), writes.upsert(rowsOf(['c', 'b'], 3))]
  const apart = writes.apart(() => table.delete(['c']))
  const last = writes.upsert(rowsOf(['d'], 4))
  first.resolve(null)
  const answers = await Promise.all([a, ...others, apart, last])
  assert.deepEqual(table.commits, [['a'], ['b', 'c'], ['c'], ['d']])
  assert.deepEqual(
    answers.map(({ version }) => version),
    [2, 3, 3, 4, 5],
  )
  const { points } = await table.fetch(['b'], { metadata: false, vector: true, text: false }, null)
  assert.deepEqual([...(points[0]?.vector ?? [])], [3, 3], 'of equal ids the later write holds')
})

it('a commit that fails fails those that shared it, and nobody else', async () => {
  const { table, writes } = open()
  const gate = Promise.withResolvers<null>()
  const blocked = writes.apart(() => gate.promise)
  const failing = [writes.upsert(rowsOf(['a'], 1)), writes.upsert(rowsOf(['b'], 1))]
  const outcomes = Promise.allSettled(failing)
  const after = writes.apart(() => table.delete(['x']))
  table.beforeCommit = () => {
    table.beforeCommit = () => Promise.resolve()
    return Promise.reject(new Error('the disk is full'))
  }
  gate.resolve(null)
  await blocked
  const states = (await outcomes).map(({ status }) => status)
  assert.deepEqual(states, ['rejected', 'rejected'])
  assert.equal((await after).version, 2)
  assert.equal((await table.count(null)).count, 0)
})

it('rows that are refused fail who brought them, and not those that waited with them', async () => {
  const { table, writes } = open()
  const upsert = table.upsert.bind(table)
  table.upsert = (rows) => {
    if (!rows.ids.includes('bad')) return upsert(rows)
    return Promise.reject(new VectordError('invalid_points', 'It is nested too deep.'))
  }
  const gate = Promise.withResolvers<null>()
  const blocked = writes.apart(() => gate.promise)
  const together = ['a', 'bad', 'b'].map((id) => writes.upsert(rowsOf([id], 1)))
  const outcomes = Promise.allSettled(together)
  gate.resolve(null)
  await blocked
  const states = (await outcomes).map(({ status }) => status)
  assert.deepEqual(states, ['fulfilled', 'rejected', 'fulfilled'])
  assert.deepEqual(table.commits, [['a'], ['b']])
})

it('writes with long texts share no commit that one message would not hold', async () => {
  const { table, writes } = open()
  const gate = Promise.withResolvers<null>()
  const blocked = writes.apart(() => gate.promise)
  const long = 'x'.repeat(7 * 1024 * 1024)
  const all = ['a', 'b', 'c'].map((id) => writes.upsert({ ...rowsOf([id], 1), texts: [long] }))
  gate.resolve(null)
  await Promise.all([blocked, ...all])
  assert.deepEqual(table.commits, [['a', 'b'], ['c']])
})

it('what waits is bounded, by its bytes and by its number', async () => {
  const { table, writes } = open()
  const gate = Promise.withResolvers<null>()
  const blocked = writes.apart(() => gate.promise)
  await new Promise((resolve) => setImmediate(resolve))
  const text = 'x'.repeat(40 * 1024 * 1024)
  const held = ['a', 'b'].map((id) => writes.upsert({ ...rowsOf([id], 1), texts: [text] }))
  const full = { code: 'core_suspended' }
  await assert.rejects(writes.upsert(rowsOf(['c'], 1)), full)
  await assert.rejects(
    writes.apart(() => table.delete(['a'])),
    full,
  )
  gate.resolve(null)
  await Promise.all([blocked, ...held])

  const again = Promise.withResolvers<null>()
  const first = writes.apart(() => again.promise)
  await new Promise((resolve) => setImmediate(resolve))
  const many = Array.from({ length: 4096 }, () => writes.upsert(rowsOf(['d'], 1)))
  await assert.rejects(writes.upsert(rowsOf(['e'], 1)), full)
  again.resolve(null)
  await Promise.all([first, ...many])
  await writes.upsert(rowsOf(['e'], 1))
})

it('once closed it refuses what waits and what comes, and waits for the commit under way', async () => {
  const { table, writes } = open()
  const gate = Promise.withResolvers<null>()
  const done: string[] = []
  const underWay = writes
    .apart(() => gate.promise)
    .then(() => {
      done.push('commit')
    })
  await new Promise((resolve) => setImmediate(resolve))
  const waiting = assert.rejects(writes.upsert(rowsOf(['a'], 1)), { code: 'shutting_down' })
  const closed = writes.close().then(() => {
    done.push('closed')
  })
  await waiting
  await assert.rejects(writes.upsert(rowsOf(['b'], 1)), { code: 'shutting_down' })
  gate.resolve(null)
  await Promise.all([underWay, closed])
  assert.deepEqual(done, ['commit', 'closed'])
  assert.equal(table.version, 1)
})

it('joined writes hold what they would hold one after the other', () => {
  const write = fc.uniqueArray(fc.constantFrom('a', 'b', 'c', 'd'), { minLength: 1, maxLength: 4 })
  fc.assert(
    fc.property(fc.array(write, { minLength: 1, maxLength: 5 }), (writes) => {
      const expected = new Map<string, number>()
      for (const [i, ids] of writes.entries()) for (const id of ids) expected.set(id, i)
      const { ids, vectors } = joined(writes.map((ids, i) => rowsOf(ids, i)))
      assert.deepEqual([...ids].sort(), [...expected.keys()].sort())
      for (const [row, id] of ids.entries()) assert.equal(vectors[2 * row], expected.get(id))
    }),
  )
})
