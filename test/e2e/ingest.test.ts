/** Rows of real databases become datasets and points, also where connections, processes and servers die. */

import assert from 'node:assert/strict'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { brittleWay } from '../support/brittle-way.ts'
import { ingestSystems, whenUp } from '../support/ingest-systems.ts'
import { startService, type Reply, type Service } from '../support/service.ts'
import { ACCOUNT, type SqlServer } from '../support/sql-server.ts'
import { processTree } from '../support/process-tree.ts'

const ROWS = 10_000
const DIMENSION = 4

interface Ended {
  readonly state: string
  readonly result?: { readonly rows: number; readonly revision: number | null }
  readonly error?: { readonly code: string; readonly message: string }
}

async function newIndex(service: Service, name: string): Promise<void> {
  await service.must('POST', '/vectors/indexes', { name, dimension: DIMENSION, metric: 'l2' })
}

/** Waits until the index tells so many points: cores tell theirs a few times a second. */
async function holds(
  service: Service,
  index: string,
  isEnough: (points: number) => boolean,
): Promise<void> {
  await service.eventually(`/vectors/indexes/${index}`, ({ body }) =>
    isEnough((body as { points: number | null }).points ?? 0),
  )
}

const exactly =
  (wanted: number) =>
  (points: number): boolean =>
    points === wanted
const some = (points: number): boolean => points > 0

async function ended(service: Service, id: string): Promise<Ended> {
  const done = await service.eventually(`/operations/${id}`, ({ body }) => {
    return !['queued', 'running'].includes((body as Ended).state)
  })
  return done.body as Ended
}

/** No secret of an account is anywhere: in no line of a log and in no answer. */
function assertNoSecret(...texts: readonly string[]): void {
  for (const text of texts) {
    for (const secret of [ACCOUNT.password, encodeURIComponent(ACCOUNT.password)]) {
      assert.ok(!text.includes(secret), `a secret is in: ${text.slice(0, 300)}`)
    }
  }
}

const INDEX = { id_column: 'id', vector_column: 'v' }

/** The process of an ingest; undefined while there is none. */
async function ingestProcess(root: number): Promise<number | undefined> {
  for (const pid of await processTree(root)) {
    const line = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
    if (line.includes('ingest-main')) return pid
  }
  return undefined
}

interface Sent {
  readonly wait?: boolean
  readonly dsn?: string
  readonly at?: Service
}

