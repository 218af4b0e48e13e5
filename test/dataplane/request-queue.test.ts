/**
 * In which order the requests of a core run.
 */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import fc from 'fast-check'
import { FLAG_BACKGROUND, FRAME, type Frame, type FrameType } from '../../src/dataplane/frame.ts'
import { RequestQueue, isRead } from '../../src/dataplane/request-queue.ts'

const BACKGROUND = true

function frame(id: number, type: FrameType, background = false): Frame {
  const flags = background ? FLAG_BACKGROUND : 0
  return { id, type, flags, shard: 1, deadlineMs: Infinity, body: Buffer.alloc(0) }
}

function queueOf(...frames: readonly (readonly [FrameType, boolean?])[]): RequestQueue {
  const queue = new RequestQueue()
  for (const [at, [type, background]] of frames.entries()) {
    queue.push(frame(at + 1, type, background))
  }
  return queue
}

function all(shift: () => Frame | undefined): number[] {
  const ids: number[] = []
  for (let next = shift(); next !== undefined; next = shift()) ids.push(next.id)
  return ids
}

it('reads pass the applies before them, each kind in its order', () => {
  const queue = queueOf([FRAME.apply], [FRAME.search], [FRAME.apply], [FRAME.count], [FRAME.fetch])
  assert.deepEqual(
    all(() => queue.shiftRead()),
    [2, 4, 5],
  )
  assert.deepEqual(
    all(() => queue.shiftChange()),
    [1, 3],
  )
})

it('an apply passes reads, so that no number of reads keeps writers waiting', () => {
  const queue = queueOf([FRAME.search], [FRAME.apply], [FRAME.scroll])
  assert.equal(queue.shiftChange()?.id, 2)
})

it('reads and what opens or closes a shard keep their order', () => {
  for (const fixed of [FRAME.open, FRAME.close, FRAME.stop]) {
    const queue = queueOf([FRAME.apply], [FRAME.search], [fixed], [FRAME.search], [FRAME.apply])
    assert.equal(queue.shiftChange()?.id, 1)
    assert.equal(queue.shiftChange(), undefined, 'the read before it comes first')
    assert.equal(queue.shiftRead()?.id, 2)
    assert.equal(queue.shiftRead(), undefined, 'the read after it waits')
    assert.equal(queue.shiftChange()?.id, 3)
    assert.equal(queue.shiftRead()?.id, 4)
    assert.equal(queue.shiftChange()?.id, 5)
    assert.equal(queue.length, 0)
  }
})

it('a checkpoint keeps its place among the applies, and reads pass it', () => {
  const queue = queueOf([FRAME.apply], [FRAME.checkpoint], [FRAME.apply], [FRAME.search])
  assert.equal(queue.shiftRead()?.id, 4)
  assert.deepEqual(
    all(() => queue.shiftChange()),
    [1, 2, 3],
  )
})

it('the ids of a delete are read among the applies, in their order', () => {
  const queue = queueOf([FRAME.apply], [FRAME.matchingIds], [FRAME.apply])
  assert.equal(queue.shiftRead(), undefined)
  assert.deepEqual(
    all(() => queue.shiftChange()),
    [1, 2, 3],
  )
})

it('background reads run when nothing else waits, and where they are asked for', () => {
  const queue = queueOf(
    [FRAME.count, BACKGROUND],
    [FRAME.search, BACKGROUND],
    [FRAME.search],
    [FRAME.apply],
  )
  assert.equal(queue.shiftIdle(), undefined)
  assert.equal(queue.shiftBackground()?.id, 1)
  assert.equal(queue.shiftRead()?.id, 3)
  assert.equal(queue.shiftIdle(), undefined, 'a change waits')
  assert.equal(queue.shiftChange()?.id, 4)
  assert.equal(queue.shiftIdle()?.id, 2)
  assert.equal(queue.length, 0)
})

it('reads that nobody waits for are forgotten, writes are not', () => {
  const queue = queueOf(
    [FRAME.search],
    [FRAME.apply],
    [FRAME.count, BACKGROUND],
    [FRAME.matchingIds],
    [FRAME.close],
  )
  queue.forgetReads()
  assert.equal(queue.length, 2)
  assert.deepEqual(
    all(() => queue.shiftChange()),
    [2, 5],
  )
})

it('nothing is lost, doubled or kept waiting for ever, and what keeps its place does', () => {
  const types = fc.constantFrom(
    ...[FRAME.search, FRAME.apply, FRAME.count, FRAME.checkpoint],
    ...[FRAME.matchingIds, FRAME.open, FRAME.close],
  )
  const step = fc.oneof(
    { weight: 4, arbitrary: fc.record({ push: types, background: fc.boolean() }) },
    { weight: 3, arbitrary: fc.constantFrom('Read', 'Change', 'Background', 'Idle') },
  )
  fc.assert(
    // Longer than the queue's memory is kept before it is closed up.
    fc.property(fc.array(step, { maxLength: 200 }), fc.nat(2000), (steps, reads) => {
      const queue = new RequestQueue()
      const sent: Frame[] = []
      const ran: Frame[] = []
      const push = (type: FrameType, background: boolean): void => {
        const next = frame(sent.length, type, background)
        sent.push(next)
        queue.push(next)
      }
      const run = (kind: 'Read' | 'Change' | 'Background' | 'Idle'): void => {
        const next = queue[`shift${kind}`]()
        if (next !== undefined) ran.push(next)
      }
      for (let i = 0; i < reads; i += 1) push(FRAME.search, false)
      for (const one of steps) {
        if (typeof one === 'string') run(one)
        else push(one.push, one.background)
      }
      // Turns, as a core takes them: each of them gets on.
      while (queue.length > 0) {
        const before = ran.length
        run('Read')
        run('Change')
        run('Idle')
        assert.ok(ran.length > before, 'a turn does something')
      }
      check(sent, ran)
    }),
  )
})

/** Frames have their place among those that were sent as their id. */
function check(sent: readonly Frame[], ran: readonly Frame[]): void {
  const order = ran.map(({ id }) => id)
  assert.deepEqual(
    order.toSorted((a, b) => a - b),
    sent.map(({ id }) => id),
  )
  const isFixed = ({ type }: Frame): boolean => type === FRAME.open || type === FRAME.close
  const isChange = ({ type }: Frame): boolean => !isRead(type) || type === FRAME.matchingIds
  const isInteractive = (one: Frame): boolean => !isChange(one) && one.flags === 0
  for (const kind of [isChange, isInteractive]) {
    const ids = ran.filter(kind).map(({ id }) => id)
    assert.deepEqual(
      ids,
      ids.toSorted((a, b) => a - b),
    )
  }
  const places = new Map(order.map((id, place) => [id, place]))
  for (const fixed of sent.filter(isFixed)) {
    const place = places.get(fixed.id) ?? 0
    for (const [at, other] of ran.entries()) {
      const isWrong = at < place !== other.id < fixed.id && other.id !== fixed.id
      // Only background reads may be passed.
      const mayBePassed = other.id < fixed.id && !isChange(other) && !isInteractive(other)
      assert.ok(!isWrong || mayBePassed, `${other.id} and ${fixed.id}`)
    }
  }
}
