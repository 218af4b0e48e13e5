/** Guarantees of tuning in a hostile world (T14), at the size that every change can afford. */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { addCounts, NO_HISTORIES, tuningHistory } from '../support/tuner-histories.ts'

const HISTORIES = 1000

it(`keeps its bounds over ${HISTORIES} histories of noise, drift and poisoned journals`, () => {
  let counts = NO_HISTORIES
  for (let seed = 1; seed <= HISTORIES; seed += 1) counts = addCounts(counts, tuningHistory(seed))
  const { promotions, broken, refused, poisoned } = counts
  assert.ok(promotions > 2 * HISTORIES, `${promotions} promotions say something`)
  assert.ok(broken <= 0.01 * promotions, `${broken} of ${promotions} broke their floor`)
  // The world is hostile enough for the rules to matter.
  assert.ok(refused > 0.1 * promotions && poisoned > HISTORIES)
})
