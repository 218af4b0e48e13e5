/** Rows of real databases become datasets and points, also where connections, processes and servers die. */

import assert from 'node:assert/strict'
import { readdir } from 'node:fs/promises'
import { createServer, connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { after, before, describe, it, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import mysql from 'mysql2/promise'
import pg from 'pg'
import { startMariadb } from '../support/mariadb-server.ts'
import { startPostgres } from '../support/postgres-server.ts'
import { startService, temporaryFolder, type Reply, type Service } from '../support/service.ts'
import { ACCOUNT, type SqlServer } from '../support/sql-server.ts'
import { processTree } from '../support/process-tree.ts'

const ROWS = 20_000
const DIMENSION = 4

interface Ended {
  readonly state: string
  readonly result?: { readonly rows: number; readonly revision: number | null }
  readonly error?: { readonly code: string; readonly message: string }
}

interface World {
  readonly service: Service
  /** Lines of all logs, those of killed services too. */
  readonly log: string[]
}

async function open(t: TestContext, env: Readonly<Record<string, string>> = {}): Promise<World> {
  const root = await temporaryFolder(t)
  const service = await startService(root, { env })
  t.after(() => service.kill())
  await service.ready()
  return { service, log: [] }
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

/** A way to the server that breaks after so many bytes, as often as it is told. */
async function brittleWay(
  t: TestContext,
  server: SqlServer,
  { bytes, breaks }: { readonly bytes: number; readonly breaks: number },
): Promise<{ readonly port: number; readonly broken: () => number }> {
  let broken = 0
  const open = new Set<Socket>()
  const way = createServer((client) => {
    const upstream = connect(server.port, '127.0.0.1')
    let passed = 0
    for (const socket of [client, upstream]) {
      open.add(socket)
      socket.on('error', () => socket.destroy())
      socket.on('close', () => {
        open.delete(socket)
        client.destroy()
        upstream.destroy()
      })
    }
    client.pipe(upstream)
    upstream.on('data', (chunk: Buffer) => {
      passed += chunk.byteLength
      if (passed > bytes && broken < breaks) {
        broken += 1
        client.destroy()
        return
      }
      if (!client.write(chunk)) {
        upstream.pause()
        client.once('drain', () => upstream.resume())
      }
    })
  })
  await new Promise<void>((resolve) => {
    way.listen(0, '127.0.0.1', resolve)
  })
  t.after(() => {
    way.close()
    for (const socket of open) socket.destroy()
  })
  const address = way.address()
  assert.ok(typeof address === 'object' && address !== null)
  return { port: address.port, broken: () => broken }
}

/** A server may listen before it takes queries. */
async function whenUp(work: () => Promise<unknown>): Promise<void> {
  for (let tries = 1; ; tries += 1) {
    try {
      await work()
      return
    } catch (error) {
      if (tries === 100) throw error
      await sleep(100)
    }
  }
}

interface System {
  readonly route: string
  readonly start: () => Promise<SqlServer | null>
  /** Runs statements one after the other, and answers the rows of the last. */
  readonly run: (dsn: string, ...statements: readonly string[]) => Promise<readonly object[]>
  readonly setUp: readonly string[]
  /** A query that takes as long as it is let. */
  readonly endless: string
  /** How many endless ones the server has under way. */
  readonly running: string
  readonly quote: (name: string) => string
}

const MARIADB: System = {
  route: '/ingest/mysql',
  start: startMariadb,
  run: async (dsn, ...statements) => {
    const client = await mysql.createConnection(dsn)
    try {
      let rows: readonly object[] = []
      for (const statement of statements) rows = (await client.query(statement))[0] as object[]
      return rows
    } finally {
      await client.end()
    }
  },
  setUp: [
    'CREATE TABLE items (id BIGINT PRIMARY KEY, v TEXT, email VARCHAR(64), n INT NULL)',
    `INSERT INTO items SELECT seq, CONCAT('[', seq, ',1,2,3]'), CONCAT('u', seq, '@example.org'),
       IF(seq % 3 = 0, NULL, seq) FROM seq_1_to_${ROWS}`,
  ],
  endless: "SELECT SLEEP(600) AS id, '[1,2,3,4]' AS v",
  running:
    "SELECT COUNT(*) AS n FROM information_schema.processlist WHERE info LIKE 'SELECT SLEEP%'",
  quote: (name) => `\`${name.replaceAll('`', '``')}\``,
}

const POSTGRES: System = {
  route: '/ingest/db',
  start: startPostgres,
  run: async (dsn, ...statements) => {
    const client = new pg.Client({ connectionString: dsn })
    await client.connect()
    try {
      let rows: readonly object[] = []
      for (const statement of statements) rows = (await client.query(statement)).rows as object[]
      return rows
    } finally {
      await client.end()
    }
  },
  setUp: [
    'CREATE TABLE items (id bigint PRIMARY KEY, v real[], email text, n int)',
    `INSERT INTO items SELECT s, ARRAY[s, 1, 2, 3]::real[], 'u' || s || '@example.org',
       CASE WHEN s % 3 = 0 THEN NULL ELSE s END FROM generate_series(1, ${ROWS}) s`,
  ],
  endless: "SELECT pg_sleep(600)::text AS id, '[1,2,3,4]' AS v",
  running:
    "SELECT COUNT(*)::int AS n FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%pg_sleep(600)%' AND pid <> pg_backend_pid()",
  quote: (name) => `"${name.replaceAll('"', '""')}"`,
}

const INDEX = { id_column: 'id', vector_column: 'v' }

for (const [name, system] of Object.entries({ MariaDB: MARIADB, PostgreSQL: POSTGRES })) {
  describe(name, () => {
    let server: SqlServer
    let isThere = false
    const request = (
      service: Service,
      body: object,
      { wait = true, dsn = server.dsn() }: { wait?: boolean; dsn?: string } = {},
    ): Promise<Reply> => service.request('POST', `${system.route}?wait=${wait}`, { dsn, ...body })

    before(async () => {
      const started = await system.start()
      if (started === null) return
      server = started
      isThere = true
      await whenUp(() => system.run(server.dsn(), 'SELECT 1'))
      await system.run(server.dsn(), ...system.setUp)
    })
    after(async () => {
      if (isThere) await server.close()
    })
    const test = (title: string, work: (t: TestContext) => Promise<void>): void => {
      it(title, async (t) => {
        if (isThere) await work(t)
        else t.skip('there is no server')
      })
    }

    test('a table becomes a dataset and the points of an index; resume takes what is new', async (t) => {
      const { service } = await open(t)
      await newIndex(service, 'items')
      const body = {
        table: 'items',
        key: 'id',
        dataset: 'items',
        index: { name: 'items', ...INDEX },
      }
      const first = await request(service, body)
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
      const more = await request(service, { ...body, resume: true })
      assert.equal(more.status, 200, more.text)
      const grown = more.body as Record<string, unknown>
      assert.deepEqual([grown['rows'], grown['revision']], [1, 2])
      assert.deepEqual(grown['watermark'], { column: 'id', value: String(next) })
      await holds(service, 'items', exactly(next))
      const none = await request(service, { ...body, resume: true })
      assert.deepEqual((none.body as Record<string, unknown>)['rows'], 0)
      assert.equal((none.body as Record<string, unknown>)['revision'], 2)
      assertNoSecret(...service.log, first.text, more.text)
      const all = await service.request('GET', '/operations')
      assertNoSecret(all.text)
    })

    test('a lost connection is gone on behind the last row: none is missing and none twice', async (t) => {
      const { service } = await open(t)
      await newIndex(service, 'items')
      const way = await brittleWay(t, server, { bytes: 300_000, breaks: 2 })
      const dsn = server.dsn().replace(`:${server.port}/`, `:${way.port}/`)
      const body = { table: 'items', dataset: 'items', index: { name: 'items', ...INDEX } }
      const done = await request(service, { ...body, key: 'id', batch_rows: 500 }, { dsn })
      assert.equal(done.status, 200, done.text)
      assert.equal(way.broken(), 2)
      assert.equal((done.body as { rows: number }).rows, ROWS)
      await holds(service, 'items', exactly(ROWS))
    })

    test('without a key a lost connection fails it: no half dataset, and the repeat works', async (t) => {
      const { service } = await open(t)
      const way = await brittleWay(t, server, { bytes: 300_000, breaks: 1 })
      const dsn = server.dsn().replace(`:${server.port}/`, `:${way.port}/`)
      const body = { table: 'items', dataset: 'items' }
      const lost = await request(service, body, { dsn })
      assert.equal(lost.status, 503, lost.text)
      assert.match(lost.text, /"code":"source_unreachable"/)
      const again = await request(service, body, { dsn })
      assert.equal(again.status, 200, again.text)
      const { rows, revision } = again.body as { rows: number; revision: number }
      assert.deepEqual([rows, revision], [ROWS, 1])
      assertNoSecret(...service.log, lost.text)
    })

    test('a cancelled ingest is gone from the server, and its dataset is free again', async (t) => {
      const { service } = await open(t)
      const body = { query: system.endless, dataset: 'slow' }
      const started = await request(service, body, { wait: false })
      assert.equal(started.status, 202, started.text)
      const id = (started.body as { operation_id: string }).operation_id
      const running = async (): Promise<number> => {
        const [row] = await system.run(server.dsn(), system.running)
        return Number((row as { n: unknown } | undefined)?.n)
      }
      while ((await running()) === 0) await sleep(50)
      const busy = await request(service, body)
      assert.equal(busy.status, 409)
      assert.match(busy.text, new RegExp(`"code":"ingest_under_way".*"operation_id":"${id}"`))
      await service.must('DELETE', `/operations/${id}`)
      assert.equal((await ended(service, id)).state, 'cancelled')
      const deadline = Date.now() + 5000
      while ((await running()) > 0) {
        assert.ok(Date.now() < deadline, 'the query still runs on the server')
        await sleep(50)
      }
      const free = await request(service, { table: 'items', dataset: 'slow' })
      assert.equal(free.status, 200, free.text)
    })

    test('what cannot be read is told without the DSN', async (t) => {
      const { service } = await open(t)
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
        const reply = await request(service, { dataset: 'd', ...body }, { dsn })
        assert.match(reply.text, expected)
        assert.ok(reply.status >= 400, reply.text)
        assertNoSecret(reply.text)
        assert.doesNotMatch(reply.text, /wrong-secret|secret-7/)
      }
      const other = system.route === '/ingest/db' ? '/ingest/mysql' : '/ingest/db'
      const dsn = server.dsn()
      const mixed = await service.request('POST', other, { dsn, table: 'items', dataset: 'd' })
      assert.equal(mixed.status, 400)
      const nowhere = await request(service, { table: 'items', dataset: 'd', bucket: 'none' })
      assert.equal(nowhere.status, 404)
      assert.match(nowhere.text, /"buckets":\["primary"\]/)
      assertNoSecret(mixed.text, nowhere.text, ...service.log)
      for (const line of service.log) assert.doesNotMatch(line, /wrong-secret|secret-7/)
    })

    test('names with quotes, spaces and letters of any script are names', async (t) => {
      const { service } = await open(t)
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
      const reply = await request(service, body)
      assert.equal(reply.status, 200, reply.text)
      assert.equal((reply.body as { rows: number }).rows, 2)
    })

    test('a killed process fails its ingest and nothing else', async (t) => {
      const { service } = await open(t)
      const before = await processTree(service.pid)
      const started = await request(
        service,
        { query: system.endless, dataset: 'slow' },
        { wait: false },
      )
      const id = (started.body as { operation_id: string }).operation_id
      let fresh: number | undefined
      while (fresh === undefined) {
        await sleep(50)
        fresh = (await processTree(service.pid)).find((pid) => !before.includes(pid))
      }
      process.kill(fresh, 'SIGKILL')
      const { state, error } = await ended(service, id)
      assert.deepEqual([state, error?.code], ['failed', 'ingest_failed'])
      const again = await request(service, { table: 'items', dataset: 'slow' })
      assert.equal(again.status, 200, again.text)
      assert.equal((again.body as { revision: number }).revision, 1)
    })

    test('a service that is killed in the middle has published nothing, and the repeat works', async (t) => {
      const { service } = await open(t)
      await newIndex(service, 'items')
      const body = { table: 'items', key: 'id', dataset: 'items', batch_rows: 200 }
      const filling = { ...body, index: { name: 'items', ...INDEX } }
      await request(service, filling, { wait: false })
      await holds(service, 'items', some)
      await service.kill()
      const next = await startService(service.root)
      t.after(() => next.kill())
      await next.ready()
      await holds(next, 'items', some)
      assert.deepEqual(await readdir(join(service.root, 'scratch', 'ingest')).catch(() => []), [])
      const again = await request(next, { ...filling, resume: true })
      assert.equal(again.status, 200, again.text)
      const { rows, revision } = again.body as { rows: number; revision: number }
      assert.deepEqual([rows, revision], [ROWS, 1])
      await holds(next, 'items', exactly(ROWS))
      assertNoSecret(...service.log, ...next.log)
    })
  })
}
