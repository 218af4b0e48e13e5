/**
 * Kills of a server that embeds texts: `npm run proof:projection -- --kills 100 --seed 1`.
 *
 * A step is a server of its own with up to twenty-five kills, five in each stage.
 */

import { prove } from '../support/proof.ts'
import { inFolder } from '../support/service.ts'
import { newCounts, textKillLoop, type TextKillCounts } from '../support/text-kill-loop.ts'

const STEP_KILLS = 25

const total = newCounts()

await prove({
  unit: 'kills',
  count: 100,
  stepUnits: STEP_KILLS,
  counts: () => total,
  step: (seed, kills) =>
    inFolder(async (root) => {
      const counts = await textKillLoop({ root, seed, kills })
      for (const name of Object.keys(total) as (keyof TextKillCounts)[]) {
        total[name] += counts[name]
      }
    }),
})
