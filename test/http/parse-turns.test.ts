/** Bodies are parsed one behind the other, and the event loop runs between large ones. */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { ParseTurns } from '../../src/http/parse-turns.ts'
import { VectordError } from '../../src/lib/errors.ts'

/** Work that takes `ms` of a clock that only it moves. */
class Clock {
  nowMs = 0
  readonly done: string[] = []

  work(name: string, ms: number): () => string {
    return () => {
      this.nowMs += ms
      this.done.push(name)
      return name
    }
  }
}

function open(waitingBytesMax = 1000): { clock: Clock; turns: ParseTurns } {
  const clock = new Clock()
  return { clock, turns: new ParseTurns({ waitingBytesMax, nowMs: () => clock.nowMs }) }
}

it('a turn of the event loop holds one large body, however many wait', async () => {
  const { clock, turns } = open()
  const names = ['a', 'b', 'c', 'd']
  const parsed = Promise.all(names.map((name) => turns.run(1, clock.work(name, 10))))
  assert.deepEqual(clock.done, [], 'not in the turn in which they came')
  for (let taken = 1; taken <= names.length; taken += 1) {
    await nextTurn()
    assert.deepEqual(clock.done, names.slice(0, taken))
  }
  assert.deepEqual(await parsed, names)
})

it('small bodies share a turn', async () => {
  const { clock, turns } = open()
  const names = Array.from({ length: 12 }, (_, i) => `${i}`)
  const parsed = Promise.all(names.map((name) => turns.run(1, clock.work(name, 0.5))))
  for (const taken of [4, 8, 12]) {
    await nextTurn()
    assert.equal(clock.done.length, taken)
  }
  assert.deepEqual(await parsed, names)
})

it('a body that is refused rejects alone, and those behind it are parsed', async () => {
  const { clock, turns } = open()
  const bad = turns.run(1, () => {
    throw new RangeError('bad')
  })
  const good = turns.run(1, clock.work('good', 1))
  await assert.rejects(bad, RangeError)
  assert.equal(await good, 'good')
})

it('503: bodies past the bound are refused at once with Retry-After, one alone never is', async () => {
  const { clock, turns } = open(1000)
  const taken = [turns.run(5000, clock.work('larger than the bound', 10))]
  await assert.rejects(turns.run(1, clock.work('refused', 1)), (error) => {
    assert.ok(error instanceof VectordError)
    assert.equal(error.code, 'overloaded')
    assert.equal(error.retryAfterS, 1)
    return true
  })
  await nextTurn()
  taken.push(turns.run(600, clock.work('b', 10)), turns.run(400, clock.work('c', 10)))
  await assert.rejects(turns.run(1, clock.work('refused', 1)), { code: 'overloaded' })
  await nextTurn()
  taken.push(turns.run(600, clock.work('d', 10)))
  assert.deepEqual(await Promise.all(taken), ['larger than the bound', 'b', 'c', 'd'])
  assert.ok(!clock.done.includes('refused'))
})
