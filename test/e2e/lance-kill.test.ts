/** The kill loop of Lance indexes at its everyday size. */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { lanceKillLoop } from '../support/lance-kill-loop.ts'
import { temporaryFolder } from '../support/service.ts'

const KILLS = 5
/** More than the table is filled with at first. */
const WRITES_MIN = 650

it(`no acknowledged write of a Lance index is lost or doubled over ${KILLS} kills`, async (t) => {
  const root = await temporaryFolder(t)
  const seed = Date.now() % 2 ** 31
  t.diagnostic(`seed ${seed}`)
  const counts = await lanceKillLoop({ root, seed, kills: KILLS })
  t.diagnostic(JSON.stringify(counts))
  assert.ok(counts.acknowledged > WRITES_MIN, 'the loop wrote')
  assert.ok(counts.pointsChecked > WRITES_MIN, 'the loop compared')
})
