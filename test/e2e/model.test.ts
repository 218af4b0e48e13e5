/** T2 at its everyday size: a real server answers as a plain model of it does. */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { expectedCount, KINDS } from '../support/model/kinds.ts'
import { modelTest } from '../support/model/model-test.ts'
import { temporaryFolder } from '../support/service.ts'

const OPERATIONS = 20_000

it(`${OPERATIONS} random operations are answered as by a plain model, over restarts`, async (t) => {
  const folder = await temporaryFolder(t)
  const seed = Date.now() % 2 ** 31
  t.diagnostic(`seed ${seed}`)
  const { kinds, recall } = await modelTest({ folder, seed, operations: OPERATIONS })
  t.diagnostic(JSON.stringify({ kinds, recall }))
  const undone = KINDS.filter((kind) => expectedCount(kind, OPERATIONS) > 20)
    .map(({ name }) => name)
    .filter((name) => kinds[name] === undefined)
  assert.deepEqual(undone, [], 'every kind was done')
  assert.ok(recall.wanted > 1000, 'graphs were searched')
})
