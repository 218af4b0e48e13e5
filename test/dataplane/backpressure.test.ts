/**
 * What a core takes, by the fill of its queue.
 */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { Backpressure } from '../../src/dataplane/backpressure.ts'

it('it enters and leaves each level at its own fill', () => {
  const pressure = new Backpressure(100)
  const path = [84, 85, 76, 75, 85, 94, 95, 86, 85, 76, 75, 100, 0].map((queued) =>
    pressure.update(queued),
  )
  assert.deepEqual(path, [
    'normal',
    'throttled',
    'throttled',
    'normal',
    'throttled',
    'throttled',
    'suspended',
    'suspended',
    'throttled',
    'throttled',
    'normal',
    'suspended',
    'normal',
  ])
})

it('a queue of one is full with one', () => {
  const pressure = new Backpressure(1)
  assert.equal(pressure.update(1), 'suspended')
  assert.equal(pressure.update(0), 'normal')
})
