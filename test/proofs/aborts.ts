/**
 * Aborted cores at full size (T12): `npm run proof:aborts -- --aborts 1000 --seed 1`.
 *
 * A step is a service of its own: the wait before a restart grows with the deaths of a core.
 */

import { abortCores, type AbortCounts } from '../support/core-aborts.ts'
import { prove } from '../support/proof.ts'
import { inFolder } from '../support/service.ts'

/** Two bursts that degrade a core, and two aborts beside them. */
const STEP_ABORTS = 8

const counts: AbortCounts = {
  ...{ aborts: 0, degraded: 0, searches: 0, writes: 0, refused: 0, pointsChecked: 0 },
}

await prove({
  unit: 'aborts',
  count: 1000,
  stepUnits: STEP_ABORTS,
  counts: () => counts,
  step: (seed, aborts) => inFolder((root) => abortCores({ root, seed, aborts, counts })),
})
