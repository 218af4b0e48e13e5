/** The bound on points that wait outside the graph: who is refused, and for how long. */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { DeltaGauge } from '../../src/indexes/delta-gauge.ts'
import { VectordError } from '../../src/lib/errors.ts'

const idle = { deltaPoints: 0, appliedLsn: 0, insertRate: 0 }

function refusal(run: () => void): VectordError {
  try {
    run()
  } catch (error) {
    assert.ok(error instanceof VectordError)
    return error
  }
  assert.fail('was admitted')
}

it('one request may overshoot the bound, the next one is refused', () => {
  const gauge = new DeltaGauge(100)
  gauge.admit(90, idle)
  gauge.admit(90, idle)
  assert.equal(refusal(() => gauge.admit(1, idle)).code, 'delta_full')
})

it('rows count as waiting from admission until the cores have told of them', () => {
  const gauge = new DeltaGauge(100)
  gauge.admit(60, idle)
  assert.equal(gauge.waiting(idle), 60)
  gauge.sent(7, 60)
  assert.equal(gauge.waiting(idle), 60)
  assert.equal(gauge.waiting({ ...idle, appliedLsn: 7, deltaPoints: 60 }), 60)
  assert.equal(gauge.waiting({ ...idle, appliedLsn: 7, deltaPoints: 10 }), 10)
})

it('a look before the body is read refuses as the write would, and reserves nothing', () => {
  const gauge = new DeltaGauge(10)
  gauge.check(idle)
  gauge.check(idle)
  assert.equal(gauge.waiting(idle), 0)
  gauge.admit(10, idle)
  assert.equal(refusal(() => gauge.check(idle)).code, 'delta_full')
})

it('a write that was not logged gives its room back', () => {
  const gauge = new DeltaGauge(10)
  gauge.admit(10, idle)
  gauge.abandoned(10)
  gauge.admit(10, idle)
  assert.equal(gauge.waiting(idle), 10)
})

it('retry-after is what the cores need to halve the delta, between 1 and 60 seconds', () => {
  const gauge = new DeltaGauge(1000)
  const at = (deltaPoints: number, insertRate: number) =>
    refusal(() => gauge.admit(1, { deltaPoints, appliedLsn: 0, insertRate })).retryAfterS
  assert.equal(at(2500, 500), 4)
  assert.equal(at(1000, 1_000_000), 1)
  assert.equal(at(1_000_000, 1), 60)
})
