/**
 * Compaction in a real service: memory and bucket shrink after a mass delete, by request and by itself,
 * and a kill in the middle of it loses nothing.
 */

import assert from 'node:assert/strict'
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { it } from 'node:test'
import { startService, temporaryFolder, type Service } from '../support/service.ts'
import { seededRandom } from '../support/vectors.ts'

const MIB = 2 ** 20
const URL = '/vectors/indexes/turned'
const HNSW = { m: 8, ef_construction: 60 }
const ENV = { VECTORD_DATAPLANE_CORES: '1', VECTORD_SEARCH_FLAT_THRESHOLD: '50' }

interface Info {
  readonly compaction: { readonly ratio: number; readonly last_at: string | null }
  readonly stats: {
    readonly rows: number
    readonly dead_rows: number
    readonly tombstones: number
    readonly delta_points: number
    readonly memory_bytes: number
  }
}

it('after a mass delete a compaction shrinks memory and bucket, and every live point is found', async (t) => {
  const service = await startService(await temporaryFolder(t), { env: ENV })
  t.after(() => service.kill())
  await create(service, 1024)
  const writer = new Writer(service, 1024)
  await writer.write(0, 4000)
  await settled(service)
  await service.must('POST', `${URL}/checkpoint?wait=true`)
  const full = await info(service)
  const [fullRss, fullDisk] = [await coreRss(service), diskBytes(service.root)]
  await writer.remove(200, 4000)
  await service.eventually(URL, ({ body }) => (body as Info).stats.dead_rows === 3800)
  const before = await info(service)
  assert.ok(before.compaction.ratio >= 0.94 && before.compaction.last_at === null)
  const done = (await service.must('POST', `${URL}/compact?wait=true`)) as Record<string, unknown>
  assert.deepEqual([done['source'], done['rows_dropped']], ['built', 3800])
  const { stats, compaction } = await info(service)
  assert.deepEqual([stats.rows, stats.dead_rows, stats.tombstones], [200, 0, 0])
  assert.ok(compaction.ratio === 0 && compaction.last_at !== null)
  assert.ok(stats.memory_bytes < 0.25 * full.stats.memory_bytes, `${stats.memory_bytes} bytes`)
  // 3,800 × 1,024 × 4 bytes are 15 MiB in the table and as much in the graph.
  await service.eventually('/cores', ({ text }) => rssOf(text) < fullRss - 20 * MIB)
  // What the checkpoint made old goes with the drop worker.
  await service.eventually('/maintenance/drops', () => diskBytes(service.root) < 0.25 * fullDisk)
  await writer.check()
  await checkClean(service)
  // Two generations, and the copy of one in the cache. A published graph most of which is dead may
  // have been grown anew before the compaction comes; then that one is not stale.
  await service.must('POST', `${URL}/rebuild?wait=true`)
  await writer.write(0, 200)
  const again = (await service.must('POST', `${URL}/compact?wait=true`)) as Record<string, unknown>
  assert.equal(again['rows_dropped'], 200)
  assert.ok([2, 3].includes(Number(again['graphs_dropped'])))
  await writer.check()
})

it('an index is compacted by itself once enough of it is dead, also one without a graph', async (t) => {
  const env = { ...ENV, VECTORD_SEARCH_FLAT_THRESHOLD: '2000', VECTORD_COMPACTION_INTERVAL_S: '1' }
  const service = await startService(await temporaryFolder(t), { env })
  t.after(() => service.kill())
  await create(service, 8)
  const writer = new Writer(service, 8)
  await writer.write(0, 500)
  await writer.write(0, 300)
  const done = /"kind":"compaction","index":"turned","state":"succeeded"/
  const { text } = await service.eventually('/operations', (reply) => done.test(reply.text))
  assert.match(text, /"source":"current"/)
  await service.eventually(URL, ({ body }) => (body as Info).stats.dead_rows === 0)
  const metrics = (await service.request('GET', '/metrics')).text
  assert.match(metrics, /^vectord_compactions_total\{outcome="succeeded"\} [1-9]/m)
  await writer.check()
})

