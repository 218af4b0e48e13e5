/** Guarantees of the generator that decisions are replayed with. */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { splitmix32 } from '../../src/lib/splitmix32.ts'

it('gives the sequence that an implementation in another language gives', () => {
  const random = splitmix32(0)
  const words = Array.from({ length: 4 }, () => random() * 2 ** 32)
  assert.deepEqual(words, [1_684_164_658, 3_653_269_916, 2_939_563_536, 2_141_751_570])
})

it('gives consecutive seeds first numbers that are spread evenly', () => {
  const tenths = new Array<number>(10).fill(0)
  for (let seed = 0; seed < 10_000; seed += 1) {
    const tenth = Math.floor(splitmix32(seed)() * 10)
    tenths[tenth] = (tenths[tenth] ?? 0) + 1
  }
  for (const count of tenths) assert.ok(Math.abs(count - 1000) < 120, String(tenths))
})

it('gives another stream to another salt, and the same one to the same', () => {
  const first = (salt: number): number[] => {
    const random = splitmix32(7, salt)
    return Array.from({ length: 8 }, random)
  }
  assert.deepEqual(first(3), first(3))
  assert.notDeepEqual(first(3), first(4))
  assert.ok(!first(0).some((number) => first(1).includes(number)))
})
