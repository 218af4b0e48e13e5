/** A real service with little memory: full, killed, started again, and with more of it. */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { startService, temporaryFolder, type Reply, type Service } from '../support/service.ts'
import { seededRandom } from '../support/vectors.ts'

const MIB = 2 ** 20
const BOUND = 300 * MIB
const DIMENSION = 1024
const BATCH = 200
const BATCHES_MAX = 600
const URL = '/vectors/indexes/wide'
const HNSW = { m: 4, ef_construction: 8 }

it('memory that is full refuses points alone; a kill loses nothing; more memory takes more', async (t) => {
  const root = await temporaryFolder(t)
  const random = seededRandom(1)
  const live = new Set<string>()
  let service = await start(root, BOUND)
  t.after(() => service.kill())
  for (const [name, dimension] of [
    ['wide', DIMENSION],
    ['small', 4],
  ]) {
    const settings = { name, dimension, metric: 'l2', hnsw: HNSW }
    assert.equal((await service.request('POST', '/vectors/indexes', settings)).status, 201)
  }
  const points = [{ id: 'one', vector: [1, 2, 3, 4] }]
  const small = await service.request('POST', '/vectors/indexes/small/points', { points })
  assert.equal(small.status, 200, small.text)

  const refusal = await fill(service, random, live)
  assert.equal(refusal.status, 507, refusal.text)
  const { error } = refusal.body as {
    error: { code: string; retryable: boolean; details: Record<string, number> }
  }
  const { used = 0, needed = 0, bound } = error.details
  assert.deepEqual([error.code, error.retryable, bound], ['memory_full', true, BOUND])
  assert.ok(used + needed > BOUND && needed > 0, refusal.text)
  assert.ok(live.size >= BATCH, `${live.size} points`)
  const metrics = (await service.request('GET', '/metrics')).text
  assert.match(metrics, /^vectord_memory_used_bytes \d+$/m)
  assert.match(metrics, new RegExp(`^vectord_memory_bound_bytes ${BOUND}$`, 'm'))

  const gone = [...live].slice(0, 10)
  const deleted = await service.request('POST', `${URL}/points/delete`, { ids: gone })
  assert.equal(deleted.status, 200, deleted.text)
  for (const id of gone) live.delete(id)
  await checkAll(service, live)

  await service.kill()
  service = await start(root, BOUND)
  await service.ready()
  await checkAll(service, live)
  assert.equal(await service.stop(), 0)

  // Room for the small index, not for the checkpoint of the wide one.
  service = await start(root, 4 * MIB)
  const unavailable = (reply: Reply): boolean => reply.text.includes('"unavailable"')
  await service.eventually(URL, unavailable)
  const search = await service.request('POST', `${URL}/search`, { id: [...live][0], k: 1 })
  assert.equal(search.status, 503, search.text)
  assert.match(search.text, /"index_unavailable".*"reason":"memory_full"/)
  await service.eventually('/vectors/indexes/small/points/one', ({ status }) => status === 200)
  await service.kill()

  service = await start(root, 0)
  await service.ready()
  await checkAll(service, live)
  const written = await write(service, random, BATCHES_MAX)
  assert.equal(written.status, 200, written.text)
})

function start(root: string, memoryBytesMax: number): Promise<Service> {
  return startService(root, {
    env: {
      VECTORD_DATAPLANE_CORES: '1',
      VECTORD_DATAPLANE_MEMORY_BYTES_MAX: String(memoryBytesMax),
      // The rows are to meet the bound of memory, and no other.
      VECTORD_DATAPLANE_DELTA_POINTS_MAX: '1000000',
    },
  })
}

/** Writes until it is refused. @returns the refusal. */
async function fill(service: Service, random: () => number, live: Set<string>): Promise<Reply> {
  for (let batch = 0; ; batch += 1) {
    const reply = await write(service, random, batch)
    if (reply.status !== 200 || batch === BATCHES_MAX) return reply
    for (let i = 0; i < BATCH; i += 1) live.add(`p${batch * BATCH + i}`)
  }
}

function write(service: Service, random: () => number, batch: number): Promise<Reply> {
  const vector = Float32Array.from({ length: DIMENSION }, () => random() - 0.5)
  const points = Array.from({ length: BATCH }, (_, i) => {
    vector[i] = random() - 0.5
    const base64 = Buffer.from(vector.buffer).toString('base64')
    return { id: `p${batch * BATCH + i}`, vector: base64 }
  })
  return service.request('POST', `${URL}/points`, { points })
}

/** Every point of `live` is there, and no other; searches answer. */
async function checkAll(service: Service, live: ReadonlySet<string>): Promise<void> {
  const found = new Set<string>()
  for (let cursor: string | null = ''; cursor !== null;) {
    const after: string = cursor === '' ? '' : `&cursor=${encodeURIComponent(cursor)}`
    const reply = await service.request('GET', `${URL}/points?limit=1000${after}`)
    assert.equal(reply.status, 200, reply.text)
    const page = reply.body as { points: { id: string }[]; next_cursor: string | null }
    for (const { id } of page.points) found.add(id)
    cursor = page.next_cursor
  }
  assert.deepEqual([...found].sort(), [...live].sort())
  const search = await service.request('POST', `${URL}/search`, { id: [...live][0], k: 5 })
  assert.equal(search.status, 200, search.text)
}
