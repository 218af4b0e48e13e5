/**
 * Swaps of generations under writers (T7): `npm run proof:swaps -- --swaps 500 --seed 1`.
 *
 * A step is a server of its own with up to fifty swaps; each takes at least 5,000 writes. In every other
 * step the points are streamed.
 */

import { prove } from '../support/proof.ts'
import { inFolder, startService } from '../support/service.ts'
import { swapWindows, type SwapCounts } from '../support/swap-window.ts'

const STEP_SWAPS = 50
const WRITES = 5000
/** A compaction of its own accord publishes generations too, and those of a step are counted. */
const ALONE = { VECTORD_COMPACTION_PER_CYCLE_MAX: '0' }

const total: SwapCounts = { swaps: 0, upserts: 0, deletes: 0, checks: 0, unreached: 0 }

await prove({
  unit: 'swaps',
  count: 500,
  stepUnits: STEP_SWAPS,
  counts: () => total,
  step: (seed, swaps) =>
    inFolder(async (root) => {
      const service = await startService(root, { env: ALONE })
      try {
        await service.ready()
        const options = { seed, swaps, writes: WRITES, base: 3000, streamed: seed % 2 === 1 }
        const counts = await swapWindows(service, options)
        for (const name of Object.keys(total) as (keyof SwapCounts)[]) total[name] += counts[name]
      } finally {
        await service.kill()
      }
    }),
})
