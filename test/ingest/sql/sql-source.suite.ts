/**
 * The contract of `SqlSource`, run against a real server of each system.
 *
 * How: a world makes tables with all rights (`sql-world.ts`); each case reads them by a source of its
 * own. What is particular to the types of a system stands in the test file of that system.
 */

import assert from 'node:assert/strict'
import { createServer } from 'node:net'
import { once } from 'node:events'
import { describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { inspect } from 'node:util'
import fc from 'fast-check'
import type { VectordError } from '../../../src/lib/errors.ts'
import type { SqlQuery } from '../../../src/ingest/sql/sql-source.ts'
import { ACCOUNT } from '../../support/sql-server.ts'
import { collect } from '../../support/collect.ts'
import {
  NO_SIGNAL,
  openSource,
  queryOf,
  readRows,
  rowsOf,
  type SqlWorld,
  throughProxy,
  until,
} from './sql-world.ts'

export function sqlSourceSuite(name: string, world: SqlWorld): void {
  describe(`SqlSource: ${name}`, () => {
    tableCases(world)
    keyCases(world)
    refusedKeyCases(world)
    lossCases(world)
    errorCases(world)
    refusedQueryCases(world)
    endCases(world)
    tlsCases(world)
  })
}

/** The name of a table that no other case has. */
let tables = 0
function newTable(): string {
  tables += 1
  return `t${tables}`
}

function tableCases(world: SqlWorld): void {
  const { server, run, quote } = world

  it('a table is read whole, in batches of the size asked for, with its NULLs', async (t) => {
    const table = newTable()
    await run(`CREATE TABLE ${table} (id int NOT NULL PRIMARY KEY, name varchar(20), score float)`)
    await run(`INSERT INTO ${table} VALUES (1,'one',1.5),(2,NULL,NULL),(3,'',-0.25)`)
    const source = openSource(t, server.dsn())
    const sizes: number[] = []
    const rows = await readRows(source, { select: { table }, batchRows: 2 }, (batch) => {
      sizes.push(batch.rows)
      assert.deepEqual(batch.columns, [
        { name: 'id', type: 'int32', nullable: false },
        { name: 'name', type: 'utf8', nullable: true },
        { name: 'score', type: 'float64', nullable: true },
      ])
    })
    const byId = rows.sort((one, other) => Number(one[0]) - Number(other[0]))
    assert.deepEqual(byId, [
      [1, 'one', 1.5],
      [2, null, null],
      [3, '', -0.25],
    ])
    assert.deepEqual(sizes, [2, 1])
    assert.equal(source.redactedDsn, server.dsn().replace(/:[^:@]+@/, ':***@'))
  })

  it('only the columns asked for come, in that order', async (t) => {
    const table = newTable()
    await run(`CREATE TABLE ${table} (a int, b int, c int)`)
    await run(`INSERT INTO ${table} VALUES (1,2,3)`)
    const source = openSource(t, server.dsn())
    assert.deepEqual(await readRows(source, { select: { table, columns: ['c', 'a'] } }), [[3, 1]])
  })

  it('a query is read as it stands, in its order, with a comment and a semicolon at its end', async (t) => {
    const table = newTable()
    await run(`CREATE TABLE ${table} (id int NOT NULL PRIMARY KEY)`)
    await run(`INSERT INTO ${table} VALUES (1),(2),(3)`)
    const source = openSource(t, server.dsn())
    const ordered = `SELECT id AS twice FROM ${table} ORDER BY id DESC -- all`
    assert.deepEqual(await readRows(source, { select: { query: ordered } }), [[3], [2], [1]])
    const closed = `SELECT count(*) AS n FROM ${table} ; `
    assert.deepEqual(await readRows(source, { select: { query: closed } }), [[3n]])
    const named = `WITH x AS (SELECT 1 AS one) SELECT one FROM x`
    assert.deepEqual(await readRows(source, { select: { query: named } }), [[1]])
  })

  it('an empty table has columns and no batch', async (t) => {
    const table = newTable()
    await run(`CREATE TABLE ${table} (id int NOT NULL PRIMARY KEY, body text)`)
    const source = openSource(t, server.dsn())
    for (const key of [null, 'id']) {
      const query = queryOf({ select: { table }, key })
      assert.deepEqual(await collect(source.read(query, NO_SIGNAL)), [])
      const columns = await source.columns(query, NO_SIGNAL)
      assert.deepEqual(
        columns.map(({ name }) => name),
        ['id', 'body'],
      )
    }
  })

  it('names may hold quotes, blanks, keywords, SQL and other scripts', async (t) => {
    const source = openSource(t, server.dsn())
    for (const name of world.hostileNames) {
      await run(`CREATE TABLE ${quote(name)} (${quote(name)} int NOT NULL PRIMARY KEY, x int)`)
      await run(`INSERT INTO ${quote(name)} VALUES (1,2),(3,4)`)
      const select = { table: name, columns: ['x', name] }
      const rows = await readRows(source, { select, key: name, after: 1 })
      assert.deepEqual(rows, [[4, 3]], name)
      await run(`DROP TABLE ${quote(name)}`)
    }
  })

  it('a table of another schema is read where the schema is named', async (t) => {
    const schema = world.hostileNames[0] ?? ''
    await run(`CREATE SCHEMA ${quote(schema)}`)
    await run(`CREATE TABLE ${quote(schema)}.elsewhere (id int NOT NULL PRIMARY KEY)`)
    await run(`INSERT INTO ${quote(schema)}.elsewhere VALUES (7)`)
    const source = openSource(t, server.dsn())
    const select = { table: 'elsewhere', schema }
    assert.deepEqual(await readRows(source, { select, key: 'id' }), [[7]])
    await assert.rejects(readRows(source, { select: { table: 'elsewhere' } }), {
      code: 'source_not_found',
    })
  })

  it('600 columns are read', async (t) => {
    const table = newTable()
    const names = Array.from({ length: 600 }, (_, index) => `c${index}`)
    await run(`CREATE TABLE ${table} (${names.map((name) => `${name} int`).join(',')})`)
    await run(`INSERT INTO ${table} VALUES (${names.map((_, index) => index).join(',')})`)
    const [row] = await readRows(openSource(t, server.dsn()), { select: { table } })
    assert.deepEqual(
      row,
      names.map((_, index) => index),
    )
  })

  it('a reader that is slow holds the server back: what is not taken is not sent', async (t) => {
    const table = newTable()
    await world.fill(table, { rows: 40_000, bytes: 1000 })
    const { proxy, dsn } = await throughProxy(t, world)
    const source = openSource(t, dsn)
    const batches = source.read(queryOf({ select: { table } }), NO_SIGNAL)
    const iterator = batches[Symbol.asyncIterator]()
    await iterator.next()
    await sleep(300)
    const sent = proxy.bytes
    assert.ok(sent < 20_000_000, `${sent} bytes of 40 MB were sent for one batch of 1 MB`)
    let rows = 1000
    for (let next = await iterator.next(); next.done !== true; next = await iterator.next()) {
      rows += next.value.rows
    }
    assert.equal(rows, 40_000)
    assert.ok(proxy.bytes > 40_000_000)
  })

  it('wide rows make smaller batches', async (t) => {
    const table = newTable()
    await world.fill(table, { rows: 40, bytes: 1_000_000 })
    const sizes: number[] = []
    const source = openSource(t, server.dsn())
    await readRows(source, { select: { table } }, ({ rows }) => sizes.push(rows))
    assert.ok(Math.max(...sizes) <= 17, String(sizes))
    assert.equal(
      sizes.reduce((sum, size) => sum + size, 0),
      40,
    )
  })
}

function keyCases(world: SqlWorld): void {
  const { server, run } = world

  it('pages by a key give every row once, in its order, whatever the sizes', async (t) => {
    const table = newTable()
    await run(`CREATE TABLE ${table} (id bigint NOT NULL PRIMARY KEY, n int)`)
    const ids = Array.from({ length: 60 }, (_, index) => index * 7 - 200)
    await run(`INSERT INTO ${table} VALUES ${ids.map((id, n) => `(${id},${n})`).join(',')}`)
    const selects: SqlQuery['select'][] = [
      { table },
      { query: `SELECT id, n FROM ${table} ORDER BY n DESC` },
    ]
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...selects),
        fc.integer({ min: 1, max: 70 }),
        fc.integer({ min: 1, max: 20 }),
        fc.option(fc.integer({ min: -210, max: 230 })),
        async (select, pageRows, batchRows, after) => {
          const source = openSource(t, server.dsn(), { pageRows })
          const from = after === null ? null : BigInt(after)
          const rows = await readRows(source, { select, key: 'id', after: from, batchRows })
          const expected = ids.flatMap((id, n) =>
            after === null || id > after ? [[BigInt(id), n]] : [],
          )
          assert.deepEqual(rows, expected)
        },
      ),
      { numRuns: 25 },
    )
  })

  it('text, times and bytes may be keys', async (t) => {
    const literals: Record<string, (n: number) => string> = {
      'varchar(40)': (n) => `'k''\\ü ${String(n).padStart(3, '0')}'`,
      'timestamp(6)': (n) => `'2024-02-29 12:00:00.${String(n).padStart(6, '0')}'`,
      date: (n) => `'20${String(n + 10)}-01-31'`,
      [world.quote('x') === '"x"' ? 'bytea' : 'varbinary(10)']: (n) =>
        world.quote('x') === '"x"' ? `'\\x00ff${n + 10}'` : `X'00ff${n + 10}'`,
      uuid: (n) => `'00000000-0000-4000-8000-0000000000${n + 10}'`,
    }
    for (const [type, literal] of Object.entries(literals)) {
      const table = newTable()
      await run(`CREATE TABLE ${table} (k ${type} NOT NULL PRIMARY KEY, n int)`)
      const values = Array.from({ length: 20 }, (_, n) => `(${literal(n)},${n})`)
      await run(`INSERT INTO ${table} VALUES ${values.join(',')}`)
      const source = openSource(t, server.dsn(), { pageRows: 3 })
      const rows = await readRows(source, { select: { table }, key: 'k', batchRows: 2 })
      const numbers = rows.map(([, n]) => n)
      assert.deepEqual(
        numbers,
        Array.from({ length: 20 }, (_, n) => n),
        type,
      )
      const rest = await readRows(source, {
        select: { table },
        key: 'k',
        after: rows[9]?.[0] ?? null,
      })
      assert.deepEqual(
        rest.map(([, n]) => n),
        numbers.slice(10),
        type,
      )
    }
  })

  it('a read is one snapshot: rows that come in the middle are not in it', async (t) => {
    const table = newTable()
    await run(`CREATE TABLE ${table} (id int NOT NULL PRIMARY KEY)`)
    await run(`INSERT INTO ${table} VALUES (1),(3),(5)`)
    const source = openSource(t, server.dsn(), { pageRows: 1 })
    const rows: unknown[] = []
    for await (const batch of source.read(
      queryOf({ select: { table }, key: 'id', batchRows: 1 }),
      NO_SIGNAL,
    )) {
      rows.push(...rowsOf(batch).flat())
      if (rows.length === 1) await run(`INSERT INTO ${table} VALUES (2),(4),(6)`)
      if (rows.length === 2) await run(`DELETE FROM ${table} WHERE id = 3`)
    }
    assert.deepEqual(rows, [1, 3, 5])
  })
}

