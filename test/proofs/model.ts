/**
 * Random operations against a plain model (T2): `npm run proof:model -- --operations 1000000 --seed 7`.
 *
 * Each 20,000 operations have a server of their own; a seed and as many operations replay one of them.
 */

import { modelTest } from '../support/model/model-test.ts'
import { prove } from '../support/proof.ts'
import { inFolder } from '../support/service.ts'

const recall = { wanted: 0, found: 0 }

await prove({
  unit: 'operations',
  count: 20_000,
  stepUnits: 20_000,
  counts: () => ({ recall }),
  step: (seed, operations) =>
    inFolder(async (folder) => {
      const counts = await modelTest({ folder, seed, operations })
      recall.wanted += counts.recall.wanted
      recall.found += counts.recall.found
    }),
})
