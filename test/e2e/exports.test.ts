/** Exports of a real server: of exactly one lsn beside writes, slow and absent clients, broken files. */

import assert from 'node:assert/strict'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { get, type IncomingMessage } from 'node:http'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { it, type TestContext } from 'node:test'
import { duckRows } from '../support/duckdb.ts'
import { processTree } from '../support/process-tree.ts'
import { startService, temporaryFolder, type Reply, type Service } from '../support/service.ts'

const DIMENSION = 64
const EXPORT = '/vectors/indexes/docs/export'
/** So that thousands of rows are more than the buffers of sockets hold. */
const FILLER = ' and so on'.repeat(300)

interface Row {
  readonly id: string
  readonly vector?: readonly number[]
  readonly text?: string
  readonly metadata?: { readonly n: number }
}

/** One server with an index of two shards; every checkpoint gives up the one before. */
async function started(t: TestContext): Promise<Service> {
  const service = await startService(await temporaryFolder(t), {
    env: { VECTORD_CHECKPOINT_KEEP: '1' },
  })
  t.after(() => service.kill())
  await service.ready()
  const settings = { dimension: DIMENSION, metric: 'l2', shards: 2 }
  await service.must('POST', '/vectors/indexes', { name: 'docs', ...settings })
  await service.must('POST', '/vectors/indexes', { name: 'empty', ...settings })
  return service
}

function rowOf(n: number, version: number): Row {
  const vector = Array.from({ length: DIMENSION }, (_, i) => Math.fround(n + version / 7 + i / 3))
  return {
    id: `p${n}`,
    vector,
    metadata: { n: version },
    ...(n % 2 === 0 && { text: `t${n}${FILLER}` }),
  }
}

class Writer {
  readonly states = new Map<number, ReadonlyMap<string, Row>>([[0, new Map()]])
  readonly #service: Service
  #state: ReadonlyMap<string, Row> = new Map()

  constructor(service: Service) {
    this.#service = service
  }

