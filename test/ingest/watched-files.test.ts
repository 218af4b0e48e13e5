/** Which files of a watched prefix are taken, when, and what is remembered of them. */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import fc from 'fast-check'
import type { ObjectInfo } from '../../src/buckets/object-store.ts'
import {
  ATTEMPTS_MAX,
  doneNote,
  failedNote,
  notesFromJson,
  notesToJson,
  planScan,
  retryAll,
  type FileNote,
} from '../../src/ingest/watched-files.ts'

const file = (key: string, bytes = 10, modifiedMs = 1000): ObjectInfo => ({
  key,
  bytes,
  modifiedMs,
})
const byKey = <T extends { key: string }>(list: readonly T[]): Map<string, T> =>
  new Map(list.map((one) => [one.key, one]))
const keys = (list: readonly ObjectInfo[]): string[] => list.map(({ key }) => key)
const NONE = new Map<string, never>()
const FAULT = { code: 'malformed_body', message: 'row group 3 is damaged' }

it('a file is taken when two looks have found it alike', () => {
  const first = planScan([file('a'), file('b')], NONE, NONE, 0)
  assert.deepEqual([keys(first.ready), keys(first.growing)], [[], ['a', 'b']])
  const seen = byKey([file('a'), file('b')])
  const second = planScan([file('a'), file('b', 20)], seen, NONE, 0)
  assert.deepEqual([keys(second.ready), keys(second.growing)], [['a'], ['b']])
})

it('a file that is done is left alone until it is written anew', () => {
  const notes = byKey([doneNote(file('a'), 5, 100)])
  assert.deepEqual(planScan([file('a')], byKey([file('a')]), notes, 200).ready, [])
  const anew = file('a', 10, 2000)
  assert.deepEqual(keys(planScan([anew], byKey([file('a')]), notes, 200).growing), ['a'])
  assert.deepEqual(keys(planScan([anew], byKey([anew]), notes, 200).ready), ['a'])
})

it('a file that failed is tried again later and later, five times, and then on request alone', () => {
  let note: FileNote | undefined
  const waits: (number | null)[] = []
  for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt += 1) {
    note = failedNote(file('a'), FAULT, { last: note, nowMs: 1000 })
    assert.equal(note.attempts, attempt)
    waits.push(note.retryMs)
  }
  assert.deepEqual(waits, [31_000, 121_000, 601_000, 3_601_000, null])
  assert.ok(note !== undefined)
  const notes = byKey([note])
  const look = (of: ReadonlyMap<string, FileNote>): string[] =>
    keys(planScan([file('a')], byKey([file('a')]), of, 10 ** 12).ready)
  assert.deepEqual(look(notes), [])
  const retried = retryAll(notes)
  assert.equal(retried.files, 1)
  assert.deepEqual(look(retried.notes), ['a'])
})

it('a failed file that was repaired starts from its first attempt', () => {
  const last = failedNote(file('a'), FAULT, { last: undefined, nowMs: 0 })
  const repaired = failedNote(file('a', 11), FAULT, { last, nowMs: 0 })
  assert.equal(repaired.attempts, 1)
  assert.equal(failedNote(file('a'), FAULT, { last, nowMs: 0 }).attempts, 2)
})

it('notes of files that are gone are dropped, so there are no more notes than files', () => {
  const notes = byKey([doneNote(file('a'), 1, 0), doneNote(file('b'), 1, 0)])
  assert.deepEqual([...planScan([file('b')], NONE, notes, 0).notes.keys()], ['b'])
})

it('notes are the same after they were stored', () => {
  const aFile = fc.record({
    key: fc.string({ minLength: 1, maxLength: 20 }),
    bytes: fc.nat(),
    modifiedMs: fc.double({ min: -2e12, max: 2e12, noNaN: true }).map((ms) => ms + 0),
  })
  const aNote = fc.oneof(
    fc.tuple(aFile, fc.nat()).map(([one, rows]) => doneNote(one, rows, 7)),
    aFile.map((one) => failedNote(one, FAULT, { last: undefined, nowMs: 9 })),
  )
  fc.assert(
    fc.property(fc.array(aNote), (list) => {
      const notes = byKey(list)
      const stored: unknown = JSON.parse(JSON.stringify(notesToJson(notes)))
      assert.deepEqual(notesFromJson(stored as ReturnType<typeof notesToJson>), notes)
    }),
  )
  assert.throws(() => notesFromJson({ files: [{ key: 'a' }] }), { code: 'object_corrupt' })
})