function refusedKeyCases(world: SqlWorld): void {
  const { server, run } = world

  it('a key of a table must be unique, without NULL, and of a type with its own order', async (t) => {
    const table = newTable()
    const columns = 'id int PRIMARY KEY, u int UNIQUE, n int NOT NULL, f float NOT NULL UNIQUE'
    await run(`CREATE TABLE ${table} (${columns}, p int NOT NULL, q int NOT NULL, UNIQUE (p, q))`)
    const source = openSource(t, server.dsn())
    const reasons = { u: /NULL/, n: /unique/, f: /type/, p: /unique/, none: /none of the columns/ }
    for (const [key, message] of Object.entries(reasons)) {
      const query = queryOf({ select: { table }, key })
      await assert.rejects(source.columns(query, NO_SIGNAL), { code: 'bad_request', message })
    }
    const wrongAfter = queryOf({ select: { table }, key: 'id', after: '1' })
    await assert.rejects(source.columns(wrongAfter, NO_SIGNAL), { code: 'bad_request' })
    const noKey = queryOf({ select: { table }, after: 1 })
    await assert.rejects(source.columns(noKey, NO_SIGNAL), { code: 'bad_request' })
  })

  it('a key of a query that is not unique is found, also where pages meet', async (t) => {
    const table = newTable()
    await run(`CREATE TABLE ${table} (id int NOT NULL)`)
    await run(`INSERT INTO ${table} VALUES (1),(2),(3),(3),(4),(5)`)
    for (const pageRows of [1, 2, 3, 4, 100]) {
      for (const batchRows of [1, 3, 100]) {
        const source = openSource(t, server.dsn(), { pageRows })
        const select = { query: `SELECT id FROM ${table}` }
        await assert.rejects(readRows(source, { select, key: 'id', batchRows }), {
          code: 'bad_request',
          message: /not unique: several rows have 3/,
        })
      }
    }
  })

  it('a key of a query that is NULL somewhere is found', async (t) => {
    const table = newTable()
    await run(`CREATE TABLE ${table} (id int)`)
    await run(`INSERT INTO ${table} VALUES (1),(2),(NULL),(4),(5)`)
    const source = openSource(t, server.dsn(), { pageRows: 2 })
    const select = { query: `SELECT id FROM ${table}` }
    await assert.rejects(readRows(source, { select, key: 'id' }), {
      code: 'bad_request',
      message: /NULL/,
    })
  })
}

