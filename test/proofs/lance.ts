/**
 * The kill loop of Lance indexes at its full size: `npm run proof:lance -- --kills 500 --seed 1`.
 *
 * A step is a server of its own with up to twenty kills.
 */

import { lanceKillLoop, noLanceKills, type LanceKillCounts } from '../support/lance-kill-loop.ts'
import { prove } from '../support/proof.ts'
import { inFolder } from '../support/service.ts'

const STEP_KILLS = 20

const total = noLanceKills()

await prove({
  unit: 'kills',
  count: 500,
  stepUnits: STEP_KILLS,
  counts: () => total,
  step: (seed, kills) =>
    inFolder(async (root) => {
      const counts = await lanceKillLoop({ root, seed, kills })
      for (const name of Object.keys(total) as (keyof LanceKillCounts)[]) {
        total[name] += counts[name]
      }
    }),
})
