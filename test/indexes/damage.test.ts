/** T10 for an index at its everyday size: flipped bits anywhere in what the bucket holds. */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { bucketTarget, flipOne, type FlipCount, type FlipCounts } from '../support/bit-flips.ts'
import { temporaryFolder } from '../support/service.ts'

const FLIPS = 500

it(`of ${FLIPS} flipped bits each is repaired or refused by name, never served`, async (t) => {
  const target = await bucketTarget(await temporaryFolder(t))
  const counts: FlipCounts = new Map()
  for (let seed = 0; seed < FLIPS; seed += 1) await flipOne(target, seed, counts)
  t.diagnostic(JSON.stringify(Object.fromEntries(counts)))
  const of = (kind: string): FlipCount =>
    counts.get(`bucket: ${kind}`) ?? assert.fail(`no ${kind} were damaged`)
  assert.ok(of('graphs').served > 0, 'a damaged graph is rebuilt')
  assert.equal(of('graphs').refused, 0, 'it is no reason to refuse')
  assert.ok(of('log').refused > 0, 'a damaged log is refused')
  assert.ok(of('checkpoints').served > 0, 'an older one is gone on from')
})
