/**
 * MariaDB keeps the contract of SQL sources, and its types become cells.
 *
 * How: a real server (`test/support/mariadb-server.ts`), one for this file.
 */

import assert from 'node:assert/strict'
import { after, describe, it } from 'node:test'
import { createConnection } from 'mysql2/promise'
import { startMariadb } from '../../support/mariadb-server.ts'
import type { SqlServer } from '../../support/sql-server.ts'
import { sqlSourceSuite } from './sql-source.suite.ts'
import { NO_SIGNAL, openSource, queryOf, readRows, type SqlWorld } from './sql-world.ts'

const server = await startMariadb()
after(() => server?.close())

if (server !== null) {
  const world = worldOf(server)
  sqlSourceSuite('MariaDB', world)
  describe('MariaDB as a source', () => {
    typeCases(world)
  })
}

function worldOf(server: SqlServer): SqlWorld {
  const quote = (name: string): string => `\`${name.replaceAll('`', '``')}\``
  const run = async (sql: string): Promise<unknown[][]> => {
    const connection = await createConnection({ uri: server.dsn(), rowsAsArray: true })
    try {
      const [rows] = await connection.query(sql)
      return rows as unknown[][]
    } finally {
      await connection.end()
    }
  }
  const others = 'FROM information_schema.PROCESSLIST WHERE ID <> CONNECTION_ID()'
  const count = async (sql: string): Promise<number> => Number((await run(sql))[0]?.[0])
  return {
    server,
    run,
    quote,
    hostileNames: [
      'a`b',
      `a"b'c`,
      'select',
      'with some blanks',
      '; DROP TABLE x; --',
      '`; DELETE FROM x; `',
      'ünïcödé 表',
      '%s ? :x $1 \\',
      '/* x */ #',
    ],
    fill: async (table, { rows, bytes }) => {
      await run(`CREATE TABLE ${table} (id bigint NOT NULL PRIMARY KEY, body longtext)`)
      await run(`INSERT INTO ${table} SELECT seq, REPEAT('x', ${bytes}) FROM seq_1_to_${rows}`)
    },
    slowQuery: (seconds, mark) => `SELECT SLEEP(${seconds}) AS ${mark}`,
    running: (mark) =>
      count(`SELECT COUNT(*) ${others} AND INFO LIKE '%${mark}%' AND COMMAND <> 'Killed'`),
    connections: () => count(`SELECT COUNT(*) ${others} AND USER = 'vectord'`),
    hideTls: (proxy) => {
      // The second byte of the capabilities, behind the version, an id, a salt and a filler.
      proxy.onGreeting = (greeting) => {
        const at = greeting.indexOf(0, 5) + 15
        greeting.writeUInt8(greeting.readUInt8(at) & ~0x08, at)
        return greeting
      }
    },
    changes: [
      "SELECT id FROM victim INTO OUTFILE '/tmp/vectord-outfile'",
      "SELECT 1 AS a INTO DUMPFILE '/tmp/vectord-outfile'",
      'SELECT id INTO @x FROM victim',
      "LOAD DATA LOCAL INFILE '/etc/hostname' INTO TABLE victim",
      'REPLACE INTO victim VALUES (1,NULL)',
      'TRUNCATE victim',
      'SET GLOBAL read_only = 0',
      'SHOW TABLES',
      'CALL nothing()',
      'SELECT 1 AS a /*! INTO OUTFILE "/tmp/vectord-outfile" */',
    ],
    close: () => server.close(),
  }
}

