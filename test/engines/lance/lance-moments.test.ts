/** Reads of a Lance table beside what changes it, and reads of all of it. */

import assert from 'node:assert/strict'
import files from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { it } from 'node:test'
import { Session } from '@lancedb/lancedb'
import { LanceHandle } from '../../../src/engines/lance/lance-handle.ts'
import { scroll } from '../../../src/engines/lance/lance-reads.ts'
import { localTable, NONE, rowsOf } from './lance-world.ts'

it('a page whose points were deleted while it was read does not end a scroll', async (t) => {
  const { table, spec } = await localTable(t)
  await table.append(rowsOf(['a', 'b', 'c', 'd', 'e']))
  const session = new Session(1024n * 1024n, 1024n * 1024n)
  const { table: native } = await LanceHandle.open(spec, session)
  let questions = 0
  const deleting = Object.create(native, {
    query: {
      value: () => {
        const query = native.query()
        const toArrow = query.toArrow.bind(query)
        query.toArrow = async (options) => {
          const answer = await toArrow(options)
          questions += 1
          if (questions === 1) await native.delete("id IN ('a', 'b')")
          return answer
        }
        return query
      },
    },
  }) as typeof native
  const view = { dimension: 2, metric: 'l2', vectorIndex: null, deadlineMs: Infinity } as const
  const page = { after: null, limit: 2, filter: null, include: NONE, asOf: null }
  const { points, done } = await scroll({ ...view, table: deleting, version: 2 }, page)
  assert.deepEqual(
    points.map(({ id }) => id),
    ['c', 'd'],
  )
  assert.equal(done, false)
})

it('every id that several rows have is found, in a table of any size', async (t) => {
  const { table } = await localTable(t)
  const ids = Array.from({ length: 25_000 }, (_, i) => `p${i}`)
  await table.append(rowsOf(ids))
  assert.deepEqual(await table.repeated(), [])
  await table.append(rowsOf(['p7', 'p24001']))
  assert.deepEqual((await table.repeated()).toSorted(), ['p24001', 'p7'])
})

it('a table that comes after a dropped one is synced whole, though the old one was read', async (t) => {
  const { table } = await localTable(t)
  await table.append(rowsOf(['a']))
  await table.append(rowsOf(['b']))
  const synced: string[] = []
  const { open } = files.promises
  t.mock.method(files.promises, 'open', (...asked: Parameters<typeof open>) => {
    synced.push(String(asked[0]))
    return open(...asked)
  })
  syncBuiltinESMExports()
  t.after(() => {
    t.mock.restoreAll()
    syncBuiltinESMExports()
  })
  for (let round = 0; round < 10; round += 1) {
    const dropping = table.drop()
    await new Promise((resolve) => setImmediate(resolve))
    await Promise.all([dropping, table.count(null).catch(() => null)])
    synced.length = 0
    await table.create()
    await table.append(rowsOf(['a']))
    for (const version of [1n, 2n]) {
      const manifest = `${2n ** 64n - 1n - version}.manifest`
      assert.ok(
        synced.some((path) => path.endsWith(manifest)),
        `round ${round}: version ${version} is synced`,
      )
    }
  }
})
