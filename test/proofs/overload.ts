/**
 * Overload for minutes (T13): `npm run proof:overload -- --minutes 10 --seed 1`.
 *
 * One server is under load for the whole time; starting it again afterwards comes on top.
 */

import { overload, type OverloadCounts } from '../support/overload.ts'
import { prove } from '../support/proof.ts'
import { inFolder } from '../support/service.ts'

const runs: OverloadCounts[] = []

await prove({
  unit: 'minutes',
  count: 10,
  stepUnits: Infinity,
  counts: () => runs,
  step: (seed, minutes) =>
    inFolder(async (root) => {
      runs.push(await overload({ root, seed, durationMs: minutes * 60_000 }))
    }),
})