function typeCases(world: SqlWorld): void {
  const { server, run } = world

  it('every type becomes the cell that the documentation says', async (t) => {
    const columns: Record<string, readonly [type: string, value: string, cell: unknown]> = {
      bo: ['boolean', 'true', true],
      t1: ['tinyint(1)', '0', false],
      ti: ['tinyint', '-128', -128],
      tu: ['tinyint unsigned', '255', 255],
      si: ['smallint', '-32768', -32_768],
      me: ['mediumint unsigned', '16777215', 16_777_215],
      i: ['int', '-2147483648', -2_147_483_648],
      iu: ['int unsigned', '4294967295', 4_294_967_295n],
      b: ['bigint', '-9223372036854775808', -9_223_372_036_854_775_808n],
      bu: ['bigint unsigned', '9223372036854775807', 9_223_372_036_854_775_807n],
      f: ['float', '0.1', Math.fround(0.1)],
      d: ['double', '1.7976931348623157e308', Number.MAX_VALUE],
      de: ['decimal(30,10)', '12345678901234567890.0123456789', 12_345_678_901_234_567_890.012],
      da: ['date', `'1999-12-31'`, 946_598_400_000_000n],
      dt: ['datetime(6)', `'9999-12-31 23:59:59.999999'`, 253_402_300_799_999_999n],
      d3: ['datetime(3)', `'1969-12-31 23:59:59.999'`, -1000n],
      ts: ['timestamp(6) NULL', `'2024-02-29 12:34:56.789012'`, 1_709_210_096_789_012n],
      tm: ['time(3)', `'-838:59:58.500'`, '-838:59:58.5'],
      y: ['year', '2024', 2024],
      ch: ['char(5)', `'ab'`, 'ab'],
      vc: ['varchar(20)', `'naïve 😀'`, 'naïve 😀'],
      tx: ['text', `CONCAT('a', CHAR(0), 'b')`, 'a\0b'],
      la: ['varchar(20) CHARACTER SET latin1', `'é€'`, 'é€'],
      en: [`enum('x','ÿ')`, `'ÿ'`, 'ÿ'],
      se: [`set('p','q')`, `'p,q'`, 'p,q'],
      js: ['json', `'{"a": [1, null]}'`, '{"a": [1, null]}'],
      bi: ['bit(10)', `b'1000000001'`, '1000000001'],
      uu: [
        'uuid',
        `'123e4567-e89b-12d3-a456-426614174000'`,
        '123e4567-e89b-12d3-a456-426614174000',
      ],
      ip: ['inet6', `'::1'`, '::1'],
      po: ['point', 'POINT(1.5, -2)', 'POINT(1.5 -2)'],
      bl: ['blob', `X'00ff10'`, new Uint8Array([0, 255, 16])],
      vb: ['varbinary(4)', `X''`, new Uint8Array()],
      fb: ['binary(2)', `X'01'`, new Uint8Array([1, 0])],
    }
    const entries = Object.entries(columns)
    const definition = entries.map(([name, [type]]) => `${name} ${type}`).join(', ')
    await run(`CREATE TABLE types (${definition}) CHARACTER SET utf8mb4`)
    const values = entries.map(([, [, value]]) => value).join(', ')
    await run(`SET time_zone = '+00:00'`)
    await run(`INSERT INTO types VALUES (${values})`)
    await run(`INSERT INTO types () VALUES ()`)
    const expected = entries.map(([, [, , cell]]) => cell)
    const names = entries.map(([name]) => name).join(', ')
    const source = openSource(t, server.dsn())
    for (const select of [
      { table: 'types' },
      { query: `SELECT ${names} FROM types` },
      { query: `SELECT ${names} FROM types ORDER BY i IS NULL` },
      {
        query:
          names.split(', ').reduce((sql, name) => `${sql}, ${name}`, 'SELECT 1 AS one') +
          ' FROM types LIMIT 2',
      },
    ]) {
      const [row = [], empty = []] = await readRows(source, { select })
      const cells = row.slice(row.length - expected.length)
      for (const [index, [name]] of entries.entries()) {
        assert.deepEqual(cells[index], expected[index], name)
      }
      assert.ok(empty.slice(-expected.length).every((cell) => cell === null))
    }
  })

  it('a value that has no place in its column is refused with its row and key', async (t) => {
    await run(
      'CREATE TABLE refused (id int NOT NULL PRIMARY KEY, t1 tinyint(1), bu bigint unsigned)',
    )
    await run('INSERT INTO refused VALUES (10,0,0),(20,1,1),(30,NULL,NULL)')
    const source = openSource(t, server.dsn(), { pageRows: 2 })
    for (const [column, value, reason] of [
      ['t1', '2', /neither 0 nor 1/],
      ['bu', '9223372036854775808', /larger than an int64/],
    ] as const) {
      await run(`UPDATE refused SET ${column} = ${value} WHERE id = 30`)
      for (const select of [
        { table: 'refused' },
        { query: 'SELECT id, t1, bu FROM refused ORDER BY id' },
      ]) {
        for (const [key, batchRows] of [
          [null, 100],
          ['id', 1],
          ['id', 100],
        ] as const) {
          const reading = readRows(source, { select, key, batchRows })
          await assert.rejects(reading, (error: { code: string; message: string }) => {
            assert.equal(error.code, 'source_value_refused')
            assert.match(error.message, reason)
            assert.match(error.message, key === null ? /Row 3, / : /Row 3 \(id = 30\), /)
            return true
          })
        }
      }
      await run(`UPDATE refused SET ${column} = NULL WHERE id = 30`)
    }
  })

  it('a date without a month or a day is none: null, also where it stands in a NOT NULL column', async (t) => {
    await run(
      'CREATE TABLE zero (id int NOT NULL PRIMARY KEY, d date NOT NULL, t datetime(6) NOT NULL)',
    )
    await run(
      `SET STATEMENT sql_mode = '' FOR INSERT INTO zero VALUES
        (1,'0000-00-00','0000-00-00'),(2,'2024-00-15','2024-05-00 01:02:03'),(3,'2024-05-01','2024-05-01')`,
    )
    const source = openSource(t, server.dsn())
    const day = 1_714_521_600_000_000n
    for (const select of [{ table: 'zero' }, { query: 'SELECT * FROM zero ORDER BY id' }]) {
      assert.deepEqual(await readRows(source, { select }), [
        [1, null, null],
        [2, null, null],
        [3, day, day],
      ])
    }
    const columns = await source.columns(queryOf({ select: { table: 'zero' } }), NO_SIGNAL)
    assert.deepEqual(
      columns.map(({ nullable }) => nullable),
      [false, true, true],
    )
  })

  it('a view has the columns of its query, and a key that is checked as it is read', async (t) => {
    await run('CREATE TABLE viewed (id int NOT NULL PRIMARY KEY, n int NOT NULL)')
    await run('INSERT INTO viewed VALUES (1,1),(2,1),(3,2)')
    await run('CREATE VIEW looking AS SELECT id, n FROM viewed')
    const source = openSource(t, server.dsn(), { pageRows: 1 })
    const rows = await readRows(source, { select: { table: 'looking' }, key: 'id' })
    assert.deepEqual(rows, [
      [1, 1],
      [2, 1],
      [3, 2],
    ])
    await assert.rejects(readRows(source, { select: { table: 'looking' }, key: 'n' }), {
      code: 'bad_request',
      message: /not unique/,
    })
  })

  it('keys that are the same to the server but not by their letters are never lost', async (t) => {
    await run('CREATE TABLE cases (k varchar(10) NOT NULL)')
    await run(`INSERT INTO cases VALUES ('a'),('B'),('b'),('c')`)
    for (const pageRows of [1, 2, 3, 10]) {
      const source = openSource(t, server.dsn(), { pageRows })
      const reading = readRows(source, { select: { query: 'SELECT k FROM cases' }, key: 'k' })
      // Where one page ends between them, the next one may begin with either.
      const found = await reading.catch((error: unknown) => (error as { code: string }).code)
      assert.ok(found === 'bad_request' || found.length === 4, `${pageRows}: ${String(found)}`)
    }
  })

  it('only the part of a key that an index has is not unique', async (t) => {
    await run('CREATE TABLE part (k varchar(20) NOT NULL, UNIQUE (k(3)))')
    const query = queryOf({ select: { table: 'part' }, key: 'k' })
    await assert.rejects(openSource(t, server.dsn()).columns(query, NO_SIGNAL), {
      code: 'bad_request',
      message: /unique/,
    })
  })

  it('a function that changes a table is stopped by the transaction', async (t) => {
    await run('CREATE TABLE touched (id int NOT NULL PRIMARY KEY)')
    await run(`CREATE FUNCTION touch() RETURNS int MODIFIES SQL DATA
      BEGIN INSERT INTO touched VALUES (1); RETURN 1; END`)
    const source = openSource(t, server.dsn())
    for (const key of [null, 'x']) {
      await assert.rejects(readRows(source, { select: { query: 'SELECT touch() AS x' }, key }), {
        code: 'bad_request',
        message: /READ ONLY/,
      })
    }
    assert.deepEqual(await run('SELECT * FROM touched'), [])
  })

  it('what a server sets for its clients changes no letter and ends no slow read', async (t) => {
    await run(`CREATE USER plain@'127.0.0.1' IDENTIFIED BY 'not so secret'`)
    await run(`GRANT SELECT ON shop.* TO plain@'127.0.0.1'`)
    await run(`SET GLOBAL init_connect = 'SET NAMES latin1, max_statement_time = 0.2'`)
    t.after(() => run(`SET GLOBAL init_connect = ''`))
    const dsn = server.dsn().replace(/\/\/[^@]*@/, '//plain:not%20so%20secret@')
    const query = `SELECT SLEEP(0.6) AS slept, CONVERT(X'F09F9880' USING utf8mb4) AS face`
    assert.deepEqual(await readRows(openSource(t, dsn), { select: { query } }), [[0, '😀']])
  })
}
