/**
 * Connections to PostgreSQL, and their errors.
 */

import pg from 'pg'
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

/** The driver's own words. */
const NO_TLS = 'The server does not support SSL connections'

/**
 * For the transaction only, as a pool of connections between us wants it. A reader that is slow must not
 * lose the connection by that; values are written alike whatever the server prefers.
 */
const BEGIN = `BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
  SET LOCAL client_encoding = 'UTF8';
  SET LOCAL standard_conforming_strings = on;
  SET LOCAL TimeZone = 'UTC';
  SET LOCAL DateStyle = 'ISO';
  SET LOCAL IntervalStyle = 'iso_8601';
  SET LOCAL bytea_output = 'hex';
  SET LOCAL extra_float_digits = 3;
  SET LOCAL statement_timeout = 0;
  SET LOCAL idle_in_transaction_session_timeout = 0`

/** A server that is busy with a query looks this often whether its client is still there. */
const LOOK_FOR_US = "SET LOCAL client_connection_check_interval = '2s'"

/** @throws {VectordError} as `SqlSource.read` says. */
export async function connectPostgres(
  dsn: SqlDsn,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<pg.Client> {
  const tls = await tlsSettings(dsn)
  try {
    return await open({ dsn, timeoutMs, tls }, signal)
  } catch (error) {
    signal.throwIfAborted()
    const offersNone = isDriverError(error) && error.message === NO_TLS
    if (!offersNone || dsn.tlsMode !== 'prefer') throw postgresError(error, 'connect', dsn)
  }
  try {
    return await open({ dsn, timeoutMs, tls: null }, signal)
  } catch (error) {
    signal.throwIfAborted()
    throw postgresError(error, 'connect', dsn)
  }
}

export async function beginPostgres(client: pg.Client): Promise<void> {
  await client.query(BEGIN)
  // Only from version 14 on, and not on every system.
  await client.query('SAVEPOINT before')
  try {
    await client.query(LOOK_FOR_US)
  } catch {
    await client.query('ROLLBACK TO SAVEPOINT before')
  }
}

interface Wanted {
  readonly dsn: SqlDsn
  readonly timeoutMs: number
  readonly tls: TlsSettings | null
}

async function open({ dsn, timeoutMs, tls }: Wanted, signal: AbortSignal): Promise<pg.Client> {
  const client = new pg.Client({
    host: dsn.host,
    port: dsn.port,
    user: dsn.user,
    // By a function, so that an empty one is not looked for in the environment and in files.
    password: () => dsn.password,
    database: dsn.database,
    ssl: tls === null ? false : tlsOptions(tls),
    connectionTimeoutMillis: timeoutMs,
    keepAlive: true,
    keepAliveInitialDelayMillis: KEEP_ALIVE_MS,
    application_name: 'vectord',
  })
  // Whoever waits for an answer is told; an error between two questions shows at the next.
  client.on('error', () => undefined)
  const abort = (): void => {
    client.connection.stream.destroy()
  }
  signal.addEventListener('abort', abort, { once: true })
  try {
    await client.connect()
    return client
  } catch (error) {
    abort()
    throw error
  } finally {
    signal.removeEventListener('abort', abort)
  }
}

function tlsOptions({ verifies, verifiesHost, ca }: TlsSettings): pg.ClientConfig['ssl'] {
  const host = verifiesHost ? {} : { checkServerIdentity: () => undefined }
  return { rejectUnauthorized: verifies, ...host, ...(ca === undefined ? {} : { ca }) }
}

/** What the driver or the network says, as an error of vectord. Others stay what they are. */
export function postgresError(error: unknown, phase: SqlPhase, dsn: SqlDsn): Error {
  return isDriverError(error) ? sqlError(codeOf(error, phase), error, dsn) : asError(error)
}

/** By SQLSTATE: what each means whatever was being done. The first that fits counts. */
const KNOWN: readonly (readonly [RegExp, SqlErrorCode])[] = [
  // An unknown account or password, and what an account may not do.
  [/^(28|42501)/, 'source_auth_failed'],
  // No such database, schema, table, column.
  [/^(3D000|3F000|42P01|42703)/, 'source_not_found'],
  // Lost, shutting down, too many connections.
  [/^(08|57P0|53300|58)/, 'source_unreachable'],
  // A change in a read-only transaction, a statement that cannot be copied, and wrong SQL.
  [/^(25006|0A000|42|22P02|22007|22008)/, 'bad_request'],
]

function codeOf(error: DriverError, phase: SqlPhase): SqlErrorCode {
  if (!(error instanceof pg.DatabaseError)) {
    const isTls = error.message === NO_TLS || isCertificateError(error)
    return isTls ? 'source_tls_failed' : 'source_unreachable'
  }
  const known = KNOWN.find(([state]) => state.test(error.code ?? ''))
  if (known !== undefined) return known[1]
  return phase === 'describe' ? 'bad_request' : 'source_failed'
}
