/** Which points none beats: against the definition, over random clouds. */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import fc from 'fast-check'
import { paretoRows, rowAtEf, type Cloud } from '../../web/src/charts/pareto.ts'

const clouds = fc
  .array(fc.tuple(fc.integer({ min: 0, max: 30 }), fc.integer({ min: 0, max: 30 })))
  .map((points): Cloud => {
    return {
      trial: points.map(() => 0),
      ef: points.map((_, row) => row + 1),
      recall: points.map(([recall]) => recall / 30),
      cpu_us: points.map(([, cost]) => cost / 10),
    }
  })

it('what is on the line is beaten by none, and what is beaten by none is on the line', () => {
  fc.assert(
    fc.property(clouds, (cloud) => {
      const at = (row: number): [number, number] => [
        cloud.cpu_us[row] ?? NaN,
        cloud.recall[row] ?? NaN,
      ]
      const beats = (a: number, b: number): boolean => {
        const [[costA, recallA], [costB, recallB]] = [at(a), at(b)]
        return costA <= costB && recallA >= recallB && (costA < costB || recallA > recallB)
      }
      const rows = cloud.trial.map((_, row) => row)
      const unbeaten = rows.filter((row) => !rows.some((other) => beats(other, row)))
      const places = (list: readonly number[]): string[] =>
        [...new Set(list.map((row) => at(row).join()))].sort()
      const front = paretoRows(cloud)
      assert.deepEqual(places(front), places(unbeaten))
      const costs = front.map((row) => at(row)[0])
      assert.deepEqual(
        costs,
        costs.toSorted((a, b) => a - b),
      )
    }),
  )
})

it('a trial is found at its ef, else at the nearest one', () => {
  const cloud = {
    ...{ trial: [0, 0, 2, 2, 2], ef: [10, 20, 10, 40, 80] },
    ...{ recall: [0, 0, 0, 0, 0], cpu_us: [0, 0, 0, 0, 0] },
  }
  assert.equal(rowAtEf(cloud, 2, 40), 3)
  assert.equal(rowAtEf(cloud, 2, 1000), 4)
  assert.equal(rowAtEf(cloud, 0, 0), 0)
  assert.equal(rowAtEf(cloud, 1, 10), null)
})
