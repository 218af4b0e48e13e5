/** How fast a stream drains is measured while it is behind, and told as whole seconds. */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { DrainGauge } from '../../src/ingest/drain-gauge.ts'

/** A look with a batch size of ten. */
function look(gauge: DrainGauge, nowMs: number, appliedLsn: number, queued = 0): number {
  return gauge.look({ nowMs, appliedLsn, queued, batchSize: 10 })
}

it('points count until the cores have applied them', () => {
  const gauge = new DrainGauge()
  gauge.logged(1, 5)
  gauge.logged(3, 7)
  assert.equal(look(gauge, 0, 0), 12)
  assert.equal(look(gauge, 0, 1), 7)
  assert.equal(look(gauge, 0, 2), 7)
  assert.equal(look(gauge, 0, 9), 0)
})

it('time in which no whole batch waited says nothing of the rate', () => {
  const gauge = new DrainGauge()
  gauge.logged(1, 3)
  look(gauge, 0, 0)
  look(gauge, 60_000, 1)
  assert.equal(gauge.rate, null)
  gauge.logged(2, 100)
  look(gauge, 61_000, 1)
  look(gauge, 62_000, 2)
  assert.equal(gauge.rate, 100)
  look(gauge, 100_000, 2)
  assert.equal(gauge.rate, 100)
})

it('the rate follows what happens now', () => {
  const gauge = new DrainGauge()
  let lsn = 0
  const second = (points: number): void => {
    gauge.logged(lsn + 1, points)
    look(gauge, 1000 * lsn, lsn, 50)
    lsn += 1
    look(gauge, 1000 * lsn, lsn, 50)
  }
  for (let i = 0; i < 30; i += 1) second(1000)
  assert.equal(Math.round(gauge.rate ?? 0), 1000)
  for (let i = 0; i < 30; i += 1) second(10)
  assert.ok((gauge.rate ?? 0) < 30, String(gauge.rate))
})

it('seconds to wait are whole, at least one and at most sixty', () => {
  const gauge = new DrainGauge()
  assert.equal(gauge.retryAfterS(2500), 3, 'by a guess before anything was measured')
  gauge.logged(1, 500)
  look(gauge, 0, 0)
  look(gauge, 1000, 1, 20)
  const waits = [1, 500, 501, 1250, 29_500, 29_501, 1e9].map((points) => gauge.retryAfterS(points))
  assert.deepEqual(waits, [1, 1, 2, 3, 59, 60, 60])
})

it('where nothing drains at all, the wait is the longest', () => {
  const gauge = new DrainGauge()
  gauge.logged(1, 500)
  look(gauge, 0, 0)
  look(gauge, 1000, 0)
  assert.deepEqual([gauge.rate, gauge.retryAfterS(1)], [0, 60])
})