function lossCases(world: SqlWorld): void {
  const { server, run } = world
  const rowsOfTable = 5000
  const table = newTable()

  it('a connection that is lost anywhere costs no row and gives none twice, with a key', async (t) => {
    await world.fill(table, { rows: rowsOfTable, bytes: 200 })
    const { proxy, dsn } = await throughProxy(t, world)
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(400_000), { minLength: 1, maxLength: 3 }), async (cuts) => {
        const source = openSource(t, dsn, { pageRows: 700 })
        const before = proxy.connections
        const ids: unknown[] = []
        const query = queryOf({ select: { table }, key: 'id', batchRows: 100 })
        let lost = 0
        for await (const batch of source.read(query, NO_SIGNAL)) {
          ids.push(...(batch.cells[0] ?? []))
          const cut = cuts[lost]
          if (cut !== undefined && proxy.breakAtByte === Number.POSITIVE_INFINITY) {
            proxy.breakAtByte = proxy.bytes + cut
            lost += 1
          }
        }
        proxy.breakAtByte = Number.POSITIVE_INFINITY
        assertCountsTo(ids, rowsOfTable)
        assert.ok(proxy.connections > before + 1, 'a connection was lost')
      }),
      { numRuns: 12 },
    )
  })

  it('without a key a lost connection is an error that may be tried again', async (t) => {
    const { proxy, dsn } = await throughProxy(t, world)
    const source = openSource(t, dsn)
    let rows = 0
    const reading = readRows(source, { select: { table }, batchRows: 100 }, (batch) => {
      if (rows === 0) proxy.break()
      rows += batch.rows
    })
    await assert.rejects(reading, { code: 'source_unreachable', retryable: true })
    assert.ok(rows >= 100 && rows < rowsOfTable)
  })

  it('a server that stays away is an error after so many tries', async (t) => {
    const { proxy, dsn } = await throughProxy(t, world)
    const reconnect = { tries: 3, waitMs: 1, waitMaxMs: 10 }
    const source = openSource(t, dsn, { reconnect, pageRows: 500 })
    const reading = readRows(source, { select: { table }, key: 'id', batchRows: 100 }, () => {
      proxy.isDown = true
      proxy.break()
    })
    await assert.rejects(reading, { code: 'source_unreachable' })
  })

  it('a server that restarts in the middle is read on, with a key', async (t) => {
    const source = openSource(t, server.dsn(), {
      pageRows: 500,
      reconnect: { tries: 20, waitMs: 50, waitMaxMs: 500 },
    })
    const ids: unknown[] = []
    const query = queryOf({ select: { table }, key: 'id', batchRows: 100 })
    for await (const batch of source.read(query, NO_SIGNAL)) {
      if (ids.length === 1000) {
        await server.stop()
        await server.start()
      }
      ids.push(...(batch.cells[0] ?? []))
    }
    assertCountsTo(ids, rowsOfTable)
    assert.equal((await run('SELECT 1')).length, 1)
  })
}

