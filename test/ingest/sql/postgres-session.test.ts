/**
 * PostgreSQL keeps the contract of SQL sources, and its types become cells.
 *
 * How: a real server (`test/support/postgres-server.ts`), one for this file.
 */

import assert from 'node:assert/strict'
import { after, describe, it } from 'node:test'
import pg from 'pg'
import { startPostgres } from '../../support/postgres-server.ts'
import type { SqlServer } from '../../support/sql-server.ts'
import { sqlSourceSuite } from './sql-source.suite.ts'
import {
  NO_SIGNAL,
  openSource,
  queryOf,
  readRows,
  type SqlWorld,
  throughProxy,
  until,
} from './sql-world.ts'

/** What a client says that asks for TLS. */
const TLS_REQUEST = 80_877_103

const server = await startPostgres()
after(() => server?.close())

if (server !== null) {
  const world = worldOf(server)
  sqlSourceSuite('PostgreSQL', world)
  describe('PostgreSQL as a source', () => {
    typeCases(world)
    particularCases(world)
  })
}

function worldOf(server: SqlServer): SqlWorld {
  const quote = (name: string): string => `"${name.replaceAll('"', '""')}"`
  const run = async (sql: string): Promise<unknown[][]> => {
    const client = new pg.Client({ connectionString: server.dsn(), application_name: 'world' })
    await client.connect()
    try {
      return (await client.query<unknown[]>({ text: sql, rowMode: 'array' })).rows
    } finally {
      await client.end()
    }
  }
  const others = `FROM pg_stat_activity WHERE application_name = 'vectord'`
  const count = async (sql: string): Promise<number> => Number((await run(sql))[0]?.[0])
  return {
    server,
    run,
    quote,
    hostileNames: [
      'a"b',
      "a`b'c",
      'select',
      'With Some Blanks',
      '; DROP TABLE x; --',
      '"; DELETE FROM x; "',
      'ünïcödé 表 😀',
      '%s ? :x $1 \\',
      '/* x */ #',
      'x'.repeat(63),
    ],
    fill: async (table, { rows, bytes }) => {
      await run(`CREATE TABLE ${table} (id bigint NOT NULL PRIMARY KEY, body text)`)
      // What compresses well is not what the network carries, but what the disk does.
      await run(
        `INSERT INTO ${table} SELECT n, repeat('x', ${bytes}) FROM generate_series(1, ${rows}) n`,
      )
    },
    slowQuery: (seconds, mark) => `SELECT pg_sleep(${seconds})::text AS ${mark}`,
    running: (mark) =>
      count(`SELECT count(*) ${others} AND state = 'active' AND query LIKE '%${mark}%'`),
    connections: () => count(`SELECT count(*) ${others}`),
    hideTls: (proxy) => {
      proxy.onHello = (hello) =>
        hello.length === 8 && hello.readInt32BE(4) === TLS_REQUEST ? Buffer.from('N') : null
    },
    changes: [
      'WITH gone AS (DELETE FROM victim RETURNING id) SELECT * FROM gone',
      'SELECT id INTO stolen FROM victim',
      "SELECT set_config('transaction_read_only', 'off', true) AS id",
      "SELECT nextval('numbers') AS id",
      "SELECT 1 AS id) TO '/tmp/vectord-copied' --",
      "COPY victim TO '/tmp/vectord-copied'",
      'COPY victim FROM STDIN',
      'SELECT id FROM victim FOR UPDATE',
      'SHOW ALL',
      'EXPLAIN SELECT 1',
      'VACUUM victim',
      'SELECT $1::int AS id',
      'LISTEN x',
    ],
    close: () => server.close(),
  }
}

