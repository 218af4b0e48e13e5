/**
 * Streams: settings, points that are taken and then found at once, refusals, dead letters, kills.
 *
 * How a stream cuts its points into writes is its own affair. What was taken is looked up: each point
 * is there as it was sent, the points of a request in its order, and the last has the lsn answered.
 */

import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Reply } from '../service.ts'
import type { ModelIndex } from './model-index.ts'
import type { JsonObject, WrittenPoint } from './model-point.ts'
import { answered, onIndex, refused, type ModelRun, type OperationKind } from './model-run.ts'
import { badRows, checkUnchanged } from './refused-kinds.ts'
import { checkWorld } from './restart-kinds.ts'
import { drawn, rowJson } from './write-kinds.ts'

/** Of the indexes that stream: their settings. */
const streams = new WeakMap<ModelIndex, JsonObject>()

const NDJSON = { 'content-type': 'application/x-ndjson' }
const KILL_AFTER_MS_MAX = 12

export const STREAM_KINDS: readonly OperationKind[] = [
  onIndex('stream_settings', 6, changeSettings),
  onIndex('stream_end', 1, async (run, index) => {
    const { stream } = (await patch(run, index, null)) as { readonly stream: unknown }
    assert.equal(stream, null)
    streams.delete(index)
  }),
  onIndex('stream', 30, async (run, index) => {
    const points = drawn(run, index)
    const reply = await take(run, index, points)
    if (!streams.has(index)) refused(reply, 409, 'stream_not_enabled')
    else await taken(run, index, [{ points, reply }])
  }),
  onIndex('streams_at_once', 6, async (run, index) => {
    if (!streams.has(index)) return
    const all = run.dice.points(24, index.settings.dimension)
    const size = run.dice.int(1, 6)
    const parts = Array.from({ length: Math.ceil(all.length / size) }, (_, i) =>
      all.slice(i * size, (i + 1) * size),
    )
    const requests = parts.map(async (points) => ({
      points,
      reply: await take(run, index, points),
    }))
    await taken(run, index, await Promise.all(requests))
  }),
  onIndex('stream_bad', 5, async (run, index) => {
    if (!streams.has(index)) return
    const bad = run.dice.pick(badRows(run, index))
    const rows = drawn(run, index).map((point) => JSON.stringify(rowJson(point)))
    const lines = [...rows, bad.text ?? JSON.stringify(bad.row)].join('\n')
    const reply = await run.send('POST', `${index.path}/stream`, lines, NDJSON)
    refused(reply, 400, bad.code)
    await checkUnchanged(run, index)
  }),
  onIndex('stream_status', 4, async (run, index) => {
    const reply = await run.send('GET', `${index.path}/stream`)
    if (!streams.has(index)) {
      refused(reply, 409, 'stream_not_enabled')
      return
    }
    const { settings, state, buffered_points } = answered(reply, 200) as StreamStatus
    assert.deepEqual([settings, state, buffered_points], [streams.get(index), 'running', 0])
  }),
  onIndex('stream_dead_letters', 1, async (run, index) => {
    if (!streams.has(index)) return
    const path = `${index.path}/stream/dead-letters`
    const { dead_letters } = (await run.must('GET', path)) as { readonly dead_letters: unknown }
    assert.deepEqual(dead_letters, [])
    const requeued = await run.must('POST', `${path}/requeue`, {})
    assert.deepEqual(requeued, { requeued: 0, failed: [], lsn: null })
    refused(await run.send('DELETE', `${path}/nobody`), 404, 'dead_letter_not_found')
  }),
  onIndex('kill_while_streaming', 0.3, killWhileStreaming),
]

interface StreamStatus {
  readonly settings: unknown
  readonly state: string
  readonly buffered_points: number
}

interface Taken {
  readonly points: readonly WrittenPoint[]
  /** Null where none came. */
  readonly reply: Reply | null
}

