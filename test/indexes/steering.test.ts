/** Which ef a search gets: its own, that of a canary, the live one, the configured one, or by k. */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { defaultEf, HNSW_DEFAULTS } from '../../src/domain/hnsw-config.ts'
import { Steering } from '../../src/indexes/steering.ts'
import { searched } from '../support/watched-index.ts'

const KS = [1, 5, 8, 9, 10, 50, 64, 100, 1000]
const asked = (k: number, ef: number | null = null) => searched('r', { k, ef }).query

function steering(efSearch: number | null): Steering {
  return new Steering(() => ({ ...HNSW_DEFAULTS, efSearch }))
}

it('without a live ef a search gets the configured one, or the choice of the server by k', () => {
  for (const k of KS) {
    assert.equal(steering(70).steer(asked(k), 'r').ef, 70)
    assert.equal(steering(null).steer(asked(k), 'r').ef, defaultEf(k))
  }
})

it('a live ef takes the place of the configured one; a search keeps its own', () => {
  const steered = steering(70)
  steered.useLiveEf(99)
  assert.equal(steered.steer(asked(50), 'r').ef, 99)
  assert.equal(steered.steer(asked(50, 7), 'r').ef, 7)
})

it('where the server chooses by k, a live ef is that of k = 10, and others have theirs in proportion', () => {
  const steered = steering(null)
  assert.equal(steered.anchorEf, 80)
  steered.useLiveEf(160)
  for (const k of KS) assert.equal(steered.steer(asked(k), 'r').ef, 2 * defaultEf(k))
  steered.useLiveEf(40)
  for (const k of KS) assert.equal(steered.steer(asked(k), 'r').ef, defaultEf(k) / 2)
  steered.useLiveEf(10_000)
  assert.equal(steered.steer(asked(1000), 'r').ef, 10_000)
})

it('a promotion ends the live ef', () => {
  const steered = steering(null)
  steered.useLiveEf(160)
  steered.usePromoted({ hnsw: { ...HNSW_DEFAULTS, efSearch: 33 }, source: 'promoted:t' })
  assert.deepEqual([steered.liveEf, steered.steer(asked(10), 'r').ef], [null, 33])
})

it('a search by keywords takes part in no canary', () => {
  const steered = steering(70)
  steered.useCanary({ generation: 9, ef: 200, takes: () => true })
  assert.equal(steered.steer(asked(10), 'r').generation, 9)
  const keywords = { terms: ['word'], statistics: null }
  const query = { ...asked(10), target: { keywords } }
  assert.deepEqual(steered.steer(query, 'r'), query)
})
