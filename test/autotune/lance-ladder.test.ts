/** Ladders of Lance settings: dearer and better from rung to rung, and halved to the first that passes. */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import fc from 'fast-check'
import { firstPassing, laddersOf } from '../../src/autotune/lance-ladder.ts'
import { LANCE_INDEX_KINDS } from '../../src/domain/lance-table.ts'

it('each ladder ascends in one setting, ends with every list, and refines at least once', () => {
  const size = fc.record({ rows: fc.integer({ min: 0, max: 5_000_000 }), k: fc.nat(100) })
  fc.assert(
    fc.property(fc.constantFrom(...LANCE_INDEX_KINDS), size, (kind, { rows, k }) => {
      for (const ladder of laddersOf(kind, { rows, k: k + 1 })) {
        const rungs = ladder.map(({ nprobes, ef }) => (kind === 'ivf_pq' ? nprobes : ef) ?? 0)
        assert.ok(rungs.every((rung, i) => rung > (rungs[i - 1] ?? 0)))
        assert.equal(new Set(ladder.map(({ refineFactor }) => refineFactor)).size, 1)
        assert.ok((ladder[0]?.refineFactor ?? 0) >= 1, 'distances that are compared are exact')
        if (kind === 'ivf_pq') assert.equal(rungs.at(-1), Math.max(1, Math.round(Math.sqrt(rows))))
      }
    }),
  )
})

it('the first rung that passes is found in as many measures as halving needs', async () => {
  const ladder = laddersOf('ivf_pq', { rows: 1_000_000, k: 10 })[0] ?? []
  for (let from = 0; from <= ladder.length; from += 1) {
    let measures = 0
    const measure = (rung: (typeof ladder)[number]): Promise<number> => {
      measures += 1
      return Promise.resolve(ladder.indexOf(rung))
    }
    const passed = await firstPassing(ladder, measure, (place) => place >= from)
    assert.equal(passed?.place ?? null, from === ladder.length ? null : from)
    assert.ok(measures <= 1 + Math.ceil(Math.log2(ladder.length)), `${measures} measures`)
  }
  assert.equal(
    await firstPassing(
      [],
      () => Promise.resolve(0),
      () => true,
    ),
    null,
  )
})
