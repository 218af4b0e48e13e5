/** `min_lsn`: readers wait for a write to be searchable, and no longer than they said. */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { AppliedWatch } from '../../src/indexes/applied-watch.ts'

it('a reader goes on once the lsn that it named is reached, not before', async () => {
  const watch = new AppliedWatch()
  const order: string[] = []
  const waiting = watch.reached(3, 60_000).then(() => order.push('reader'))
  watch.advance(2)
  await Promise.resolve()
  order.push('lsn 2')
  watch.advance(3)
  await waiting
  assert.deepEqual(order, ['lsn 2', 'reader'])
})

it('what is reached already does not wait, and an older lsn takes nothing back', async () => {
  const watch = new AppliedWatch()
  watch.advance(5)
  watch.advance(4)
  assert.equal(watch.lsn, 5)
  await watch.reached(5, 0)
})

it('past the deadline the reader is told which lsn is applied', async () => {
  const watch = new AppliedWatch()
  watch.advance(1)
  await assert.rejects(watch.reached(2, 0), {
    code: 'deadline_exceeded',
    details: { min_lsn: 2, applied_lsn: 1 },
  })
})
