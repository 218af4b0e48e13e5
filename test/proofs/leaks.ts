/**
 * Nothing is left behind in the buckets by crashes: `npm run proof:leaks -- --crashes 200 --seed 1`.
 *
 * Each twenty crashes have a folder of their own.
 */

import { leakLoop } from '../support/leak-loop.ts'
import { prove } from '../support/proof.ts'
import { inFolder } from '../support/service.ts'

const counts = { answered: 0, objects: 0 }

await prove({
  unit: 'crashes',
  count: 200,
  stepUnits: 20,
  counts: () => counts,
  step: (seed, crashes) =>
    inFolder(async (folder) => {
      const { answered, objects } = await leakLoop({ folder, seed, crashes })
      counts.answered += answered
      counts.objects += objects
    }),
})