/** 1, 2, 3 and so on. */
function assertCountsTo(ids: readonly unknown[], count: number): void {
  const wrong = ids.findIndex((id, index) => id !== BigInt(index + 1))
  assert.equal(wrong, -1, `place ${wrong} has ${String(ids[wrong])}`)
  assert.equal(ids.length, count)
}

function errorCases(world: SqlWorld): void {
  const { server } = world
  const select = { query: 'SELECT 1 AS one' }

  it('a wrong password is source_auth_failed, and no error shows one', async (t) => {
    const wrong = 'wrong-secret:/@ü'
    const dsn = server
      .dsn()
      .replace(encodeURIComponent(ACCOUNT.password), encodeURIComponent(wrong))
    const source = openSource(t, dsn)
    const error: unknown = await readRows(source, { select }).catch((thrown: unknown) => thrown)
    assert.equal((error as VectordError).code, 'source_auth_failed')
    for (const secret of [wrong, encodeURIComponent(wrong), 'wrong-secret']) {
      assert.ok(!inspect(error, { depth: 10 }).includes(secret))
      assert.ok(!JSON.stringify(error).includes(secret))
      assert.ok(!source.redactedDsn.includes(secret))
    }
  })

  it('an error that repeats what was asked does not show the password', async (t) => {
    const query = `SELECT ${ACCOUNT.password.replace(/[^a-z]/g, '_')} + '${ACCOUNT.password}' FROM none`
    const error: unknown = await readRows(openSource(t, server.dsn()), { select: { query } }).catch(
      (thrown: unknown) => thrown,
    )
    assert.ok(error instanceof Error)
    assert.ok(!inspect(error, { depth: 10 }).includes(ACCOUNT.password))
  })

  it('what is not there is source_not_found, and is named', async (t) => {
    await assert.rejects(readRows(openSource(t, server.dsn('', 'no_database')), { select }), {
      code: 'source_not_found',
      message: /no_database/,
    })
    const source = openSource(t, server.dsn())
    for (const missing of [
      { table: 'no_table' },
      { table: 'no_table', schema: 'no_schema' },
      { table: 'known', columns: ['no_column'] },
      { query: 'SELECT x FROM no_table' },
      { query: 'SELECT no_column FROM known' },
    ]) {
      await world.run('CREATE TABLE IF NOT EXISTS known (id int)')
      await assert.rejects(readRows(source, { select: missing }), {
        code: 'source_not_found',
        message: /no_(table|schema|column)/,
      })
    }
  })

  it('a port where nobody listens, or nobody answers, is source_unreachable soon', async (t) => {
    const silent = createServer()
    silent.listen(0, '127.0.0.1')
    await once(silent, 'listening')
    t.after(() => silent.close())
    const address = silent.address()
    const silentPort = address !== null && typeof address === 'object' ? address.port : 0
    for (const port of [1, silentPort]) {
      const dsn = server.dsn('?connect_timeout=1').replace(`:${server.port}/`, `:${port}/`)
      const start = Date.now()
      // A key does not help: the server was never reached.
      await assert.rejects(readRows(openSource(t, dsn), { select, key: 'one' }), {
        code: 'source_unreachable',
        retryable: true,
      })
      assert.ok(Date.now() - start < 4000)
    }
  })
}