function typeCases(world: SqlWorld): void {
  const { server, run } = world

  it('every type becomes the cell that the documentation says', async (t) => {
    await run(`CREATE TYPE mood AS ENUM ('sad', 'ÿ')`)
    await run(`CREATE DOMAIN price AS numeric(10,2)`)
    await run(`CREATE DOMAIN word AS text`)
    await run(`CREATE TYPE pair AS (a int, b text)`)
    const columns: Record<string, readonly [type: string, value: string, cell: unknown]> = {
      bo: ['boolean', 'true', true],
      s: ['smallint', '-32768', -32_768],
      i: ['int', '-2147483648', -2_147_483_648],
      b: ['bigint', '-9223372036854775808', -9_223_372_036_854_775_808n],
      o: ['oid', '4294967295', 4_294_967_295n],
      f: ['real', '0.1', Math.fround(0.1)],
      d: ['double precision', '1.7976931348623157e308', Number.MAX_VALUE],
      na: ['double precision', `'NaN'`, Number.NaN],
      inf: ['real', `'-Infinity'`, Number.NEGATIVE_INFINITY],
      nu: ['numeric(40,10)', '12345678901234567890.0123456789', 12_345_678_901_234_567_890.012],
      nn: ['numeric', `'NaN'`, Number.NaN],
      pr: ['price', '9.99', 9.99],
      mo: ['money', '12.5', '$12.50'],
      da: ['date', `'1999-12-31'`, 946_598_400_000_000n],
      d4: ['date', `'4714-11-24 BC'`, -210_866_803_200_000_000n],
      ti: ['timestamp', `'9999-12-31 23:59:59.999999'`, 253_402_300_799_999_999n],
      t0: ['timestamp', `'1969-12-31 23:59:59.999999'`, -1n],
      tz: ['timestamptz', `'2024-02-29 14:34:56.789012+02'`, 1_709_210_096_789_012n],
      tm: ['time', `'23:59:59.5'`, '23:59:59.5'],
      iv: ['interval', `'1 year 2 days 03:04:05.5'`, 'P1Y2DT3H4M5.5S'],
      ch: ['char(5)', `'ab'`, 'ab'],
      c1: ['"char"', `'x'`, 'x'],
      vc: ['varchar(20)', `'naïve 😀'`, 'naïve 😀'],
      tx: ['text', `''`, ''],
      wo: ['word', `'domain'`, 'domain'],
      nm: ['name', `'a name'`, 'a name'],
      en: ['mood', `'ÿ'`, 'ÿ'],
      js: ['json', `'{"a": [1,  null]}'`, '{"a": [1,  null]}'],
      jb: ['jsonb', `'{"a": [1,  null]}'`, '{"a": [1, null]}'],
      uu: [
        'uuid',
        `'123E4567-e89b-12d3-a456-426614174000'`,
        '123e4567-e89b-12d3-a456-426614174000',
      ],
      ip: ['inet', `'10.0.0.1/8'`, '10.0.0.1/8'],
      bi: ['bit(10)', `B'1000000001'`, '1000000001'],
      by: ['bytea', `'\\x00ff10'`, new Uint8Array([0, 255, 16])],
      ar: ['real[]', `'{1,0.1,NaN}'`, '{1,0.1,NaN}'],
      at: ['text[]', `'{a,"b c",NULL}'`, '{a,"b c",NULL}'],
      ra: ['int4range', `'[1,5)'`, '[1,5)'],
      po: ['point', `'(1.5,-2)'`, '(1.5,-2)'],
      xm: ['xml', `'<a/>'`, '<a/>'],
      co: ['pair', `ROW(1,'x')`, '(1,x)'],
    }
    const entries = Object.entries(columns)
    await run(
      `CREATE TABLE types (${entries.map(([name, [type]]) => `${name} ${type}`).join(', ')})`,
    )
    await run(`INSERT INTO types VALUES (${entries.map(([, [, value]]) => value).join(', ')})`)
    await run(`INSERT INTO types DEFAULT VALUES`)
    const source = openSource(t, server.dsn())
    for (const select of [
      { table: 'types' },
      { query: 'SELECT * FROM types ORDER BY i' },
      { query: 'TABLE types' },
    ]) {
      const [row = [], empty = []] = await readRows(source, { select })
      for (const [index, [name, [, , cell]]] of entries.entries()) {
        assert.deepEqual(row[index], cell, name)
      }
      assert.ok(empty.every((cell) => cell === null))
    }
  })

  it('a value that has no place in its column is refused with its row and key', async (t) => {
    const source = openSource(t, server.dsn())
    const values = {
      [`'infinity'::timestamp`]: /infinite/,
      [`'-infinity'::timestamptz`]: /infinite/,
      [`'infinity'::date`]: /infinite/,
      [`'5874897-12-31'::date`]: /too far/,
      [`'294276-12-31'::timestamp`]: /too far/,
      ['1e400::numeric']: /larger than a float64/,
    }
    for (const [value, reason] of Object.entries(values)) {
      const query = `SELECT n AS id, CASE WHEN n = 3 THEN ${value} END AS x FROM generate_series(1, 5) n`
      for (const batchRows of [1, 2, 100]) {
        const reading = readRows(source, { select: { query }, key: 'id', batchRows })
        await assert.rejects(
          reading,
          (error: { code: string; message: string; details: object }) => {
            assert.equal(error.code, 'source_value_refused')
            assert.match(error.message, reason)
            assert.deepEqual(error.details, { row: 3, column: 'x', key: '3' })
            return true
          },
        )
      }
    }
  })
}