it('a kill in the middle of a compaction loses nothing', async (t) => {
  const root = await temporaryFolder(t)
  let service = await startService(root, { env: ENV })
  t.after(() => service.kill())
  await create(service, 16)
  const writer = new Writer(service, 16)
  for (let round = 0; round < 3; round += 1) {
    await writer.write(0, 1500)
    await writer.remove(1000, 1500)
    const started = (await service.must('POST', `${URL}/compact`)) as { operation_id: string }
    const path = `/operations/${started.operation_id}`
    // In another stage each time.
    const stages = [
      /"build|"succeeded"/,
      /"dropping dead rows"|"succeeded"/,
      /checkpoint"|"succeeded"/,
    ]
    await service.eventually(path, ({ text }) => stages[round]?.test(text) ?? true)
    await service.kill()
    service = await startService(root, { env: ENV })
    await service.ready()
    writer.service = service
    await writer.check()
  }
  await service.must('POST', `${URL}/compact?wait=true`)
  await writer.check()
  await checkClean(service)
})

/** Writes points and knows what must be there. */
class Writer {
  service: Service
  readonly #dimension: number
  readonly #live = new Map<string, string>()
  readonly #random = seededRandom(4)

  constructor(service: Service, dimension: number) {
    this.service = service
    this.#dimension = dimension
  }

  /** Points `p{from}` to `p{to}` (exclusive), with new vectors. */
  async write(from: number, to: number): Promise<void> {
    for (let first = from; first < to; first += 500) {
      const points = Array.from({ length: Math.min(500, to - first) }, (_, i) => {
        const vector = Float32Array.from({ length: this.#dimension }, () => this.#random() - 0.5)
        const base64 = Buffer.from(vector.buffer).toString('base64')
        this.#live.set(`p${first + i}`, base64)
        return { id: `p${first + i}`, vector: base64, metadata: { part: i % 5 } }
      })
      await this.service.must('POST', `${URL}/points`, { points })
    }
  }

  async remove(from: number, to: number): Promise<void> {
    const ids = Array.from({ length: to - from }, (_, i) => `p${from + i}`)
    await this.service.must('POST', `${URL}/points/delete`, { ids })
    for (const id of ids) this.#live.delete(id)
  }

  /** Every live point is there, no other is, and the graph finds them. */
  async check(): Promise<void> {
    assert.deepEqual(await this.#ids(), [...this.#live.keys()].sort())
    const some = [...this.#live].filter((_, i) => i % 50 === 0)
    for (const [id, vector] of some) {
      const body = { vector, k: 10, ef: 400, include: [] }
      const { results } = (await this.service.must('POST', `${URL}/search`, body)) as {
        results: { id: string }[]
      }
      assert.equal(results.length, Math.min(10, this.#live.size))
      assert.equal(results[0]?.id, id)
    }
  }

  async #ids(): Promise<string[]> {
    const ids: string[] = []
    for (let cursor: string | null = ''; cursor !== null;) {
      const after: string = cursor === '' ? '' : `&cursor=${encodeURIComponent(cursor)}`
      const page = (await this.service.must('GET', `${URL}/points?limit=1000${after}`)) as {
        points: { id: string }[]
        next_cursor: string | null
      }
      ids.push(...page.points.map(({ id }) => id))
      cursor = page.next_cursor
    }
    return ids.sort()
  }
}

async function create(service: Service, dimension: number): Promise<void> {
  await service.ready()
  const settings = { name: 'turned', dimension, metric: 'l2', hnsw: HNSW }
  await service.must('POST', '/vectors/indexes', settings)
  await service.ready()
}

async function checkClean(service: Service): Promise<void> {
  const report = (await service.must('POST', `${URL}/verify?wait=true`)) as { faults: unknown[] }
  assert.deepEqual(report.faults, [])
}

async function info(service: Service): Promise<Info> {
  return (await service.must('GET', URL)) as Info
}

async function settled(service: Service): Promise<void> {
  await service.eventually(URL, ({ body }) => (body as Info).stats.delta_points === 0)
}

async function coreRss(service: Service): Promise<number> {
  return rssOf((await service.request('GET', '/cores')).text)
}

function rssOf(cores: string): number {
  return Number(/"rss_bytes":(\d+)/.exec(cores)?.[1] ?? NaN)
}

function diskBytes(root: string): number {
  let bytes = 0
  for (const name of readdirSync(root, { recursive: true, encoding: 'utf8' })) {
    const stat = statSync(join(root, name), { throwIfNoEntry: false })
    if (stat?.isFile() === true) bytes += stat.size
  }
  return bytes
}
