/**
 * Two servers on one bucket (T6): `npm run proof:promotions -- --operations 100000 --seed 1`.
 *
 * A step is one contest of six clients on two servers, with a bucket of its own that fails.
 */

import { contest, StaggeredStore } from '../support/promotion-actors.ts'
import { prove } from '../support/proof.ts'

const total = new Map<string, number>()

await prove({
  unit: 'operations',
  count: 100_000,
  stepUnits: 500,
  counts: () => Object.fromEntries(total),
  step: async (seed, operations) => {
    const counts = await contest({
      ...{ seed, operations },
      store: new StaggeredStore(seed),
    })
    for (const [key, count] of Object.entries(counts)) {
      total.set(key, (total.get(key) ?? 0) + Number(count))
    }
  },
})
