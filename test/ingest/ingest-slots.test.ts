/** So many ingests at a time, the others in turn, and none more than may wait. */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { IngestSlots } from '../../src/ingest/ingest-slots.ts'

const SIGNAL = new AbortController().signal

it('runs in turn, refuses what may not wait, and lets go of what is cancelled', async () => {
  const slots = new IngestSlots({ runningMax: 1, waitingMax: 2 })
  const order: string[] = []
  const first = Promise.withResolvers<undefined>()
  const run = (name: string, signal = SIGNAL): Promise<void> =>
    slots.run(signal, async () => {
      order.push(name)
      if (name === 'a') await first.promise
    })
  const a = run('a')
  const stop = new AbortController()
  const b = run('b', stop.signal)
  const c = run('c')
  assert.deepEqual([slots.running, slots.waiting], [1, 2])
  assert.throws(() => slots.check(), { code: 'overloaded' })
  await assert.rejects(run('d'), { code: 'overloaded' })
  stop.abort(new Error('stopped'))
  await assert.rejects(b, /stopped/)
  assert.equal(slots.waiting, 1)
  first.resolve(undefined)
  await Promise.all([a, c])
  await turn()
  assert.deepEqual(order, ['a', 'c'])
  assert.deepEqual([slots.running, slots.waiting], [0, 0])
})

it('a failed one gives its place on', async () => {
  const slots = new IngestSlots({ runningMax: 1, waitingMax: 1 })
  await assert.rejects(
    slots.run(SIGNAL, () => Promise.reject(new Error('bad'))),
    /bad/,
  )
  assert.equal(await slots.run(SIGNAL, async () => 7), 7)
})
