/** Which parts a checkpoint keeps: order and rows stay, the number of parts is bounded. */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import fc from 'fast-check'
import type { PartRef } from '../../src/domain/checkpoint.ts'
import { PARTS_MAX, planParts, type PartState } from '../../src/shard/part-plan.ts'

it('any plan covers every live row once, in order, in a bounded number of parts', () => {
  const part = fc.record({
    rows: fc.integer({ min: 1, max: 1000 }),
    dead: fc.double({ min: 0, max: 1, noNaN: true }),
  })
  const parts = fc.array(part, { maxLength: 2 * PARTS_MAX })
  fc.assert(
    fc.property(parts, fc.nat(500), fc.boolean(), (sizes, fresh, clean) => {
      const states = sizes.map(({ rows, dead }, i) =>
        state(i, rows, rows - Math.floor(rows * dead)),
      )
      const range = { firstLsn: states.length + 1, lastLsn: states.length + 5, live: fresh }
      const plan = planParts(states, range, clean)
      assert.ok(plan.length <= PARTS_MAX)
      const live = states.reduce((sum, one) => sum + one.live, fresh)
      assert.equal(
        plan.reduce((sum, one) => sum + one.live, 0),
        live,
      )
      for (const [i, segment] of plan.entries()) {
        assert.ok(segment.firstLsn > (plan[i - 1]?.lastLsn ?? 0))
        assert.ok(segment.live > 0)
        if (segment.kept === null) continue
        assert.equal(segment.kept.firstLsn, segment.firstLsn)
        const dead = segment.kept.rows - segment.live
        assert.ok(clean ? dead === 0 : dead < segment.kept.rows * 0.2)
      }
    }),
    { numRuns: 500 },
  )
})

it('parts that are whole are kept, and an idle checkpoint writes nothing', () => {
  const plan = planParts(
    [state(0, 10, 10), state(1, 10, 9)],
    { firstLsn: 3, lastLsn: 2, live: 0 },
    false,
  )
  assert.deepEqual(
    plan.map(({ kept }) => kept?.key),
    ['part-0', 'part-1'],
  )
})

it('a row is written a few times in its life, not once for each checkpoint', () => {
  let parts: PartState[] = []
  let written = 0
  const checkpoints = 1000
  for (let n = 1; n <= checkpoints; n += 1) {
    const plan = planParts(parts, { firstLsn: n, lastLsn: n, live: 100 }, false)
    written += plan.reduce((sum, { kept, live }) => sum + (kept === null ? live : 0), 0)
    parts = plan.map(({ kept, firstLsn, lastLsn, live }) => ({
      ref: kept ?? { ...state(n, live, live).ref, firstLsn, lastLsn },
      live,
    }))
  }
  assert.ok(written / (checkpoints * 100) < 7, `${written / (checkpoints * 100)} times`)
})

function state(i: number, rows: number, live: number): PartState {
  const lsn = { firstLsn: i + 1, lastLsn: i + 1 }
  const ref: PartRef = {
    ...{ kind: 'points', shard: 0, rows, deadRows: 0, ...lsn },
    ...{ key: `part-${i}`, bytes: 1, sha256: '' },
  }
  return { ref, live }
}
