/** Grouped search against the plainest answer, over points that are all compared. */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import fc from 'fast-check'
import { parseFilter } from '../../src/domain/filter.ts'
import {
  searchGroups,
  SEARCHES_MAX,
  type GroupedAnswer,
  type GroupedSearchOptions,
} from '../../src/services/grouped-search.ts'
import { matches } from '../support/plain-filter.ts'

interface Point {
  readonly id: string
  readonly metadata: string | null
  readonly distance: number
}

/** The point `i` is the i-th nearest; `key` is its value of the field "g". */
function points(keys: readonly unknown[]): Point[] {
  return keys.map((key, i) => {
    const metadata = key === undefined ? null : JSON.stringify({ g: key, odd: i % 2 === 1 })
    return { id: `p${i}`, metadata, distance: i }
  })
}

interface World {
  readonly answer: GroupedAnswer<Point>
  readonly asked: number[]
}

async function group(
  all: readonly Point[],
  options: Partial<GroupedSearchOptions<Point>> = {},
): Promise<World> {
  const asked: number[] = []
  const answer = await searchGroups<Point>({
    ...{ field: 'g', groups: 3, groupSize: 2, filter: null, kMax: 1000 },
    compare: (one, other) => one.distance - other.distance,
    search: async (k, filter) => {
      asked.push(k)
      const parsed = parseFilter(JSON.parse(filter))
      const found = all.filter((p) => matches(parsed, JSON.parse(p.metadata ?? '{}')))
      return { hits: found.slice(0, k), exhausted: found.length < k, lsn: 100 - asked.length }
    },
    ...options,
  })
  return { answer, asked }
}

function shape(answer: GroupedAnswer<Point>): unknown {
  return answer.groups.map(({ key, hits }) => [key, ...hits.map(({ id }) => id)])
}

it('groups come in the order of their nearest points, with their own nearest points', async () => {
  const { answer } = await group(points(['a', 'b', 'a', 'c', 'a', 'b', 'd', 'c']))
  assert.deepEqual(shape(answer), [
    ['a', 'p0', 'p2'],
    ['b', 'p1', 'p5'],
    ['c', 'p3', 'p7'],
  ])
  assert.equal(answer.complete, true)
  assert.equal(answer.exhausted, false)
})

it('one large group does not hide the others', async () => {
  const keys = [...Array<string>(500).fill('big'), 'b', 'c', 'd']
  const { answer, asked } = await group(points(keys))
  assert.deepEqual(shape(answer), [
    ['big', 'p0', 'p1'],
    ['b', 'p500'],
    ['c', 'p501'],
  ])
  assert.ok(asked.every((k) => k < 500))
  assert.equal(answer.complete, true)
})

it('fewer groups than wanted are exhausted, and complete', async () => {
  const { answer } = await group(points(['a', 'a', 'b']))
  assert.deepEqual([answer.exhausted, answer.complete], [true, true])
  assert.equal(answer.groups.length, 2)
  const none = await group([])
  assert.deepEqual([none.answer.exhausted, none.answer.groups, none.asked.length], [true, [], 1])
})

it('a point without a plain value of the field forms no group', async () => {
  const keys = [undefined, null, ['a'], { g: 'a' }, 'a', 1, true, '1']
  const { answer } = await group(points(keys), { groups: 9 })
  assert.deepEqual(shape(answer), [
    ['a', 'p4'],
    [1, 'p5'],
    [true, 'p6'],
    ['1', 'p7'],
  ])
  assert.equal(answer.exhausted, true)
})

it('where nothing but such points is near, the answer does not say that it is complete', async () => {
  const keys = [...Array<unknown>(50).fill(['a']), 'b']
  const { answer, asked } = await group(points(keys), { kMax: 20 })
  assert.deepEqual([answer.groups, answer.exhausted, answer.complete], [[], false, false])
  assert.ok(asked.length < SEARCHES_MAX)
})

it('a field may be nested, and the filter of the caller holds too', async () => {
  const nested = [
    { id: 'x', metadata: '{"a":{"b":"one"}}', distance: 0 },
    { id: 'y', metadata: '{"a.b":"two","a":{"b":"one"}}', distance: 1 },
  ]
  const { answer } = await searchNested(nested)
  assert.deepEqual(shape(answer), [
    ['one', 'x'],
    ['two', 'y'],
  ])
  const odd = await group(points(['a', 'b', 'a', 'c']), { filter: '{"odd":true}' })
  assert.deepEqual(shape(odd.answer), [
    ['b', 'p1'],
    ['c', 'p3'],
  ])
})

function searchNested(all: readonly Point[]): Promise<World> {
  // The plain filter knows no paths: everything matches.
  const search: GroupedSearchOptions<Point>['search'] = async (k) => {
    return { hits: all.slice(0, k), exhausted: all.length < k, lsn: 1 }
  }
  return group([], { field: 'a.b', search })
}

it('a point that changed its group between two searches is in one of them', async () => {
  const answers = [
    [{ id: 'x', metadata: '{"g":"a"}', distance: 0 }],
    [
      { id: 'x', metadata: '{"g":"b"}', distance: 0 },
      { id: 'y', metadata: '{"g":"c"}', distance: 1 },
    ],
  ]
  const { answer } = await group([], {
    groups: 2,
    groupSize: 1,
    search: async () => ({ hits: answers.shift() ?? [], exhausted: false, lsn: 5 }),
  })
  assert.deepEqual(shape(answer), [
    ['a', 'x'],
    ['c', 'y'],
  ])
})

it('the lsn is the least that any search has seen', async () => {
  const { answer, asked } = await group(points([...Array<string>(50).fill('a'), 'b']))
  assert.ok(asked.length > 1)
  assert.equal(answer.lsn, 100 - asked.length)
  assert.equal(answer.searches, asked.length)
})

it('what is complete is what comparing every point finds, whatever the groups are', async () => {
  const keys = fc.array(fc.constantFrom('a', 'b', 'c', 'd', 'e', undefined), { maxLength: 60 })
  const sizes = fc.record({
    ...{ groups: fc.integer({ min: 1, max: 6 }), groupSize: fc.integer({ min: 1, max: 4 }) },
    kMax: fc.integer({ min: 24, max: 30 }),
  })
  await fc.assert(
    fc.asyncProperty(keys, sizes, async (list, size) => {
      const all = points(list)
      const { answer } = await group(all, size)
      const plain = new Map<string, string[]>()
      for (const [i, key] of list.entries()) {
        if (key !== undefined) plain.set(key, [...(plain.get(key) ?? []), `p${i}`])
      }
      const best = [...plain].slice(0, size.groups)
      const expected = best.map(([key, ids]) => [key, ...ids.slice(0, size.groupSize)])
      assert.ok(answer.searches <= SEARCHES_MAX)
      if (answer.complete) assert.deepEqual(shape(answer), expected)
      assert.equal(answer.exhausted, plain.size < size.groups)
    }),
    { numRuns: 500 },
  )
})
