/**
 * Connections to MySQL and MariaDB, and their errors.
 */

import { once } from 'node:events'
import { isIP } from 'node:net'
import { type Connection, createConnection, type FieldPacket, type QueryError } from 'mysql2'
import { VectordError } from '../../lib/errors.ts'
import type { SqlDsn } from './dsn.ts'
import {
  asError,
  type DriverError,
  isCertificateError,
  isDriverError,
  type SqlErrorCode,
  type SqlPhase,
  sqlError,
} from './sql-errors.ts'
import { type TlsSettings, tlsSettings } from './sql-tls.ts'

const KEEP_ALIVE_MS = 30_000

/** The driver's code for a server without TLS. */
const NO_TLS = 'HANDSHAKE_NO_SSL_SUPPORT'

/**
 * A reader that is slow must not lose the connection by that: the server waits for it to take rows, and
 * for the next page. And rows are limited by nothing but the query. What `init_connect` has set for the
 * clients of a server is not for us: text in another encoding would lose letters. Each comment is a
 * setting of one of the two systems, and nothing to the other.
 */
const SETTINGS = [
  'SET NAMES utf8mb4',
  `SET SESSION time_zone = '+00:00', net_write_timeout = 3600, wait_timeout = 28800,
    /*M!100101 max_statement_time = 0, */ /*!50708 max_execution_time = 0, */
    sql_select_limit = 18446744073709551615`,
  'SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ',
  'START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY',
]

/** @throws {VectordError} as `SqlSource.read` says. */
export async function connectMysql(
  dsn: SqlDsn,
  timeoutMs: number,
  signal?: AbortSignal,
): Promise<Connection> {
  if (dsn.tlsMode === 'verify-full' && isIP(dsn.host) !== 0) {
    // The driver would compare the certificate with `localhost`.
    throw new VectordError(
      'bad_request',
      'sslmode=verify-full needs a host by name, not by address, for MySQL and MariaDB.',
      { details: { field: 'dsn' } },
    )
  }
  const tls = await tlsSettings(dsn)
  try {
    return await open({ dsn, timeoutMs, tls }, signal)
  } catch (error) {
    signal?.throwIfAborted()
    const offersNone = isDriverError(error) && error.code === NO_TLS
    if (!offersNone || dsn.tlsMode !== 'prefer') throw mysqlError(error, 'connect', dsn)
  }
  try {
    return await open({ dsn, timeoutMs, tls: null }, signal)
  } catch (error) {
    signal?.throwIfAborted()
    throw mysqlError(error, 'connect', dsn)
  }
}

/** @throws {QueryError} the driver's. */
export async function runMysql(
  connection: Connection,
  sql: string,
): Promise<readonly (readonly unknown[])[]> {
  return new Promise((resolve, reject) => {
    connection.query({ sql, rowsAsArray: true }, (error: QueryError | null, rows: unknown) => {
      if (error === null) resolve(Array.isArray(rows) ? (rows as unknown[][]) : [])
      else reject(error)
    })
  })
}

/** The columns of a statement, which is not run. @throws {QueryError} the driver's. */
export async function describeMysql(
  connection: Connection,
  sql: string,
): Promise<readonly FieldPacket[]> {
  return new Promise((resolve, reject) => {
    connection.prepare(sql, (error, statement) => {
      if (error !== null) {
        reject(error)
        return
      }
      // The driver's types do not know what its statements have.
      const { columns } = statement as unknown as { readonly columns: readonly FieldPacket[] }
      connection.unprepare(sql)
      resolve(columns)
    })
  })
}

export async function beginMysql(connection: Connection): Promise<void> {
  for (const sql of SETTINGS) await runMysql(connection, sql)
}

interface Wanted {
  readonly dsn: SqlDsn
  readonly timeoutMs: number
  readonly tls: TlsSettings | null
}

async function open(wanted: Wanted, signal?: AbortSignal): Promise<Connection> {
  const { dsn, timeoutMs, tls } = wanted
  const { verifies = false, verifiesHost = false, ca } = tls ?? {}
  const ssl = { rejectUnauthorized: verifies, verifyIdentity: verifiesHost }
  const connection = createConnection({
    host: dsn.host,
    port: dsn.port,
    user: dsn.user,
    password: dsn.password,
    database: dsn.database,
    charset: 'utf8mb4',
    connectTimeout: timeoutMs,
    enableKeepAlive: true,
    keepAliveInitialDelay: KEEP_ALIVE_MS,
    supportBigNumbers: true,
    dateStrings: true,
    jsonStrings: true,
    rowsAsArray: true,
    // A server must not be able to ask for a file of ours.
    flags: ['-LOCAL_FILES'],
    ...(tls === null ? {} : { ssl: ca === undefined ? ssl : { ...ssl, ca } }),
  })
  try {
    await once(connection, 'connect', signal === undefined ? {} : { signal })
    // Whoever waits for an answer is told; an error between two questions shows at the next.
    connection.on('error', () => undefined)
    return connection
  } catch (error) {
    connection.on('error', () => undefined)
    connection.destroy()
    throw error
  }
}

/** Of the server, by number: what each means whatever was being done. */
const KNOWN: ReadonlyMap<number, SqlErrorCode> = new Map<number, SqlErrorCode>([
  // No such database, column, table.
  ...[1049, 1054, 1146].map((number) => [number, 'source_not_found'] as const),
  // An unknown account or password, and what an account may not do.
  ...[1044, 1045, 1142, 1143, 1227, 1251, 1370, 1524, 1698, 1820, 1862].map(
    (number) => [number, 'source_auth_failed'] as const,
  ),
  // Too many connections, shutting down, killed, and faults of the network that it saw.
  ...[1040, 1053, 1077, 1079, 1152, 1158, 1159, 1160, 1161, 1203, 1927].map(
    (number) => [number, 'source_unreachable'] as const,
  ),
  // A change in a read-only transaction.
  [1792, 'bad_request'],
])

/** What the driver or the network says, as an error of vectord. Others stay what they are. */
export function mysqlError(error: unknown, phase: SqlPhase, dsn: SqlDsn): Error {
  return isDriverError(error) ? sqlError(codeOf(error, phase), error, dsn) : asError(error)
}

function codeOf(error: DriverError, phase: SqlPhase): SqlErrorCode {
  const { errno = 0, code } = error
  const known = KNOWN.get(errno)
  if (known !== undefined) return known
  if (code === NO_TLS || isCertificateError(error)) return 'source_tls_failed'
  // Numbers of the server are from 1000 on; those of the network are negative, or none.
  if (errno < 1000 || error.fatal === true) return 'source_unreachable'
  return phase === 'describe' ? 'bad_request' : 'source_failed'
}
