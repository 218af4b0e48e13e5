/**
 * The contract of `SqlSource`, run against a real server of each system.
 *
 * How: a world makes tables with all rights (`sql-world.ts`); each case reads them by a source of its
 * own. What is particular to the types of a system stands in the test file of that system.
 */

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import type { VectordError } from '../../../src/lib/errors.ts'
import type { SqlQuery } from '../../../src/ingest/sql/sql-source.ts'
import { collect } from '../../support/collect.ts'
import { sqlFaultCases } from './sql-faults.suite.ts'
import {
  newTable,
  NO_SIGNAL,
  openSource,
  queryOf,
  readRows,
  rowsOf,
  type SqlWorld,
  throughProxy,
} from './sql-world.ts'

export function sqlSourceSuite(name: string, world: SqlWorld): void {
  describe(`SqlSource: ${name}`, () => {
    tableCases(world)
    keyCases(world)
    refusedKeyCases(world)
    refusedQueryCases(world)
    sqlFaultCases(world)
  })
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
    // Until it stands still, which it would do only at the end if nothing held it back.
    let sent = -1
    while (sent !== proxy.bytes) {
      sent = proxy.bytes
      await sleep(200)
    }
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
