/**
 * A real database with a table of eight columns: a key, two texts, a decimal, a double, a boolean, a
 * time and an integer with NULLs.
 */

import { createConnection } from 'mysql2/promise'
import pg from 'pg'
import { startMariadb } from '../../test/support/mariadb-server.ts'
import { startPostgres } from '../../test/support/postgres-server.ts'
import type { SqlServer } from '../../test/support/sql-server.ts'

export const SQL_SYSTEMS = ['MariaDB', 'PostgreSQL'] as const
export type SqlSystem = (typeof SQL_SYSTEMS)[number]

export interface SqlTable {
  readonly table: string
  readonly rows: number
}

/** @throws where the server cannot be started. */
export async function withSqlServer(
  system: SqlSystem,
  work: (server: SqlServer) => Promise<void>,
): Promise<void> {
  const server = await (system === 'MariaDB' ? startMariadb() : startPostgres())
  if (server === null) throw new Error(`${system} cannot be started`)
  try {
    await work(server)
  } finally {
    await server.close()
  }
}

export function loadTable(system: SqlSystem, server: SqlServer, table: SqlTable): Promise<void> {
  return system === 'MariaDB' ? loadMariadb(server, table) : loadPostgres(server, table)
}

const COLUMNS = (time: string, boolean: string, double: string): string =>
  `(id bigint NOT NULL PRIMARY KEY, name varchar(60) NOT NULL, body text, price decimal(10,2),
    score ${double}, active ${boolean} NOT NULL, created ${time} NOT NULL, category int)`
const BODY = 'A text of some length that describes the product in a few words of English, number '

async function loadMariadb(server: SqlServer, { table, rows }: SqlTable): Promise<void> {
  const connection = await createConnection(server.dsn())
  await connection.query(`CREATE TABLE ${table} ${COLUMNS('datetime(6)', 'tinyint(1)', 'double')}`)
  await connection.query(`INSERT INTO ${table} SELECT seq, CONCAT('Product ', seq),
    CONCAT('${BODY}', seq, ' ', MD5(seq)), seq / 7 % 1000, seq / 3.0e0, seq % 2,
    TIMESTAMP('2020-01-01') + INTERVAL seq * 1234567 MICROSECOND,
    IF(seq % 10 = 0, NULL, seq % 100) FROM seq_1_to_${rows}`)
  await connection.end()
}

async function loadPostgres(server: SqlServer, { table, rows }: SqlTable): Promise<void> {
  const client = new pg.Client({ connectionString: server.dsn() })
  await client.connect()
  await client.query(`CREATE TABLE ${table} ${COLUMNS('timestamp', 'boolean', 'double precision')}`)
  await client.query(`INSERT INTO ${table} SELECT n, 'Product ' || n,
    '${BODY}' || n || ' ' || md5(n::text), (n / 7.0) % 1000, n / 3.0::float8, n % 2 = 1,
    timestamp '2020-01-01' + n * interval '1234567 microseconds',
    CASE WHEN n % 10 = 0 THEN NULL ELSE n % 100 END FROM generate_series(1, ${rows}) n`)
  await client.query(`VACUUM ANALYZE ${table}`)
  await client.end()
}
