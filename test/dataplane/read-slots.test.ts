/** Slots bound what runs at once, keep the order, and are given back by what fails. */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { ReadSlots } from '../../src/dataplane/read-slots.ts'

it('no more run at once than there are slots, in their order, also where some fail', async () => {
  const slots = new ReadSlots(3)
  const started: number[] = []
  const open: (() => void)[] = []
  let running = 0
  const all = Array.from({ length: 10 }, (_, i) =>
    slots.run(async () => {
      started.push(i)
      running += 1
      await new Promise<void>((resolve) => open.push(resolve))
      running -= 1
      if (i % 2 === 0) throw new Error(`work ${i}`)
      return i
    }),
  )
  const settled = Promise.allSettled(all)
  for (let done = 0; done < 10; done += 1) {
    await new Promise(setImmediate)
    assert.equal(running, Math.min(3, 10 - done))
    open.shift()?.()
  }
  const results = await settled
  assert.deepEqual(started, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
  assert.equal(results.filter(({ status }) => status === 'fulfilled').length, 5)
  assert.equal(await slots.run(async () => Promise.resolve('free again')), 'free again')
})
