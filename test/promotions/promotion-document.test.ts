/**
 * The steps of a promotion history, held against a plain model: an array of everything that was
 * ever current, and a place in it. Long runs, so that both bounds of 50 are reached and passed.
 */

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import {
  configSource,
  neverPromoted,
  pin,
  promote,
  type PromotionDocument,
  PROMOTION_ENTRIES_MAX,
  rollback,
  rollForward,
} from '../../src/promotions/promotion-document.ts'
import { hasCode } from '../../src/lib/errors.ts'
import { AUTHOR, entry } from './promotions.support.ts'

type Step = 'promote' | 'rollback' | 'roll_forward'

describe('promotion document', () => {
  it('any steps answer what a list with a place in it answers', () => {
    const most = { history: 0, redo: 0 }
    fc.assert(
      fc.property(steps(), (plan) => {
        let document = neverPromoted('x')
        const model = new Model()
        for (const [n, step] of plan.entries()) {
          const frozen = JSON.stringify(document)
          const before = document
          const expected = model.step(step, String(n))
          const outcome = attempt(() => take(before, step, String(n)))
          assert.equal(JSON.stringify(before), frozen, 'a step changed its argument')
          assert.equal(typeof outcome === 'string' ? outcome : null, expected)
          if (typeof outcome === 'string') continue
          document = outcome
          assert.deepEqual(idsOf(document), model.ids())
          assert.equal(document.change?.kind, step)
          const discarded = step === 'rollback' ? before.current : null
          assert.deepEqual(document.change.discarded, discarded)
          most.history = Math.max(most.history, document.history.length)
          most.redo = Math.max(most.redo, document.redo.length)
        }
      }),
      { numRuns: 60 },
    )
    assert.deepEqual(most, { history: PROMOTION_ENTRIES_MAX, redo: PROMOTION_ENTRIES_MAX })
  })

  it('a roll-forward is the inverse of a rollback, also to and from no promotion at all', () => {
    const one = promote(neverPromoted('x'), entry('a'), AUTHOR)
    const none = rollback(one, AUTHOR)
    assert.deepEqual(idsOf(none), { current: null, history: [], redo: ['a'] })
    assert.equal(configSource(none), 'default')
    const again = rollForward(none, AUTHOR)
    assert.deepEqual(idsOf(again), idsOf(one))
    assert.equal(configSource(again), 'promoted:a')
  })

  it('nothing to go back to, nothing to take back and nothing to pin are told apart', () => {
    const none = neverPromoted('x')
    assert.throws(() => rollback(none, AUTHOR), { code: 'no_promotion_to_roll_back' })
    assert.throws(() => rollForward(none, AUTHOR), { code: 'nothing_to_roll_forward' })
    assert.throws(() => pin(none, true, AUTHOR), { code: 'nothing_to_pin' })
    const gone = rollback(promote(none, entry('a'), AUTHOR), AUTHOR)
    assert.throws(() => rollback(gone, AUTHOR), { code: 'no_promotion_to_roll_back' })
    assert.throws(() => pin(gone, true, AUTHOR), { code: 'nothing_to_pin' })
  })

  it('a pin touches the current entry alone, and comes back with it', () => {
    const two = promote(promote(neverPromoted('x'), entry('a'), AUTHOR), entry('b'), AUTHOR)
    const pinned = pin(two, true, AUTHOR)
    assert.deepEqual(pinned.current, { ...entry('b'), pinned: true })
    assert.deepEqual(pinned.history, two.history)
    const away = rollback(pinned, AUTHOR)
    assert.equal(away.current?.pinned, false)
    assert.equal(rollForward(away, AUTHOR).current?.pinned, true)
    assert.equal(pin(pinned, false, AUTHOR).change?.kind, 'unpin')
  })

  it('an older layout that has a history and no current one can be rolled back', () => {
    const older = { ...neverPromoted('x'), history: [entry('a'), entry('b')] }
    assert.deepEqual(idsOf(rollback(older, AUTHOR)), { current: 'b', history: ['a'], redo: [] })
  })
})

/** Everything that was current since the last fork, oldest first; `at` is the current one's place. */
class Model {
  #line: string[] = []
  #at = -1
  /** Places below this have been dropped. */
  #first = 0
  /** Places from here on have been dropped. */
  #end = 0

  /** The code of the refusal, or null. */
  step(step: Step, id: string): string | null {
    if (step === 'promote') {
      this.#line = [...this.#line.slice(0, this.#at + 1), id]
      this.#at += 1
      this.#end = this.#line.length
    } else if (step === 'rollback') {
      if (this.#at < this.#first) return 'no_promotion_to_roll_back'
      this.#at -= 1
    } else {
      if (this.#at + 1 >= this.#end) return 'nothing_to_roll_forward'
      this.#at += 1
    }
    this.#first = Math.max(this.#first, this.#at - PROMOTION_ENTRIES_MAX)
    this.#end = Math.min(this.#end, this.#at + 1 + PROMOTION_ENTRIES_MAX)
    return null
  }

  ids(): ReturnType<typeof idsOf> {
    return {
      current: this.#at < this.#first ? null : (this.#line[this.#at] ?? null),
      history: this.#line.slice(this.#first, Math.max(this.#first, this.#at)),
      redo: this.#line.slice(this.#at + 1, this.#end).reverse(),
    }
  }
}

/** Runs of one step, so that the bounds are met: single steps would walk around the middle. */
function steps(): fc.Arbitrary<Step[]> {
  const run = fc.record({
    step: fc.constantFrom<Step>('promote', 'promote', 'rollback', 'roll_forward'),
    times: fc.oneof(fc.integer({ min: 1, max: 4 }), fc.integer({ min: 40, max: 70 })),
  })
  return fc
    .array(run, { minLength: 1, maxLength: 12 })
    .map((runs) => runs.flatMap(({ step, times }) => Array.from({ length: times }, () => step)))
}

function take(document: PromotionDocument, step: Step, id: string): PromotionDocument {
  if (step === 'promote') return promote(document, entry(id), AUTHOR)
  return step === 'rollback' ? rollback(document, AUTHOR) : rollForward(document, AUTHOR)
}

function attempt(work: () => PromotionDocument): PromotionDocument | string {
  try {
    return work()
  } catch (error) {
    assert.ok(hasCode(error, 'no_promotion_to_roll_back', 'nothing_to_roll_forward'))
    return error.code
  }
}

function idsOf({ current, history, redo }: PromotionDocument) {
  return {
    current: current?.trialId ?? null,
    history: history.map(({ trialId }) => trialId),
    redo: redo.map(({ trialId }) => trialId),
  }
}