function refusedQueryCases(world: SqlWorld): void {
  const { server, run } = world

  it('what is not one SELECT is refused, and nothing is changed', async (t) => {
    await run('CREATE TABLE victim (id int NOT NULL PRIMARY KEY, name varchar(20))')
    await run("INSERT INTO victim VALUES (1,'safe')")
    const source = openSource(t, server.dsn())
    const common = [
      'DELETE FROM victim',
      "INSERT INTO victim VALUES (2,'new') RETURNING id",
      "UPDATE victim SET name = 'changed'",
      'DROP TABLE victim',
      'SELECT 1; DELETE FROM victim',
      'SELECT 1; COMMIT; DELETE FROM victim',
      'COMMIT',
      'SELECT 1 AS a) q; DELETE FROM victim; SELECT * FROM (SELECT 1 AS b',
      'SELECT 1 AS a) AS q UNION SELECT * FROM (SELECT 2 AS b',
      'SELECT 1 AS a /* not closed',
      'SELECT FROM WHERE',
      'SELECT 1 AS a, 2 AS a',
      'not sql at all',
    ]
    for (const query of [...common, ...world.changes]) {
      for (const key of [null, 'id']) {
        await assert.rejects(
          readRows(source, { select: { query }, key }),
          (error: VectordError) =>
            ['bad_request', 'source_failed', 'source_not_found'].includes(error.code),
          query,
        )
      }
    }
    assert.deepEqual(await run('SELECT id, name FROM victim'), [[1, 'safe']])
  })

  it('names and queries that are empty or hold a NUL are refused', async (t) => {
    const source = openSource(t, server.dsn())
    for (const select of [
      { table: '' },
      { table: 'a\0b' },
      { table: 'a', schema: '' },
      { table: 'a', columns: [] },
      { table: 'a', columns: ['\0'] },
      { query: ' \n' },
      { query: "SELECT '\0'" },
    ]) {
      await assert.rejects(readRows(source, { select }), { code: 'bad_request' })
    }
  })

  it('a query that fails while it runs is source_failed', async (t) => {
    const query = 'SELECT (SELECT x FROM (SELECT 1 AS x UNION SELECT 2) q) AS y'
    await assert.rejects(readRows(openSource(t, server.dsn()), { select: { query } }), {
      code: 'source_failed',
      message: /more than (1|one) row/i,
    })
  })
}

