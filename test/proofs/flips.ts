/**
 * Flipped bits at full size (T10): `npm run proof:flips -- --flips 20000 --seed 1`.
 *
 * A step is one bit of one file of one target; the targets take turns.
 */

import { flipOne, flipTargets, type FlipCounts } from '../support/bit-flips.ts'
import { prove } from '../support/proof.ts'
import { inFolder } from '../support/service.ts'

const counts: FlipCounts = new Map()

await inFolder(async (scratch) => {
  const targets = await flipTargets(scratch)
  await prove({
    unit: 'flips',
    count: 20_000,
    counts: () => Object.fromEntries(counts),
    step: async (seed) => {
      const target = targets[seed % targets.length]
      if (target !== undefined) await flipOne(target, Math.floor(seed / targets.length), counts)
    },
  })
})
