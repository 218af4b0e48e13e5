/** Which texts go next: new points first, backfill never starved, every index in its turn. */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import fc from 'fast-check'
import { nextBatch, type Waiting } from '../../src/projection/next-batch.ts'
import { afterFailure, restMs, sizeAfter } from '../../src/projection/retry-plan.ts'
import { RateWindow } from '../../src/projection/rate-window.ts'

const RULES = { writeBatch: 64, backfillBatch: 32, backfillAfterMs: 30_000, backfillShare: 8 }
const NOW_MS = 100_000

function waiting(
  writes: number,
  backfill: number,
  { ageMs = 0, write = 0, old = 0 } = {},
): Waiting {
  const backfillSinceMs = backfill > 0 ? NOW_MS - ageMs : null
  return { writes, backfill, backfillSinceMs, lastTurn: { write, backfill: old } }
}

it('the table of choices', () => {
  const write = (place: number) => ({ place, kind: 'write', size: 64 })
  const backfill = (place: number) => ({ place, kind: 'backfill', size: 32 })
  const old = { ageMs: 30_000 }
  const cases: [Waiting[], number, object | null][] = [
    [[], 0, null],
    [[waiting(0, 0)], 0, null],
    [[waiting(1, 100)], 0, write(0)],
    [[waiting(0, 1)], 0, backfill(0)],
    [[waiting(1, 100, old)], 6, write(0)],
    [[waiting(1, 100, old)], 7, backfill(0)],
    [[waiting(1, 100, { ageMs: 29_999 })], 100, write(0)],
    [[waiting(5, 0, { write: 9 }), waiting(5, 0, { write: 3 })], 0, write(1)],
    [[waiting(5, 0), waiting(0, 5, old)], 7, backfill(1)],
    [[waiting(5, 5, { ...old, old: 4 }), waiting(0, 5, { ...old, old: 2 })], 7, backfill(1)],
    [[waiting(0, 5, { old: 4 }), waiting(0, 5, { old: 2 })], 0, backfill(1)],
  ]
  for (const [all, writeTurns, expected] of cases) {
    assert.deepEqual(nextBatch(all, RULES, { writeTurns, nowMs: NOW_MS }), expected)
  }
})

it('of any load, old backfill has one batch in eight and each index waits for the others once', () => {
  const loads = fc.array(fc.record({ writes: fc.nat(3), backfill: fc.nat(3) }), {
    minLength: 1,
    maxLength: 5,
  })
  fc.assert(
    fc.property(loads, (load) => {
      const turns = load.map(() => ({ write: 0, backfill: 0 }))
      const chosen: { place: number; kind: string }[] = []
      let writeTurns = 0
      for (let turn = 1; turn <= 200; turn += 1) {
        // A load that never ends: whoever waits, waits with as much again.
        const all = load.map(({ writes, backfill }, i) =>
          waiting(writes, backfill, {
            ageMs: 60_000,
            write: turns[i]?.write ?? 0,
            old: turns[i]?.backfill ?? 0,
          }),
        )
        const next = nextBatch(all, RULES, { writeTurns, nowMs: NOW_MS })
        if (next === null) return load.every(({ writes, backfill }) => writes + backfill === 0)
        writeTurns = next.kind === 'write' ? writeTurns + 1 : 0
        const last = turns[next.place]
        if (last !== undefined) last[next.kind] = turn
        chosen.push(next)
      }
      const starved = (kind: 'write' | 'backfill', place: number, span: number): boolean =>
        chosen.some((_, from) => {
          const some = chosen.slice(from, from + span)
          return some.length === span && !some.some((c) => c.kind === kind && c.place === place)
        })
      const olds = load.filter(({ backfill }) => backfill > 0).length
      return load.every(
        ({ writes, backfill }, place) =>
          (writes === 0 || !starved('write', place, 2 * load.length + 1)) &&
          (backfill === 0 || !starved('backfill', place, 8 * olds)),
      )
    }),
    { numRuns: 300 },
  )
})

it('a failed batch waits 1, 4, 16 s, then is halved down to the text that fails', () => {
  const after = (size: number, failures: number) => afterFailure({ size, failures })
  assert.deepEqual(after(64, 1), { kind: 'wait', ms: 1000 })
  assert.deepEqual(after(64, 2), { kind: 'wait', ms: 4000 })
  assert.deepEqual(after(1, 3), { kind: 'wait', ms: 16_000 })
  assert.deepEqual(after(64, 4), { kind: 'halves' })
  assert.deepEqual(after(2, 9), { kind: 'halves' })
  assert.deepEqual(after(1, 4), { kind: 'failed' })
})

it('pauses double up to 30 s, and calls get smaller down to one text', () => {
  assert.deepEqual([1, 2, 3, 5, 6, 60].map(restMs), [1000, 2000, 4000, 16_000, 30_000, 30_000])
  assert.deepEqual(
    [0, 1, 3, 6, 7, 2000].map((failures) => sizeAfter(failures, 64)),
    [64, 32, 8, 1, 1, 1],
  )
})

it('the rate is that of the last minute', () => {
  const rate = new RateWindow()
  rate.add(60, 1000)
  rate.add(60, 30_000)
  assert.equal(rate.perSecond(59_000), 2)
  assert.equal(rate.perSecond(61_500), 1)
  assert.equal(rate.perSecond(500_000), 0)
})
