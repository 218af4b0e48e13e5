/**
 * Tuning histories at any size (T14): `npm run proof:tuner -- --histories 10000 --seed 1`.
 *
 * What must always hold fails the history in which it did not. The share of promotions whose true
 * recall lies more than a point under the floor is judged over all of them, at the end.
 */

import { prove } from '../support/proof.ts'
import {
  addCounts,
  NO_HISTORIES,
  tuningHistory,
  type HistoryCounts,
} from '../support/tuner-histories.ts'

const BROKEN_SHARE_MAX = 0.01
/** Fewer promotions say nothing about one in a hundred. */
const PROMOTIONS_MIN = 300

let counts: HistoryCounts = NO_HISTORIES

await prove({
  unit: 'histories',
  count: 10_000,
  counts: () => counts,
  step: async (seed) => {
    counts = addCounts(counts, tuningHistory(seed))
    const { broken, promotions } = counts
    if (promotions >= PROMOTIONS_MIN && broken > BROKEN_SHARE_MAX * promotions) {
      throw new Error(`${broken} of ${promotions} promotions broke their floor`)
    }
  },
})