  async write(rows: readonly Row[]): Promise<void> {
    const points = rows.map(({ vector = [], ...row }) => {
      const bytes = Buffer.from(Float32Array.from(vector).buffer)
      return { ...row, vector: bytes.toString('base64') }
    })
    const { lsn } = (await this.#service.must('POST', '/vectors/indexes/docs/points', {
      points,
    })) as { lsn: number }
    this.#state = new Map([...this.#state, ...rows.map((row) => [row.id, row] as const)])
    this.states.set(lsn, this.#state)
  }

  async delete(ids: readonly string[]): Promise<void> {
    const path = '/vectors/indexes/docs/points/delete'
    const { lsn } = (await this.#service.must('POST', path, { ids })) as { lsn: number }
    const gone = new Set(ids)
    this.#state = new Map([...this.#state].filter(([id]) => !gone.has(id)))
    this.states.set(lsn, this.#state)
  }

  stateOf(lsn: unknown): ReadonlyMap<string, Row> {
    return this.states.get(Number(lsn)) ?? assert.fail(`nothing is known of lsn ${String(lsn)}`)
  }
}

function rowsOf(text: string): Map<string, Row> {
  const lines = text.split('\n').filter((line) => line !== '')
  const rows = lines.map((line) => rounded(JSON.parse(line) as Row))
  const byId = new Map(rows.map((row) => [row.id, row]))
  assert.equal(byId.size, rows.length, 'each point once')
  return byId
}

/** Numbers of a file have as many digits as tell which float32 they are. */
function rounded({ vector, ...row }: Row): Row {
  return { ...row, ...(vector !== undefined && { vector: vector.map(Math.fround) }) }
}

function byId(rows: ReadonlyMap<string, Row>): [string, Row][] {
  return [...rows].sort(([a], [b]) => (a < b ? -1 : 1))
}

it('a file has the points of exactly the lsn that its header names, while writes go on', async (t) => {
  const service = await started(t)
  const writer = new Writer(service)
  await writer.write(Array.from({ length: 300 }, (_, n) => rowOf(n, 0)))
  const over = new AbortController()
  const writing = (async () => {
    for (let version = 1; !over.signal.aborted; version += 1) {
      await writer.write(
        Array.from({ length: 5 }, (_, i) => rowOf((7 * version + i) % 320, version)),
      )
      await writer.delete([`p${(11 * version) % 320}`])
    }
  })()
  const lsns = new Set<string>()
  for (let round = 0; round < 3; round += 1) {
    const reply = await service.request('GET', `${EXPORT}?format=ndjson`)
    const lsn = reply.headers.get('x-vectord-lsn') ?? ''
    lsns.add(lsn)
    assert.equal(reply.headers.get('content-type'), 'application/x-ndjson')
    assert.equal(
      reply.headers.get('content-disposition'),
      `attachment; filename="docs-${lsn}.ndjson"`,
    )
    await settled(writer, lsn)
    assert.deepEqual(byId(rowsOf(reply.text)), byId(writer.stateOf(lsn)))
  }
  const bytes = await fetch(new URL(`${EXPORT}?format=parquet`, service.url))
  const path = join(service.root, 'x.parquet')
  await writeFile(path, Buffer.from(await bytes.arrayBuffer()))
  const lsn = bytes.headers.get('x-vectord-lsn') ?? ''
  over.abort()
  await writing
  const rows = await duckRows(`select id, vector, text, metadata from '${path}'`)
  const read = rows.map(({ id, vector, text, metadata }) => [
    id,
    { id, vector, text: text ?? undefined, metadata: JSON.parse(String(metadata)) as object },
  ])
  const expected = byId(writer.stateOf(lsn)).map(([id, row]) => [id, { text: undefined, ...row }])
  assert.deepEqual(new Map(read as never), new Map(expected as never))
  assert.equal(lsns.size, 3, 'the index moved on between exports')
  await importAgain(service)
})

/** The writer may hear of a write after a reader has seen it. */
async function settled(writer: Writer, lsn: string): Promise<void> {
  while (!writer.states.has(Number(lsn))) await sleep(1)
}

/** What was exported and imported again is the same, and comes in the same order. */
async function importAgain(service: Service): Promise<void> {
  const { text } = await service.request('GET', `${EXPORT}?format=ndjson`)
  const { text: again } = await service.request('GET', `${EXPORT}?format=ndjson`)
  assert.equal(again, text, 'the order of rows is the same as long as the points are')
  const headers = { 'content-type': 'application/x-ndjson' }
  const reply = await service.request('POST', '/vectors/indexes/empty/points', text, headers)
  assert.equal(reply.status, 200, reply.text)
  const copy = await service.request('GET', '/vectors/indexes/empty/export?format=ndjson')
  assert.equal(copy.text, text)
}

/** The head of an answer, whose body is read when the test reads it. */
function slowly(service: Service, path: string): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    get(new URL(path, service.url), { agent: false }, resolve).on('error', reject)
  })
}

