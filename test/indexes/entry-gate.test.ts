/** The gate that everything passes which must stand still while an index changes its bucket. */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { EntryGate } from '../../src/indexes/entry-gate.ts'

it('closing waits until everybody has left, and nobody enters meanwhile', async () => {
  const gate = new EntryGate('docs')
  const leave = [gate.enter(), gate.enter()]
  let isStill = false
  const closing = gate.close().then(() => {
    isStill = true
  })
  assert.throws(() => gate.enter(), /closed gate/)
  leave[0]?.()
  await Promise.resolve()
  assert.equal(isStill, false)
  leave[1]?.()
  await closing
  assert.equal(gate.isClosed, true)
})

it('whoever waits goes on when it opens, or is told to come again when its time is up', async () => {
  const gate = new EntryGate('docs')
  await gate.close()
  await assert.rejects(gate.opened(0), { code: 'index_moving', retryAfterS: 1 })
  const waiting = gate.opened(1e9)
  gate.open()
  await waiting
  assert.equal(await gate.run(async () => 'inside'), 'inside')
})

it('a signal ends the wait for the gate, and the wait of who closes it: then it is open again', async () => {
  const gate = new EntryGate('docs')
  const stop = new AbortController()
  const why = new Error('enough')
  const leave = gate.enter()
  const closing = gate.close(stop.signal)
  const waiting = gate.opened(Infinity, stop.signal)
  stop.abort(why)
  await assert.rejects(closing, why)
  await assert.rejects(waiting, why)
  assert.equal(gate.isClosed, false)
  leave()
  await gate.close()
  gate.open()
})