for (const [name, system] of Object.entries(ingestSystems(ROWS))) {
  describe(name, () => {
    let server: SqlServer
    let service: Service
    let folder: string
    let isThere = false
    const request = (
      body: object,
      { wait = true, dsn = server.dsn(), at = service }: Sent = {},
    ): Promise<Reply> => at.request('POST', `${system.route}?wait=${wait}`, { dsn, ...body })

    before(async () => {
      const started = await system.start()
      if (started === null) return
      server = started
      isThere = true
      await whenUp(() => system.run(server.dsn(), 'SELECT 1'))
      await system.run(server.dsn(), ...system.setUp)
      folder = await mkdtemp(join(tmpdir(), 'vectord-'))
      service = await startService(folder)
      await service.ready()
    })
    after(async () => {
      if (!isThere) return
      await service.kill()
      await server.close()
      await rm(folder, { recursive: true, force: true, maxRetries: 5 })
    })
    const test = (title: string, work: (t: TestContext) => Promise<void>): void => {
      it(title, async (t) => {
        if (isThere) await work(t)
        else t.skip('there is no server')
      })
    }

    test('a table becomes a dataset and the points of an index; resume takes what is new', async (t) => {
      await newIndex(service, 'items')
      const body = {
        table: 'items',
        key: 'id',
        dataset: 'items',
        index: { name: 'items', ...INDEX },
      }
      const first = await request(body)
      assert.equal(first.status, 200, first.text)
      const result = first.body as Record<string, unknown>
      assert.deepEqual(
        [result['rows'], result['parts'], result['revision'], result['dataset']],
        [ROWS, 1, 1, 'items'],
      )
      assert.deepEqual(result['watermark'], { column: 'id', value: String(ROWS) })
      assert.deepEqual(result['index'], {
        ...{ name: 'items', points: ROWS },
        refused: { count: 0, rows: [] },
      })
      const columns = result['columns'] as { name: string; type: string; pii: string[] }[]
      assert.deepEqual(
        columns.map(({ name: column }) => column),
        ['id', 'v', 'email', 'n'],
      )
      assert.equal(columns[0]?.type, 'int64')
      assert.ok((columns[2]?.pii.length ?? 0) > 0, 'an e-mail address was found')
      await holds(service, 'items', exactly(ROWS))
      const found = await service.must('POST', '/vectors/indexes/items/search', {
        ...{ vector: [77, 1, 2, 3], k: 1 },
      })
      const [hit] = (found as { results: { id: string; metadata: object }[] }).results
      assert.deepEqual([hit?.id, hit?.metadata], ['77', { email: 'u77@example.org', n: 77 }])

      const values = system.route === '/ingest/db' ? 'ARRAY[1,2,3,4]::real[]' : "'[1,2,3,4]'"
      const next = ROWS + 1
      t.after(() => system.run(server.dsn(), `DELETE FROM items WHERE id = ${next}`))
      await system.run(server.dsn(), `INSERT INTO items VALUES (${next}, ${values}, 'new', 1)`)
      const more = await request({ ...body, resume: true })
      assert.equal(more.status, 200, more.text)
      const grown = more.body as Record<string, unknown>
      assert.deepEqual([grown['rows'], grown['revision']], [1, 2])
      assert.deepEqual(grown['watermark'], { column: 'id', value: String(next) })
      await holds(service, 'items', exactly(next))
      const none = await request({ ...body, resume: true })
      assert.deepEqual((none.body as Record<string, unknown>)['rows'], 0)
      assert.equal((none.body as Record<string, unknown>)['revision'], 2)
      assertNoSecret(...service.log, first.text, more.text)
      const all = await service.request('GET', '/operations')
      assertNoSecret(all.text)
    })

    test('a lost connection is gone on behind the last row: none is missing and none twice', async (t) => {
      await newIndex(service, 'lost')
      const way = await brittleWay(t, server.port, { bytes: 150_000, breaks: 2 })
      const dsn = server.dsn().replace(`:${server.port}/`, `:${way.port}/`)
      const body = { table: 'items', dataset: 'lost', index: { name: 'lost', ...INDEX } }
      const done = await request({ ...body, key: 'id', batch_rows: 500 }, { dsn })
      assert.equal(done.status, 200, done.text)
      assert.equal(way.broken(), 2)
      assert.equal((done.body as { rows: number }).rows, ROWS)
      await holds(service, 'lost', exactly(ROWS))
    })

    test('without a key a lost connection fails it: no half dataset, and the repeat works', async (t) => {
      const way = await brittleWay(t, server.port, { bytes: 150_000, breaks: 1 })
      const dsn = server.dsn().replace(`:${server.port}/`, `:${way.port}/`)
      const body = { table: 'items', dataset: 'unkeyed' }
      const lost = await request(body, { dsn })
      assert.equal(lost.status, 503, lost.text)
      assert.match(lost.text, /"code":"source_unreachable"/)
      const again = await request(body, { dsn })
      assert.equal(again.status, 200, again.text)
      const { rows, revision } = again.body as { rows: number; revision: number }
      assert.deepEqual([rows, revision], [ROWS, 1])
      assertNoSecret(...service.log, lost.text)
    })

    test('a cancelled ingest is gone from the server, and its dataset is free again', async () => {
      const body = { query: system.endless, dataset: 'slow' }
      const started = await request(body, { wait: false })
      assert.equal(started.status, 202, started.text)
      const id = (started.body as { operation_id: string }).operation_id
      const running = async (wanted: boolean): Promise<void> => {
        const deadline = Date.now() + 30_000
        for (;;) {
          const [row] = await system.run(server.dsn(), system.running)
          if (Number((row as { n: unknown } | undefined)?.n) > 0 === wanted) return
          assert.ok(Date.now() < deadline, `the query runs on the server: ${!wanted}`)
          await sleep(50)
        }
      }
      await running(true)
      // Without a wait: one that is taken would run on and on.
      const busy = await request(body, { wait: false })
      assert.equal(busy.status, 409, busy.text)
      assert.match(busy.text, new RegExp(`"code":"ingest_under_way".*"operation_id":"${id}"`))
      await service.must('DELETE', `/operations/${id}`)
      assert.equal((await ended(service, id)).state, 'cancelled')
      await running(false)
      const free = await request({ table: 'items', dataset: 'slow' })
      assert.equal(free.status, 200, free.text)
    })

    test('what cannot be read is told without the DSN', async () => {
      const wrong = server.dsn().replace(encodeURIComponent(ACCOUNT.password), 'wrong-secret')
      const dead = server.dsn().replace(`:${server.port}/`, ':1/')
      const cases: readonly (readonly [object, string, RegExp])[] = [
        [{ table: 'items' }, wrong, /"code":"source_auth_failed"/],
        [{ table: 'items' }, dead, /"code":"source_unreachable"/],
        [{ table: 'no such table' }, server.dsn(), /"code":"source_not_found"/],
        [{ table: 'items; DROP TABLE items' }, server.dsn(), /"code":"source_not_found"/],
        [{ table: 'items', key: 'id" OR 1=1 --' }, server.dsn(), /"status":4\d\d/],
        [{ query: 'SELEC 1' }, server.dsn(), /"code":"bad_request"/],
        [{ table: 'items', index: { name: 'none', ...INDEX } }, server.dsn(), /index_not_found/],
        [{ table: 'items' }, 'nonsense://u:secret-7@h/d', /"code":"bad_request"/],
        [{}, server.dsn(), /"table/],
        [{ table: 'items', query: 'SELECT 1' }, server.dsn(), /"table/],
      ]
      for (const [body, dsn, expected] of cases) {
        const reply = await request({ dataset: 'd', ...body }, { dsn })
        assert.match(reply.text, expected)
        assert.ok(reply.status >= 400, reply.text)
        assertNoSecret(reply.text)
        assert.doesNotMatch(reply.text, /wrong-secret|secret-7/)
      }
      const other = system.route === '/ingest/db' ? '/ingest/mysql' : '/ingest/db'
      const dsn = server.dsn()
      const mixed = await service.request('POST', other, { dsn, table: 'items', dataset: 'd' })
      assert.equal(mixed.status, 400)
      const nowhere = await request({ table: 'items', dataset: 'd', bucket: 'none' })
      assert.equal(nowhere.status, 404)
      assert.match(nowhere.text, /"buckets":\["primary"\]/)
      assertNoSecret(mixed.text, nowhere.text, ...service.log)
      for (const line of service.log) assert.doesNotMatch(line, /wrong-secret|secret-7/)
    })

    test('names with quotes, spaces and letters of any script are names', async (t) => {
      const table = 'we`ird "täble" 表'
      const column = 'c`o"l; --'
      const [at, as] = [system.quote(table), system.quote(column)]
      t.after(() => system.run(server.dsn(), `DROP TABLE ${at}`))
      await system.run(
        server.dsn(),
        `CREATE TABLE ${at} (${as} INT PRIMARY KEY)`,
        `INSERT INTO ${at} VALUES (1), (2)`,
      )
      const body = { table, columns: [column], key: column, dataset: 'weird' }
      const reply = await request(body)
      assert.equal(reply.status, 200, reply.text)
      assert.equal((reply.body as { rows: number }).rows, 2)
    })

    test('a killed process fails its ingest and nothing else', async () => {
      const started = await request({ query: system.endless, dataset: 'orphan' }, { wait: false })
      const id = (started.body as { operation_id: string }).operation_id
      let fresh: number | undefined
      while (fresh === undefined) {
        await sleep(50)
        fresh = await ingestProcess(service.pid)
      }
      process.kill(fresh, 'SIGKILL')
      const { state, error } = await ended(service, id)
      assert.deepEqual([state, error?.code], ['failed', 'ingest_failed'])
      const again = await request({ table: 'items', dataset: 'orphan' })
      assert.equal(again.status, 200, again.text)
      assert.equal((again.body as { revision: number }).revision, 1)
    })

    test('a service that is killed in the middle has published nothing, and the repeat works', async () => {
      await newIndex(service, 'torn')
      const body = { table: 'items', key: 'id', dataset: 'torn', batch_rows: 200 }
      const filling = { ...body, index: { name: 'torn', ...INDEX } }
      await request(filling, { wait: false })
      await holds(service, 'torn', some)
      await service.kill()
      const before = service.log
      const next = await startService(service.root)
      service = next
      await next.ready()
      await holds(next, 'torn', some)
      assert.deepEqual(await readdir(join(service.root, 'scratch', 'ingest')).catch(() => []), [])
      const again = await request({ ...filling, resume: true }, { at: next })
      assert.equal(again.status, 200, again.text)
      const { rows, revision } = again.body as { rows: number; revision: number }
      assert.deepEqual([rows, revision], [ROWS, 1])
      await holds(next, 'torn', exactly(ROWS))
      assertNoSecret(...before, ...next.log)
    })
  })
}
