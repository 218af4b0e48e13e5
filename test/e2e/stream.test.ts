/**
 * A stream against a real server: every 202 is there after a kill beside a rebuild, and a stop
 * answers what it has taken, and the settings outlive both.
 */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { startService, temporaryFolder, type Reply, type Service } from '../support/service.ts'
import { seededRandom } from '../support/vectors.ts'

const INDEX = '/vectors/indexes/streamed'
const DIMENSION = 16
const BASE = 4000
const WRITERS = 4
const BATCH = 25
/** Points that are acknowledged before the kill. */
const ACKNOWLEDGED_MIN = 1000
const SETTINGS = { buffer_size: 2000, batch_size: 64, flush_interval_ms: 10 }

it('streamed points are searchable at once while a graph is built, and outlive a kill -9', async (t) => {
  const root = await temporaryFolder(t)
  let service = await startService(root)
  t.after(() => service.kill())
  await service.ready()
  await service.must('POST', '/vectors/indexes', {
    ...{ name: 'streamed', dimension: DIMENSION, metric: 'l2', stream: SETTINGS },
  })
  const random = seededRandom(5)
  const acknowledged = new Map<string, number[]>()
  while (acknowledged.size < BASE) await stream(service, acknowledged, random, 500)
  const rebuilt = service.must('POST', `${INDEX}/rebuild`)
  const count = acknowledged.size
  await Promise.all(
    Array.from({ length: WRITERS }, async () => {
      while (acknowledged.size < count + ACKNOWLEDGED_MIN) {
        const [id = ''] = await stream(service, acknowledged, random, BATCH)
        assert.equal(await nearest(service, acknowledged.get(id)), id)
      }
    }),
  )
  await rebuilt
  // What has no answer yet may be there or not.
  const open = stream(service, new Map(), random, BATCH).catch(() => [])
  await service.kill()
  await open

  service = await startService(root)
  await service.ready()
  const stored = await allIds(service)
  const lost = [...acknowledged.keys()].filter((id) => !stored.has(id))
  assert.deepEqual(lost, [])
  const { settings } = (await service.must('GET', `${INDEX}/stream`)) as { settings: object }
  assert.deepEqual(settings, SETTINGS)
  const [id = ''] = await stream(service, acknowledged, random, BATCH)
  assert.equal(await nearest(service, acknowledged.get(id)), id)
})

it('a stop answers what a stream has taken, and keeps it', async (t) => {
  const root = await temporaryFolder(t)
  const first = await startService(root)
  t.after(() => first.kill())
  await first.ready()
  // Nothing but the stop ends the wait for a full batch.
  const slow = { batch_size: 1000, flush_interval_ms: 60_000 }
  const index = { name: 'streamed', dimension: DIMENSION, metric: 'l2', stream: slow }
  await first.must('POST', '/vectors/indexes', index)
  const sent = new Map<string, number[]>()
  const waiting = send(first, sent, seededRandom(1), BATCH)
  await first.eventually(`${INDEX}/stream`, ({ text }) => text.includes('"buffered_points":25'))
  assert.equal(await first.stop(), 0)
  assert.equal((await waiting).status, 202)

  const second = await startService(root)
  t.after(() => second.kill())
  await second.ready()
  assert.deepEqual([...(await allIds(second))].sort(), [...sent.keys()].sort())
})

/** Streams new points until they are taken. @returns their ids. */
async function stream(
  service: Service,
  acknowledged: Map<string, number[]>,
  random: () => number,
  count: number,
): Promise<string[]> {
  for (;;) {
    const sent = new Map<string, number[]>()
    const reply = await send(service, sent, random, count)
    if (reply.status === 202) {
      for (const [id, vector] of sent) acknowledged.set(id, vector)
      return [...sent.keys()]
    }
    assert.equal(reply.status, 429, reply.text)
    assert.ok(Number(reply.headers.get('retry-after')) >= 1)
  }
}

let next = 0

function send(
  service: Service,
  sent: Map<string, number[]>,
  random: () => number,
  count: number,
): Promise<Reply> {
  for (let i = 0; i < count; i += 1) {
    next += 1
    sent.set(
      `p${next}`,
      Array.from({ length: DIMENSION }, () => Math.fround(random() * 2 - 1)),
    )
  }
  const lines = [...sent].map(([id, vector]) => JSON.stringify({ id, vector }))
  const type = { 'content-type': 'application/x-ndjson' }
  return service.request('POST', `${INDEX}/stream`, lines.join('\n'), type)
}

async function nearest(service: Service, vector: number[] | undefined): Promise<string> {
  const body = { vector, k: 1, exact: true, include: [] }
  const found = (await service.must('POST', `${INDEX}/search`, body)) as {
    results: { id: string }[]
  }
  return found.results[0]?.id ?? ''
}

async function allIds(service: Service): Promise<Set<string>> {
  const ids = new Set<string>()
  let cursor = ''
  do {
    const page = (await service.must('GET', `${INDEX}/points?limit=1000&include=${cursor}`)) as {
      points: { id: string }[]
      next_cursor: string | null
    }
    for (const { id } of page.points) ids.add(id)
    cursor = page.next_cursor === null ? '' : `&cursor=${page.next_cursor}`
  } while (cursor !== '')
  return ids
}