async function children(service: Service): Promise<number> {
  const tree = await processTree(service.pid)
  const lines = await Promise.all(
    tree.map((pid) => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')),
  )
  return lines.filter((line) => line.includes('export-main')).length
}

async function pinned(service: Service): Promise<number> {
  const { pins } = (await service.must('GET', '/maintenance/drops')) as { pins: unknown[] }
  return pins.length
}

async function until(isSo: () => Promise<boolean>, what: string): Promise<void> {
  const deadline = Date.now() + 20_000
  while (!(await isSo())) {
    assert.ok(Date.now() < deadline, `not yet: ${what}`)
    await sleep(20)
  }
}

it('a slow client gets all of its lsn though the checkpoint went, holds a place; one that goes gives it back; a stop waits for none', async (t) => {
  const service = await started(t)
  const writer = new Writer(service)
  // More than what the sockets and buffers between the process and the client hold.
  for (let from = 0; from < 8000; from += 2000) {
    await writer.write(Array.from({ length: 2000 }, (_, n) => rowOf(from + n, 0)))
  }
  const [slow, gone] = await Promise.all([
    slowly(service, `${EXPORT}?format=ndjson`),
    slowly(service, `${EXPORT}?format=csv`),
  ])
  assert.equal(slow.statusCode, 200)
  const refused = await service.request('GET', EXPORT)
  assert.equal(refused.status, 429)
  assert.equal((refused.body as { error: { code: string } }).error.code, 'too_many_exports')
  assert.ok(Number(refused.headers.get('retry-after')) > 0)
  const { lsn } = (await service.must('GET', '/vectors/indexes/docs')) as { lsn: number }
  for (let version = 1; version < 4; version += 1) {
    await writer.write(Array.from({ length: 2000 }, (_, n) => rowOf(n, version)))
    await service.must('POST', '/vectors/indexes/docs/checkpoint?wait=true')
  }
  assert.equal(await children(service), 2, 'both processes wait for their clients')
  gone.destroy()
  await until(async () => (await children(service)) === 1, 'the process of the client that went')
  const third = await service.request('GET', `${EXPORT}?format=csv&include_vectors=false`)
  assert.equal(third.status, 200)
  let text = ''
  slow.setEncoding('utf8')
  for await (const piece of slow) text += piece as string
  assert.equal(slow.headers['x-vectord-lsn'], String(lsn))
  assert.deepEqual(byId(rowsOf(text)), byId(writer.stateOf(lsn)))
  await until(async () => (await children(service)) === 0, 'every process ended')
  await until(async () => (await pinned(service)) === 0, 'every pin is let go')
  const scratch = join(service.root, 'scratch', 'exports')
  await until(async () => (await readdir(scratch)).length === 0, 'every scratch file is gone')
  // Stopped in the middle of one, the service ends all the same.
  const open = await slowly(service, `${EXPORT}?format=ndjson`)
  open.on('error', () => undefined)
  assert.equal(await service.stop(), 0)
})

it('a part that is damaged breaks the file off, never ends it; from the start it is an error', async (t) => {
  const service = await started(t)
  const writer = new Writer(service)
  await writer.write(Array.from({ length: 200 }, (_, n) => rowOf(n, 0)))
  await service.must('POST', '/vectors/indexes/docs/checkpoint?wait=true')
  const folder = join(service.root, 'buckets', 'primary', '_indexes', 'docs', 'parts')
  const damage = async (shard: number): Promise<void> => {
    const name = (await readdir(folder)).find((one) => one.includes(`-${shard}-1-`)) ?? ''
    const bytes = await readFile(join(folder, name))
    bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1
    await writeFile(join(folder, name), bytes)
  }
  await damage(1)
  const response = await fetch(new URL(`${EXPORT}?format=ndjson`, service.url))
  assert.equal(response.status, 200, 'the first shard is whole')
  await assert.rejects(response.text(), /terminated|aborted|reset/i)
  assert.ok(
    service.log.some((line) => line.includes('object_corrupt')),
    'the log says why',
  )
  await damage(0)
  const reply = await service.request('GET', `${EXPORT}?format=ndjson`)
  assert.deepEqual([reply.status, codeOf(reply)], [500, 'object_corrupt'])
  await until(async () => (await pinned(service)) === 0, 'every pin is let go')
})

function codeOf({ body }: Reply): string | undefined {
  return (body as { error?: { code: string } } | undefined)?.error?.code
}

it('what is asked for badly is refused, and an empty index is a whole file', async (t) => {
  const service = await started(t)
  const EMPTY = '/vectors/indexes/empty/export'
  for (const [query, status, code] of [
    ['format=xml', 400, 'bad_request'],
    ['include_vectors=perhaps', 400, 'bad_request'],
    ['limit=3', 400, 'bad_request'],
    ['filter=%7B', 400, 'invalid_filter'],
    ['filter=%7B%22a%22%3A%7B%22%24no%22%3A1%7D%7D', 400, 'invalid_filter'],
  ] as const) {
    const reply = await service.request('GET', `${EMPTY}?${query}`)
    assert.deepEqual([reply.status, codeOf(reply)], [status, code], query)
  }
  const absent = await service.request('GET', '/vectors/indexes/dosc/export')
  assert.deepEqual([absent.status, codeOf(absent)], [404, 'index_not_found'])
  const csv = await service.request('GET', `${EMPTY}?format=csv`)
  assert.equal(csv.text, 'id,vector,text,metadata,version\r\n')
  assert.equal(csv.headers.get('x-vectord-lsn'), '0')
  const filtered = await service.request('GET', `${EMPTY}?format=ndjson&filter=%7B%22a%22%3A1%7D`)
  assert.deepEqual([filtered.status, filtered.text], [200, ''])
})