function endCases(world: SqlWorld): void {
  const { server } = world

  it('an abort ends the query on the server, at once', async (t) => {
    const source = openSource(t, server.dsn())
    const stop = new AbortController()
    const query = world.slowQuery(60, 'aborted_by_signal')
    const reading = collect(source.read(queryOf({ select: { query } }), stop.signal))
    await until('the query runs', async () => (await world.running('aborted_by_signal')) > 0)
    const reason = new Error('no longer wanted')
    stop.abort(reason)
    await assert.rejects(reading, (error) => error === reason)
    assert.equal(await world.running('aborted_by_signal'), 0)
    await until('the connections are gone', async () => (await world.connections()) === 0)
  })

  it('close ends the query too, and so does a reader that stops', async (t) => {
    const source = openSource(t, server.dsn())
    const query = world.slowQuery(60, 'ended_by_close')
    const reading = collect(source.read(queryOf({ select: { query } }), NO_SIGNAL))
    await until('the query runs', async () => (await world.running('ended_by_close')) > 0)
    await source.close()
    await assert.rejects(reading, { code: 'operation_cancelled' })
    assert.equal(await world.running('ended_by_close'), 0)
    await assert.rejects(readRows(source, { select: { query: 'SELECT 1 AS one' } }), {
      code: 'operation_cancelled',
    })

    const table = newTable()
    await world.fill(table, { rows: 20_000, bytes: 1000 })
    const another = openSource(t, server.dsn())
    for await (const batch of another.read(queryOf({ select: { table } }), NO_SIGNAL)) {
      assert.equal(batch.rows, 1000)
      break
    }
    await until('the connections are gone', async () => (await world.connections()) === 0)
  })

  it('an abort before the start, and while connecting, is kept', async (t) => {
    const aborted = AbortSignal.abort(new Error('early'))
    const source = openSource(t, server.dsn())
    await assert.rejects(collect(source.read(queryOf({}), aborted)), { message: 'early' })
    const silent = createServer()
    silent.listen(0, '127.0.0.1')
    await once(silent, 'listening')
    t.after(() => silent.close())
    const address = silent.address()
    const port = address !== null && typeof address === 'object' ? address.port : 0
    const waiting = openSource(t, server.dsn().replace(`:${server.port}/`, `:${port}/`))
    const stop = new AbortController()
    const reading = collect(waiting.read(queryOf({}), stop.signal))
    await once(silent, 'connection')
    stop.abort(new Error('late'))
    await assert.rejects(reading, { message: 'late' })
  })
}

