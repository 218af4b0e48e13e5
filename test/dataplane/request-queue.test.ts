/**
 * In which order the requests of a core run.
 */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import fc from 'fast-check'
import { FLAG_BACKGROUND, FRAME, type Frame, type FrameType } from '../../src/dataplane/frame.ts'
import { RequestQueue, isRead } from '../../src/dataplane/request-queue.ts'

function frame(id: number, type: FrameType, background = false): Frame {
  const flags = background ? FLAG_BACKGROUND : 0
  return { id, type, flags, shard: 1, deadlineMs: Infinity, body: Buffer.alloc(0) }
}

function drain(queue: RequestQueue): number[] {
  const ids: number[] = []
  for (let next = queue.shift(); next !== undefined; next = queue.shift()) ids.push(next.id)
  return ids
}

it('interactive requests run before background ones, each kind in its order', () => {
  const queue = new RequestQueue()
  queue.push(frame(1, FRAME.search, true))
  queue.push(frame(2, FRAME.search))
  queue.push(frame(3, FRAME.count, true))
  queue.push(frame(4, FRAME.fetch))
  assert.deepEqual(drain(queue), [2, 4, 1, 3])
})

it('once a turn a background request goes first, but never before a write', () => {
  const queue = new RequestQueue()
  queue.push(frame(1, FRAME.search))
  queue.push(frame(2, FRAME.search, true))
  assert.equal(queue.shiftBackground()?.id, 2)
  queue.push(frame(3, FRAME.apply))
  queue.push(frame(4, FRAME.search, true))
  assert.equal(queue.shiftBackground(), undefined)
  assert.deepEqual(drain(queue), [1, 3, 4])
  queue.push(frame(5, FRAME.search, true))
  assert.equal(queue.shiftBackground()?.id, 5)
})

it('reads that nobody waits for are forgotten, writes are not', () => {
  const queue = new RequestQueue()
  queue.push(frame(1, FRAME.search))
  queue.push(frame(2, FRAME.apply))
  queue.push(frame(3, FRAME.count, true))
  queue.push(frame(4, FRAME.checkpoint))
  queue.forgetReads()
  assert.equal(queue.length, 2)
  assert.deepEqual(drain(queue), [2, 4])
})

it('nothing is lost or doubled, and every read sees the writes that were sent before it', () => {
  const types = fc.constantFrom(FRAME.search, FRAME.apply, FRAME.count, FRAME.checkpoint)
  const step = fc.oneof(
    { weight: 3, arbitrary: fc.record({ push: types, background: fc.boolean() }) },
    { weight: 2, arbitrary: fc.constantFrom('shift' as const, 'background' as const) },
  )
  fc.assert(
    // Longer than the queue's memory is kept before it is closed up.
    fc.property(
      fc.array(step, { maxLength: 200 }),
      fc.integer({ min: 0, max: 2000 }),
      (steps, n) => {
        const queue = new RequestQueue()
        const sent: Frame[] = []
        const ran: Frame[] = []
        const push = (type: FrameType, background: boolean): void => {
          const next = frame(sent.length, type, background)
          sent.push(next)
          queue.push(next)
        }
        const run = (next: Frame | undefined): void => {
          if (next !== undefined) ran.push(next)
        }
        for (let i = 0; i < n; i += 1) push(FRAME.search, false)
        for (const one of steps) {
          if (one === 'shift') run(queue.shift())
          else if (one === 'background') run(queue.shiftBackground())
          else push(one.push, one.background)
        }
        while (queue.length > 0) run(queue.shift())
        assert.deepEqual(
          ran.map(({ id }) => id).sort((a, b) => a - b),
          sent.map(({ id }) => id),
        )
        const writesBefore = new Set<number>()
        for (const { id, type } of ran) {
          if (!isRead(type)) writesBefore.add(id)
          else
            for (const w of sent.slice(0, id)) assert.ok(isRead(w.type) || writesBefore.has(w.id))
        }
      },
    ),
  )
})
