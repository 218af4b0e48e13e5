/** T1 at its everyday size: acknowledged writes survive kill -9, on local folders. */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { killLoop } from '../support/kill-loop.ts'
import { temporaryFolder } from '../support/service.ts'

const KILLS = 20

it(`no acknowledged write is lost or undone over ${KILLS} kills`, async (t) => {
  const root = await temporaryFolder(t)
  const seed = Date.now() % 2 ** 31
  t.diagnostic(`seed ${seed}`)
  const counts = await killLoop({ root, seed, kills: KILLS })
  t.diagnostic(JSON.stringify(counts))
  assert.ok(counts.acknowledged > 1000, 'the loop wrote')
  assert.ok(counts.pointsChecked > 1000, 'the loop compared')
})