function particularCases(world: SqlWorld): void {
  const { server, run } = world

  it('the catalogue is not asked what it cannot tell: views, and tables that others inherit', async (t) => {
    await run('CREATE TABLE parent (id int NOT NULL PRIMARY KEY)')
    await run('CREATE TABLE child (PRIMARY KEY (id)) INHERITS (parent)')
    await run('CREATE VIEW seen AS SELECT id FROM parent')
    await run('INSERT INTO parent VALUES (1), (3)')
    await run('INSERT INTO child VALUES (2)')
    const source = openSource(t, server.dsn())
    for (const table of ['parent', 'seen']) {
      assert.deepEqual(await readRows(source, { select: { table }, key: 'id' }), [[1], [2], [3]])
    }
    await run('INSERT INTO child VALUES (3)')
    for (const table of ['parent', 'seen']) {
      await assert.rejects(readRows(source, { select: { table }, key: 'id' }), {
        code: 'bad_request',
        message: /not unique/,
      })
    }
  })

  it('keys of partial, deferred and invalid indexes are not taken for unique', async (t) => {
    await run('CREATE TABLE odd (a int NOT NULL, b int NOT NULL, c int NOT NULL)')
    await run('CREATE UNIQUE INDEX ON odd (a) WHERE a > 0')
    await run('ALTER TABLE odd ADD UNIQUE (b) DEFERRABLE')
    await run('CREATE UNIQUE INDEX ON odd (c) INCLUDE (a)')
    const source = openSource(t, server.dsn())
    for (const key of ['a', 'b']) {
      const query = queryOf({ select: { table: 'odd' }, key })
      await assert.rejects(source.columns(query, NO_SIGNAL), { message: /unique/ })
    }
    const query = queryOf({ select: { table: 'odd' }, key: 'c' })
    assert.equal((await source.columns(query, NO_SIGNAL)).length, 3)
  })

  it('a name that the server would cut off names nothing', async (t) => {
    await run(`CREATE TABLE ${'y'.repeat(63)} (id int)`)
    const source = openSource(t, server.dsn())
    await assert.rejects(readRows(source, { select: { table: 'y'.repeat(64) } }), {
      code: 'source_not_found',
    })
  })

  it('an account without rights is told so', async (t) => {
    await run(`CREATE ROLE poor LOGIN PASSWORD 'nothing at all'`)
    await run('CREATE TABLE secrets (id int)')
    const dsn = server.dsn().replace(/\/\/[^@]*@/, '//poor:nothing%20at%20all@')
    await assert.rejects(readRows(openSource(t, dsn), { select: { table: 'secrets' } }), {
      code: 'source_auth_failed',
      message: /secrets/,
    })
  })

  it('text of a database in another encoding arrives as it is', async (t) => {
    await run(
      `CREATE DATABASE old ENCODING 'LATIN1' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'`,
    )
    const source = openSource(t, server.dsn('', 'old'))
    const query = `SELECT chr(233) || 'té' AS word`
    assert.deepEqual(await readRows(source, { select: { query } }), [['été']])
  })

  it('a key that is refused itself is left out of the refusal of another value', async (t) => {
    const source = openSource(t, server.dsn())
    const query = `SELECT 'infinity'::date AS x, 'infinity'::timestamp AS at`
    await assert.rejects(readRows(source, { select: { query }, key: 'at' }), {
      code: 'source_value_refused',
      details: { row: 1, column: 'x', key: null },
    })
  })

  it('a key that no page can begin at is refused as a key', async (t) => {
    const query = `SELECT '10000-01-01'::timestamp + n * interval '1 day' AS at
      FROM generate_series(1, 3) n`
    const source = openSource(t, server.dsn(), { pageRows: 2 })
    await assert.rejects(readRows(source, { select: { query }, key: 'at' }), {
      code: 'bad_request',
      message: /The key "at" has a value that is not in the years 1 to 9999/,
    })
  })

  it('a bound on the time of statements is none for a reader that is slow', async (t) => {
    await run(`CREATE ROLE hurried LOGIN PASSWORD 'in a hurry'`)
    await run(`ALTER ROLE hurried SET statement_timeout = '100ms'`)
    const dsn = server.dsn().replace(/\/\/[^@]*@/, '//hurried:in%20a%20hurry@')
    const query = 'SELECT pg_sleep(0.5)::text AS slept'
    assert.deepEqual(await readRows(openSource(t, dsn), { select: { query } }), [['']])
  })

  it('a query whose reader is gone without a word ends by itself', async (t) => {
    const { proxy, dsn } = await throughProxy(t, world)
    const query = world.slowQuery(60, 'left_alone')
    const reading = readRows(openSource(t, dsn), { select: { query } })
    await until('the query runs', async () => (await world.running('left_alone')) > 0)
    // Nor can it be asked to end.
    proxy.isDown = true
    proxy.break()
    await assert.rejects(reading, { code: 'source_unreachable' })
    await until('the query has ended', async () => (await world.running('left_alone')) === 0)
  })
}