function tlsCases(world: SqlWorld): void {
  const { server } = world
  const select = { query: 'SELECT 1 AS one' }
  const skip = server.hasTls ? false : 'the machine has no openssl'

  it('TLS is as strict as the DSN says', { skip }, async (t) => {
    const [ca, stranger] = [`${server.folder}/ca.pem`, `${server.folder}/stranger.pem`]
    const good = [
      '?sslmode=disable',
      '?sslmode=prefer',
      '?sslmode=require',
      `?sslmode=verify-ca&sslrootcert=${encodeURIComponent(ca)}`,
      `?ssl-mode=VERIFY_CA&ssl-ca=${encodeURIComponent(ca)}`,
    ]
    for (const parameters of good) {
      const rows = await readRows(openSource(t, server.dsn(parameters)), { select })
      assert.deepEqual(rows, [[1]], parameters)
    }
    const byName = (parameters: string): string =>
      server.dsn(parameters).replace('@127.0.0.1:', '@localhost:')
    const full = `?sslmode=verify-full&sslrootcert=${encodeURIComponent(ca)}`
    assert.deepEqual(await readRows(openSource(t, byName(full)), { select }), [[1]])
    const bad = [
      '?sslmode=verify-ca',
      `?sslmode=verify-ca&sslrootcert=${encodeURIComponent(stranger)}`,
      `?sslmode=verify-full&sslrootcert=${encodeURIComponent(stranger)}`,
    ]
    for (const parameters of bad) {
      await assert.rejects(readRows(openSource(t, byName(parameters)), { select }), {
        code: 'source_tls_failed',
        retryable: false,
      })
    }
    // The certificate is for `localhost`.
    await assert.rejects(
      readRows(openSource(t, server.dsn(full)), { select }),
      (error: VectordError) => ['source_tls_failed', 'bad_request'].includes(error.code),
    )
    const noFile = '?sslmode=verify-ca&sslrootcert=%2Fetc%2Fhostname'
    await assert.rejects(readRows(openSource(t, server.dsn(noFile)), { select }), {
      code: 'bad_request',
    })
  })
}
