/**
 * How long a core that died waits for its successor.
 */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { RestartBackoff, STABLE_MS } from '../../src/lib/restart-backoff.ts'

it('waits double up to the maximum, and start over after a stable life', () => {
  const backoff = new RestartBackoff(100, 1000)
  assert.deepEqual(
    [0, 1, 2, 3, 4].map((nowMs) => backoff.died(nowMs)),
    [100, 200, 400, 800, 1000],
  )
  backoff.up(10)
  assert.equal(backoff.died(10 + STABLE_MS - 1), 1000)
  backoff.up(200_000)
  assert.equal(backoff.died(200_000 + STABLE_MS), 100)
})
