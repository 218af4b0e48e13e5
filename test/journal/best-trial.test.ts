/** Which trials no other beats, against what the definition says word by word. */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import fc from 'fast-check'
import type { CurvePoint, Trial } from '../../src/domain/trial.ts'
import { paretoFront } from '../../src/journal/best-trial.ts'
import { completed, curvePointOf, newTrial } from '../support/trials.ts'

it('a trial is on the front if a point of its curve is reached by no other as cheaply', () => {
  // Few values, so that equal costs, equal recalls and equal points are common.
  const point = fc.record({ cpuUs: fc.integer({ min: 1, max: 6 }), recallLcb: fc.nat({ max: 6 }) })
  const curves = fc.array(fc.array(point, { maxLength: 4 }), { maxLength: 12 })
  fc.assert(
    fc.property(curves, (all) => {
      const trials = all.map((curve, i) => trialOf(i + 1, curve.map(curvePointOf)))
      const front = trials.filter((trial) => trial.curve.some((own) => !isBeaten(own, trial)))
      assert.deepEqual(seqs(paretoFront(trials)), seqs(front))
      assert.deepEqual(seqs(paretoFront(trials.toReversed())), seqs(front).toReversed())

      function isBeaten(own: CurvePoint, { seq }: Trial): boolean {
        return trials.some((other) =>
          other.curve.some((found) => {
            if (found.cpuUs > own.cpuUs || found.recallLcb < own.recallLcb) return false
            const isBetter = found.cpuUs < own.cpuUs || found.recallLcb > own.recallLcb
            return isBetter || other.seq < seq
          }),
        )
      }
    }),
    { numRuns: 500 },
  )
})

function trialOf(seq: number, curve: readonly CurvePoint[]): Trial {
  return completed({ ...newTrial({ trialId: `t-${seq}` }), seq }, { curve })
}

function seqs(trials: readonly Trial[]): number[] {
  return trials.map(({ seq }) => seq)
}
