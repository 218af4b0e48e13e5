/**
 * Writes: every form of an upsert, deletes, several writes at once.
 */

import assert from 'node:assert/strict'
import type { Reply } from '../service.ts'
import type { ModelIndex } from './model-index.ts'
import type { WrittenPoint } from './model-point.ts'
import { answered, onIndex, type ModelRun, type OperationKind } from './model-run.ts'

const ROWS_MAX = 12
const NDJSON = { 'content-type': 'application/x-ndjson' }

export const WRITE_KINDS: readonly OperationKind[] = [
  onIndex('upsert_rows', 60, async (run, index) => {
    const points = drawn(run, index)
    const body = { points: points.map((point) => rowJson(point)) }
    accepted(await run.send('POST', `${index.path}/points`, body), index, points)
  }),
  onIndex('upsert_base64', 25, async (run, index) => {
    const points = drawn(run, index)
    const body = { points: points.map((point) => ({ ...rowJson(point), vector: base64(point) })) }
    accepted(await run.send('POST', `${index.path}/points`, body), index, points)
  }),
  onIndex('upsert_columns', 25, async (run, index) => {
    const points = drawn(run, index)
    const body = { ...columns(points), vectors: points.map(({ vector }) => [...vector]) }
    accepted(await run.send('POST', `${index.path}/points`, body), index, points)
  }),
  onIndex('upsert_packed_columns', 15, async (run, index) => {
    const points = drawn(run, index)
    const all = Buffer.concat(points.map((point) => bytesOf(point.vector)))
    const body = { ...columns(points), vectors: all.toString('base64') }
    accepted(await run.send('POST', `${index.path}/points`, body), index, points)
  }),
  onIndex('upsert_ndjson', 25, async (run, index) => {
    const points = drawn(run, index)
    const lines = points.map((point) => JSON.stringify(rowJson(point)))
    const body = `${lines.join('\n')}${run.dice.chance(0.5) ? '\n\n' : ''}`
    accepted(await run.send('POST', `${index.path}/points`, body, NDJSON), index, points)
  }),
  onIndex('upsert_logged', 25, async (run, index) => {
    const points = drawn(run, index)
    const body = { points: points.map((point) => rowJson(point)) }
    accepted(await run.send('POST', `${index.path}/points?ack=logged`, body), index, points)
  }),
  onIndex('upsert_unchanged', 10, async (run, index) => {
    const known = run.dice.some(index.ids, 4).flatMap((id) => index.point(id) ?? [])
    if (known.length === 0) return
    const body = { points: known.map((point) => rowJson(point)) }
    accepted(await run.send('POST', `${index.path}/points`, body), index, known)
  }),
  onIndex('delete_ids', 45, async (run, index) => {
    const ids = doomed(run, index)
    const ack = run.dice.chance(0.3) ? '?ack=logged' : ''
    const reply = await run.send('POST', `${index.path}/points/delete${ack}`, { ids })
    const { lsn, accepted: count } = answered(reply, 200) as Written
    // Repeated ids count once, unknown ones count.
    assert.equal(count, new Set(ids).size)
    checkLsn(reply, lsn, index)
    index.delete(lsn, ids)
  }),
  onIndex('delete_filter', 12, async (run, index) => {
    // Not all at once, most of the time: an empty index is a poor one.
    const filter = { $and: [run.dice.filter(), { score: { $gte: run.dice.int(-1, 2) } }] }
    const ids = index.matching(filter).map(({ id }) => id)
    const reply = await run.send('POST', `${index.path}/points/delete`, { filter })
    const { lsn, deleted } = answered(reply, 200) as Written
    assert.equal(deleted, ids.length)
    if (ids.length > 0) checkLsn(reply, lsn, index)
    else assert.equal(lsn, index.lsn, 'what deletes nothing writes nothing')
    index.delete(lsn, ids)
  }),
  onIndex('writes_at_once', 8, writesAtOnce),
]

interface Written {
  readonly lsn: number
  readonly accepted?: number
  readonly deleted?: number
}

/** Writes to different points that overlap: which comes first is told by their lsn. */
async function writesAtOnce(run: ModelRun, index: ModelIndex): Promise<void> {
  const points = run.dice.points(20, index.settings.dimension)
  const size = run.dice.int(2, 6)
  const batches = Array.from({ length: Math.ceil(points.length / size) }, (_, i) =>
    points.slice(i * size, (i + 1) * size),
  )
  const isDelete = batches.map(() => run.dice.chance(0.3))
  const replies = await Promise.all(
    batches.map((batch, i) =>
      isDelete[i] === true
        ? run.send('POST', `${index.path}/points/delete`, { ids: batch.map(({ id }) => id) })
        : run.send('POST', `${index.path}/points`, { points: batch.map(rowJson) }),
    ),
  )
  const written = replies.map((reply, i) => ({ ...(answered(reply, 200) as Written), i }))
  assert.equal(new Set(written.map(({ lsn }) => lsn)).size, written.length, 'each has its lsn')
  for (const { lsn, i } of written.toSorted((a, b) => a.lsn - b.lsn)) {
    assert.ok(lsn > index.lsn, `lsn ${lsn} after ${index.lsn}`)
    const batch = batches[i] ?? []
    if (isDelete[i] === true)
      index.delete(
        lsn,
        batch.map(({ id }) => id),
      )
    else index.upsert(lsn, batch)
  }
}

export function drawn(run: ModelRun, index: ModelIndex): WrittenPoint[] {
  return run.dice.points(run.dice.int(1, ROWS_MAX), index.settings.dimension)
}

/** Ids to delete: some are there, some are not, some come twice. */
export function doomed({ dice }: ModelRun, index: ModelIndex): string[] {
  const ids = [...dice.some(index.ids, dice.int(0, 5)), ...dice.ids(2)]
  return dice.chance(0.2) ? [...ids, ...ids.slice(0, 1)] : ids
}

/** A point as a row of a request. */
export function rowJson({ id, vector, text, metadata }: WrittenPoint): object {
  return {
    ...{ id, vector: [...vector] },
    ...(text !== null && { text }),
    ...(metadata !== null && { metadata }),
  }
}

function columns(points: readonly WrittenPoint[]): object {
  return {
    ids: points.map(({ id }) => id),
    texts: points.map(({ text }) => text),
    metadata: points.map(({ metadata }) => metadata),
  }
}

function base64({ vector }: WrittenPoint): string {
  return bytesOf(vector).toString('base64')
}

function bytesOf({ buffer, byteOffset, byteLength }: Float32Array): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength)
}

function accepted(reply: Reply, index: ModelIndex, points: readonly WrittenPoint[]): void {
  const { lsn, accepted: count } = answered(reply, 200) as Written
  assert.equal(count, points.length)
  checkLsn(reply, lsn, index)
  index.upsert(lsn, points)
}

function checkLsn(reply: Reply, lsn: number, index: ModelIndex): void {
  assert.ok(Number.isSafeInteger(lsn) && lsn > index.lsn, `lsn ${lsn} after ${index.lsn}`)
  assert.equal(reply.headers.get('x-vectord-lsn'), String(lsn))
}
