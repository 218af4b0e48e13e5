/**
 * The kill loop at its full size (T1): `npm run proof:kill -- --kills 1000 --seed 1`.
 *
 * A step is a server of its own with up to fifty kills: what is lost shows within a few of them.
 */

import { killLoop, type KillCounts } from '../support/kill-loop.ts'
import { prove } from '../support/proof.ts'
import { inFolder } from '../support/service.ts'

const STEP_KILLS = 50

const total: KillCounts = {
  ...{ kills: 0, acknowledged: 0, unanswered: 0, refused: 0, pointsChecked: 0 },
  ...{ promotions: 0, rebuilds: 0 },
}

await prove({
  unit: 'kills',
  count: 1000,
  stepUnits: STEP_KILLS,
  counts: () => total,
  step: (seed, kills) =>
    inFolder(async (root) => {
      const counts = await killLoop({ root, seed, kills })
      for (const name of Object.keys(total) as (keyof KillCounts)[]) total[name] += counts[name]
    }),
})
