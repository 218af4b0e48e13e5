/** The buffer holds what it may and no more, and gives points out in the order in which they came. */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { upsertOf } from '../../src/domain/write-batch.ts'
import {
  batchOf,
  firstRows,
  StreamBuffer,
  type StreamEntry,
} from '../../src/ingest/stream-buffer.ts'
import { VectordError } from '../../src/lib/errors.ts'
import { names, pointsOf } from '../support/stream-world.ts'

function entryOf(ids: readonly string[]): StreamEntry & { answers: (VectordError | null)[] } {
  const answers: (VectordError | null)[] = []
  return {
    ...{ batch: pointsOf(ids), sinceMs: 0, settled: 0, lsn: null, deadLettered: 0, isOpen: true },
    ...{ answers, bury: () => Promise.resolve(), answer: (error) => answers.push(error) },
  }
}

function idsOf(buffer: StreamBuffer, pointsMax: number): readonly string[] {
  const points = buffer.first(pointsMax)
  return points.length === 0 ? [] : batchOf(points).ids
}

it('points come out in order, across requests, each with its own vector and texts', () => {
  const buffer = new StreamBuffer({ pointsMax: 10 })
  buffer.add(entryOf(['a', 'b']))
  buffer.add(entryOf(['c', 'd', 'e']))
  const batch = batchOf(buffer.first(4))
  assert.deepEqual(batch.ids, ['a', 'b', 'c', 'd'])
  assert.deepEqual([...batch.vectors], [0, 1, 1, 1, 0, 1, 1, 1])
  assert.deepEqual(
    batch.metadata,
    ['a', 'b', 'c', 'd'].map((id) => JSON.stringify({ id })),
  )
})

it('a request is answered once, with its last point', () => {
  const buffer = new StreamBuffer({ pointsMax: 10 })
  const entry = entryOf(['a', 'b'])
  buffer.add(entry)
  const [first, second] = buffer.first(2)
  assert.ok(first !== undefined && second !== undefined)
  buffer.settle(first)
  assert.deepEqual([entry.answers, buffer.points, buffer.requests], [[], 1, 1])
  buffer.settle(second)
  assert.deepEqual([entry.answers, buffer.points, buffer.requests], [[null], 0, 0])
  assert.equal(entry.isOpen, false)
})

it('what is dropped makes room, and leaves the points of others', () => {
  const buffer = new StreamBuffer({ pointsMax: 4 })
  const entry = entryOf(['a', 'b', 'c'])
  buffer.add(entry)
  buffer.add(entryOf(['d']))
  assert.equal(buffer.fitting(pointsOf(['x']), 0), 0)
  const error = new VectordError('deadline_exceeded', 'Late.')
  buffer.drop(entry, error)
  assert.deepEqual(entry.answers, [error])
  assert.deepEqual(idsOf(buffer, 9), ['d'])
  assert.equal(buffer.fitting(pointsOf(names('x', 9)), 0), 3)
  assert.equal(buffer.fitting(pointsOf(names('x', 9)), 2), 1, 'others count as well')
  assert.equal(buffer.fitting(pointsOf(names('x', 9)), 7), 0, 'also where they are too many')
})

it('bytes are bounded too, but one point always goes into an empty buffer', () => {
  const large = 'x'.repeat(1000)
  const buffer = new StreamBuffer({ pointsMax: 100, bytesMax: 5000 })
  const batch = pointsOf(
    names('p', 9),
    Array.from({ length: 9 }, () => large),
  )
  assert.equal(buffer.fitting(batch, 0), 2)
  const entry = { ...entryOf(['p0', 'p1']), batch: firstRows(batch, 2) }
  buffer.add(entry)
  assert.equal(buffer.fitting(batch, 0), 0)
  for (const point of buffer.first(2)) buffer.settle(point)
  assert.equal(buffer.fitting(batch, 0), 2, 'what is settled is given back')
  const huge = pointsOf(['a', 'b'], ['x'.repeat(10_000), 'y'])
  assert.equal(buffer.fitting(huge, 0), 1)
})

it('the first rows of a batch hold nothing of the others', () => {
  const batch = pointsOf(names('p', 1000))
  const first = firstRows(batch, 2)
  assert.deepEqual(first.ids, ['p0', 'p1'])
  assert.equal(first.vectors.buffer.byteLength, 2 * 2 * Float32Array.BYTES_PER_ELEMENT)
})

it('texts without vectors stay so, whatever they are cut from and put together with', () => {
  const rows = ['a', 'b', 'c'].map((id, i) => {
    const vector = i === 1 ? Float32Array.of(7, 8) : null
    return { id, vector, text: `text ${id}`, metadata: null }
  })
  const batch = upsertOf(2, rows)
  assert.deepEqual([...(batch.places ?? [])], [-1, 0, -1])
  const first = firstRows(batch, 2)
  assert.deepEqual(
    [[...(first.places ?? [])], [...first.vectors]],
    [
      [-1, 0],
      [7, 8],
    ],
  )
  const buffer = new StreamBuffer({ pointsMax: 10 })
  buffer.add({ ...entryOf(['a', 'b', 'c']), batch })
  buffer.add(entryOf(['d']))
  const joined = batchOf(buffer.first(9))
  assert.deepEqual(
    [joined.ids, [...(joined.places ?? [])]],
    [
      ['a', 'b', 'c', 'd'],
      [-1, 0, -1, 1],
    ],
  )
  assert.deepEqual(joined.vectors.length, 4)
  assert.equal(upsertOf(2, [rows[1] ?? assert.fail()]).places, undefined)
})
