/** The queue forgets nothing and holds nothing twice, whatever becomes of its batches. */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import fc from 'fast-check'
import { FailedTexts } from '../../src/projection/failed-texts.ts'
import { WorkQueue, type Batch, type WorkItem } from '../../src/projection/work-queue.ts'

function item(id: string, version = 1, kind: WorkItem['kind'] = 'write', sinceMs = 0): WorkItem {
  return { id, version, textHash: `${id}${version}`, kind, sinceMs }
}

const ids = (batch: Batch | null): string[] => (batch?.items ?? []).map(({ id }) => id)

it('takes the oldest first, and what is given back before all others', () => {
  const queue = new WorkQueue()
  for (const id of ['a', 'b', 'c']) queue.add(item(id))
  const batch = queue.take('write', 2, 0)
  assert.deepEqual(ids(batch), ['a', 'b'])
  assert.equal(queue.size('write'), 3)
  assert.ok(batch)
  queue.giveBack(batch, 0)
  assert.deepEqual(ids(queue.take('write', 9, 0)), ['a', 'b', 'c'])
  assert.equal(queue.take('write', 9, 0), null)
  assert.equal(queue.take('backfill', 9, 0), null)
})

it('holds each version once, also while it is worked on', () => {
  const queue = new WorkQueue()
  assert.equal(queue.add(item('a')), true)
  assert.equal(queue.add(item('a')), false)
  const batch = queue.take('write', 1, 0)
  assert.equal(queue.add(item('a')), false)
  assert.equal(queue.add(item('a', 2)), true)
  queue.settle(batch?.items ?? [])
  assert.equal(queue.add(item('a', 2)), false)
  assert.equal(queue.add(item('a', 1)), true, 'the index says so again')
})

it('takes nothing new while eight failed batches wait for their time', () => {
  const queue = new WorkQueue()
  for (let i = 0; i < 20; i += 1) queue.add(item(`t${i}`))
  for (let i = 0; i < 8; i += 1) {
    const batch = queue.take('write', 1, 0)
    assert.ok(batch)
    queue.retry(batch, 0)
  }
  assert.equal(queue.waiting('write', 0), 0)
  assert.equal(queue.take('write', 1, 0), null)
  assert.equal(queue.waiting('write', 1000), 8)
  assert.equal(queue.size('write'), 20)
})

it('of any batches that fail, each good text is done once and each bad one fails alone', () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(fc.nat(99), { maxLength: 40 }),
      fc.integer({ min: 1, max: 100 }),
      fc.array(fc.boolean(), { maxLength: 50 }),
      (bad, count, outages) => {
        const queue = new WorkQueue()
        const items = Array.from({ length: count }, (_, i) => item(String(i)))
        for (const one of items) queue.add(one)
        const isBad = ({ id }: WorkItem): boolean => bad.includes(Number(id))
        const done: string[] = []
        const failed: string[] = []
        let nowMs = 0
        for (let turn = 0; turn < 5000 && !queue.isEmpty; turn += 1) {
          const batch = queue.take('write', 64, nowMs)
          if (batch === null) nowMs += 1000
          else if (outages.shift() === true) queue.giveBack(batch, nowMs)
          else if (batch.items.some(isBad)) {
            const alone = queue.retry(batch, nowMs)
            if (alone !== null) failed.push(alone.id)
          } else {
            queue.settle(batch.items)
            done.push(...ids(batch))
          }
        }
        const byNumber = (a: string, b: string): number => Number(a) - Number(b)
        assert.ok(queue.isEmpty)
        assert.deepEqual(
          failed.sort(byNumber),
          items.filter(isBad).map(({ id }) => id),
        )
        assert.deepEqual(
          done.sort(byNumber),
          items.filter((one) => !isBad(one)).map(({ id }) => id),
        )
      },
    ),
    { numRuns: 200 },
  )
})

it('failed texts are paged, bounded, and forgotten with their version', () => {
  const failed = new FailedTexts(3)
  const reason = { code: 'embedder_failed', message: 'Bad.' }
  for (const id of ['a', 'b', 'c', 'd']) {
    failed.add({ item: item(id), reason, attempts: 1, atMs: 0 })
  }
  assert.equal(failed.size, 3)
  const first = failed.page(null, 2)
  const shown = (page: typeof first): string[] => page.failed.map((text) => text.item.id)
  assert.deepEqual(shown(first), ['b', 'c'])
  const second = failed.page(first.next, 2)
  assert.deepEqual([shown(second), second.next], [['d'], null])
  assert.equal(failed.isFailed({ id: 'b', version: 1 }), true)
  assert.equal(failed.isFailed({ id: 'b', version: 2 }), false)
  assert.equal(failed.isFailed({ id: 'b', version: 1 }), false, 'the newer version ended it')
  assert.deepEqual(
    failed.take(['c', 'nope']).map(({ id }) => id),
    ['c'],
  )
  assert.equal(failed.size, 1)
})
