/**
 * Errors of database servers and of their drivers, as errors of vectord. No message shows a password.
 */

import { type ErrorCode, VectordError } from '../../lib/errors.ts'
import { type SqlDsn, withoutPassword } from './dsn.ts'

export type SqlErrorCode = Extract<
  ErrorCode,
  | 'bad_request'
  | 'source_auth_failed'
  | 'source_failed'
  | 'source_not_found'
  | 'source_tls_failed'
  | 'source_unreachable'
>

/** What was being done: a fault of a query that was only looked at is a fault of the request. */
export type SqlPhase = 'connect' | 'describe' | 'read'

/** What an error of a driver has; each system fills in some of it. */
export interface DriverError extends Error {
  readonly code?: string
  readonly errno?: number
  readonly fatal?: boolean
  readonly detail?: string
}

const MESSAGE_LENGTH_MAX = 500

const INTRODUCTIONS: Readonly<Record<SqlErrorCode, string>> = {
  bad_request: 'The server refuses the query',
  source_auth_failed: 'The server does not let this account in, or not do this',
  source_failed: 'The server gave up on the query',
  source_not_found: 'The source names something that is not there',
  source_tls_failed: 'There is no TLS to the server as the DSN wants it',
  source_unreachable: 'The server cannot be reached, or the connection was lost',
}

/** Codes of Node's TLS for a certificate that is not trusted. */
const CERTIFICATE_CODES =
  /^(ERR_TLS_|ERR_SSL_|CERT_|SELF_SIGNED_CERT|DEPTH_ZERO_SELF_SIGNED|UNABLE_TO_(GET_ISSUER|VERIFY)|HOSTNAME_MISMATCH|INVALID_CA|EPROTO$)/

export function isDriverError(error: unknown): error is DriverError {
  return error instanceof Error && !(error instanceof VectordError)
}

/** The driver of MySQL puts a code of its own in the place of that of Node. */
export function isCertificateError({ code = '', message }: DriverError): boolean {
  if (code === 'HANDSHAKE_SSL_ERROR') return /certificate|altname|ssl routines/i.test(message)
  return CERTIFICATE_CODES.test(code)
}

export function sqlError(code: SqlErrorCode, error: DriverError, dsn: SqlDsn): VectordError {
  const { system, host, port, database } = dsn
  const server = { system, host, port, database }
  // What a server says when it does not know the account is no help, and may name it.
  const said = withoutPassword(error.message, dsn).slice(0, MESSAGE_LENGTH_MAX).replace(/\.?$/, '.')
  const number = error.code ?? error.errno
  const details = number === undefined ? server : { ...server, server_code: number }
  return new VectordError(code, `${INTRODUCTIONS[code]}: ${said}`, {
    details,
    ...(code === 'source_unreachable' ? { retryAfterS: 5 } : {}),
  })
}

/** What was thrown, as an error. */
export function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error))
}