interface Stored {
  readonly id: string
  readonly version: number
  readonly metadata: unknown
  readonly text: unknown
  readonly vector: readonly number[]
}

async function changeSettings(run: ModelRun, index: ModelIndex): Promise<void> {
  const { dice } = run
  const settings = {
    ...{ buffer_size: dice.int(1000, 2000), batch_size: dice.int(1, 20) },
    flush_interval_ms: dice.int(1, 10),
  }
  const changed = (await patch(run, index, settings)) as { readonly stream: unknown }
  assert.deepEqual(changed.stream, settings)
  streams.set(index, settings)
}

async function patch(run: ModelRun, index: ModelIndex, stream: unknown): Promise<unknown> {
  const changed = await run.must('PATCH', index.path, { stream })
  index.revision += 1
  assert.equal((changed as { readonly revision: number }).revision, index.revision)
  return changed
}

function take(run: ModelRun, index: ModelIndex, points: readonly WrittenPoint[]): Promise<Reply> {
  const path = `${index.path}/stream`
  const rows = points.map((point) => rowJson(point))
  if (run.dice.chance(0.5)) return run.send('POST', path, { points: rows })
  return run.send('POST', path, rows.map((row) => JSON.stringify(row)).join('\n'), NDJSON)
}

/** Every request was answered 202: what it sent is there. */
async function taken(
  run: ModelRun,
  index: ModelIndex,
  requests: readonly { readonly points: readonly WrittenPoint[]; readonly reply: Reply }[],
): Promise<void> {
  for (const { points, reply } of requests) {
    const { accepted } = answered(reply, 202) as { readonly accepted: number }
    assert.equal(accepted, points.length)
  }
  await adopt(run, index, requests)
}

/** Takes into the model what the index has of the requests, and checks that it may have it. */
async function adopt(run: ModelRun, index: ModelIndex, requests: readonly Taken[]): Promise<void> {
  const path = `${index.path}/points?limit=1000&include=metadata,vector,text`
  const { points: all } = (await run.must('GET', path)) as { readonly points: readonly Stored[] }
  const fresh = all.filter(({ version }) => version > index.lsn)
  const versions = new Map(fresh.map(({ id, version }) => [id, version]))
  for (const { points, reply } of requests) checkOrder(points, reply, versions)
  const sent = new Map(requests.flatMap(({ points }) => points.map((point) => [point.id, point])))
  const writes = Map.groupBy(fresh, ({ version }) => version)
  for (const [lsn, rows] of writes) {
    const written = rows.map((row) => {
      const point = sent.get(row.id)
      assert.ok(point !== undefined, `${row.id} was written and not sent`)
      assert.deepEqual(
        [row.metadata, row.text, row.vector],
        [point.metadata, point.text, [...point.vector]],
      )
      return point
    })
    index.upsert(lsn, written)
  }
}

/** Of a request a prefix is there, in its order; all of it where that was answered. */
function checkOrder(
  points: readonly WrittenPoint[],
  reply: Reply | null,
  versions: ReadonlyMap<string, number>,
): void {
  const written = points.map(({ id }) => versions.get(id) ?? Infinity)
  assert.deepEqual(
    written,
    written.toSorted((a, b) => a - b),
    'a prefix is there, in its order',
  )
  if (reply === null) return
  const { lsn } = reply.body as { readonly lsn: number }
  assert.equal(written.at(-1), lsn, 'the last point has the lsn that was answered')
}

async function killWhileStreaming(run: ModelRun, index: ModelIndex): Promise<void> {
  if (!streams.has(index)) return
  const points = drawn(run, index)
  const sent = take(run, index, points).catch(() => null)
  await sleep(run.dice.int(0, KILL_AFTER_MS_MAX))
  const [reply] = await Promise.all([sent, run.server.kill()])
  await run.server.startAgain()
  if (reply !== null) answered(reply, 202)
  await adopt(run, index, [{ points, reply }])
  await checkWorld(run)
}
