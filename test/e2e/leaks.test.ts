/** The leak loop at its everyday size. */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { leakLoop } from '../support/leak-loop.ts'
import { temporaryFolder } from '../support/service.ts'

const CRASHES = 5

it(`${CRASHES} crashes leave no object behind and lose none`, async (t) => {
  const folder = await temporaryFolder(t)
  const seed = Date.now() % 2 ** 31
  t.diagnostic(`seed ${seed}`)
  const counts = await leakLoop({ folder, seed, crashes: CRASHES })
  t.diagnostic(JSON.stringify(counts))
  assert.equal(counts.crashes, CRASHES)
  assert.ok(counts.answered > 30, 'the loop worked')
  assert.ok(counts.objects > 50, 'the loop compared')
})
