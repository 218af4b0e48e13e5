/**
 * Mixed load for hours (T16): `npm run proof:soak -- --minutes 120 --seed 1`.
 *
 * One server is under load for the whole time; filling its indexes comes on top.
 */

import { prove } from '../support/proof.ts'
import { inFolder } from '../support/service.ts'
import { soak, type SoakCounts } from '../support/soak.ts'

const runs: SoakCounts[] = []

await prove({
  unit: 'minutes',
  count: 120,
  stepUnits: Infinity,
  counts: () => runs,
  step: (seed, minutes) =>
    inFolder(async (folder) => {
      runs.push(await soak({ folder, seed, durationMs: minutes * 60_000 }))
    }),
})
