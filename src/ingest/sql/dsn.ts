/**
 * Names of databases: `scheme://user:password@host:port/database?parameters`.
 *
 * One grammar serves parsing and redaction, and it is strict: what it does not match is refused, and
 * is hidden whole, since the password might be anywhere in it. Characters that have a meaning in it
 * must be percent-encoded in names and passwords.
 */

import { VectordError } from '../../lib/errors.ts'

export type SqlSystemName = 'mysql' | 'postgresql'

/** How much TLS: see docs/sql-sources.md. */
export type TlsMode = 'disable' | 'prefer' | 'require' | 'verify-ca' | 'verify-full'

export interface SqlDsn {
  readonly system: SqlSystemName
  readonly host: string
  readonly port: number
  readonly user: string
  /** Empty where none was given. */
  readonly password: string
  readonly database: string
  readonly tlsMode: TlsMode
  /** A file with the certificates that may sign the server's; null: those of the runtime. */
  readonly tlsRootPath: string | null
  readonly connectTimeoutMs: number | null
}

const SYSTEMS: Readonly<Record<string, { readonly system: SqlSystemName; readonly port: number }>> =
  {
    mysql: { system: 'mysql', port: 3306 },
    mariadb: { system: 'mysql', port: 3306 },
    postgres: { system: 'postgresql', port: 5432 },
    postgresql: { system: 'postgresql', port: 5432 },
  }

/** The names of both systems' own clients. */
const TLS_MODES: Readonly<Record<string, TlsMode>> = {
  disable: 'disable',
  disabled: 'disable',
  prefer: 'prefer',
  preferred: 'prefer',
  require: 'require',
  required: 'require',
  'verify-ca': 'verify-ca',
  'verify-full': 'verify-full',
  'verify-identity': 'verify-full',
}

const GRAMMAR = new RegExp(
  [
    '^(?<scheme>[a-z][a-z0-9+.-]*)://',
    '(?:(?<user>[^:@/?#\\s]*)(?::(?<password>[^@/?#\\s]*))?@)?',
    '(?<host>\\[[0-9a-f:.]+\\]|[^:@/?#\\s\\[\\]]*)(?::(?<port>\\d{1,5}))?',
    '(?:/(?<database>[^@/?#\\s]*))?(?:\\?(?<parameters>[^@#\\s]*))?$',
  ].join(''),
  'i',
)

const CONNECT_TIMEOUT_S_MAX = 300

/** Names of parameters that may be shown, and the values of them that may. */
const SHOWN_PARAMETERS: ReadonlyMap<string, RegExp | null> = new Map([
  ['sslmode', /^(disabled?|prefer(red)?|required?|verify[_-](ca|full|identity))$/i],
  ['ssl-mode', /^(disabled?|prefer(red)?|required?|verify[_-](ca|full|identity))$/i],
  ['connect_timeout', /^\d{1,3}$/],
  ['sslrootcert', null],
  ['ssl-ca', null],
  ['password', null],
  ['sslpassword', null],
  ['user', null],
])

const HIDDEN = '***'

/** @throws {VectordError} `bad_request`; its message shows nothing of the DSN but names it knows. */
export function parseDsn(dsn: string): SqlDsn {
  const parts = GRAMMAR.exec(dsn)?.groups
  if (parts === undefined) {
    throw refused(
      'The DSN is not `scheme://user:password@host:port/database?parameters`. Characters such as @ : / ? # in the user or the password must be percent-encoded.',
    )
  }
  const known = SYSTEMS[(parts['scheme'] ?? '').toLowerCase()]
  if (known === undefined) {
    throw refused(`The scheme of the DSN is none of ${Object.keys(SYSTEMS).join(', ')}.`)
  }
  const host = decoded(parts['host'], 'host').replace(/^\[(.*)\]$/, '$1')
  const port = parts['port'] === undefined ? known.port : Number(parts['port'])
  if (port < 1 || port > 65_535) throw refused('The port of the DSN is not between 1 and 65535.')
  return {
    system: known.system,
    host: needed(host, 'host'),
    port,
    user: needed(decoded(parts['user'], 'user'), 'user'),
    password: decoded(parts['password'], 'password'),
    database: needed(decoded(parts['database'], 'database'), 'database'),
    ...parseParameters(parts['parameters'] ?? ''),
  }
}

/**
 * The DSN for logs, records and replies: without its password and without values of parameters that
 * might be one. Never throws; what is no DSN is hidden whole but for its scheme.
 */
export function redactDsn(dsn: string): string {
  const parts = GRAMMAR.exec(dsn)?.groups
  if (parts === undefined) {
    const scheme = /^([a-z]+):\/\//i.exec(dsn)?.[1]?.toLowerCase() ?? ''
    return scheme in SYSTEMS ? `${scheme}://${HIDDEN}` : HIDDEN
  }
  const { scheme, user, host, parameters } = parts
  const secret = parts['password'] === undefined ? '' : `:${HIDDEN}`
  const who = user === undefined ? '' : `${user}${secret}@`
  const where = `${String(host)}${after(':', parts['port'])}${after('/', parts['database'])}`
  const how = parameters === undefined ? undefined : redactPairs(parameters)
  return `${String(scheme)}://${who}${where}${after('?', how)}`
}

function after(mark: string, part: string | undefined): string {
  return part === undefined ? '' : `${mark}${part}`
}

/**
 * Text of a driver or a server, without the password of `dsn` in any form.
 *
 * A password of less than four characters stays: it is too short to keep a secret, and hiding it would
 * show which letters it has.
 */
export function withoutPassword(text: string, { password }: SqlDsn): string {
  if (password.length < 4) return text
  return [password, encodeURIComponent(password), encodeURI(password)].reduce(
    (shown, secret) => shown.replaceAll(secret, HIDDEN),
    text,
  )
}

function redactPairs(parameters: string): string {
  const pairs = parameters.split('&').map((pair) => {
    const [name = '', value] = pair.split('=', 2)
    const shown = SHOWN_PARAMETERS.get(name.toLowerCase())
    if (shown === undefined || value === undefined) return HIDDEN
    return `${name}=${shown?.test(value) === true ? value : HIDDEN}`
  })
  return pairs.join('&')
}

type Parameters = Pick<SqlDsn, 'tlsMode' | 'tlsRootPath' | 'connectTimeoutMs'>

function parseParameters(text: string): Parameters {
  const given = new Map<string, string>()
  for (const pair of text.split('&').filter((each) => each !== '')) {
    const [name = '', value = ''] = pair.split('=', 2).map((part) => decoded(part, 'parameters'))
    const known = ALIASES.get(name.toLowerCase())
    if (known === undefined || given.has(known)) {
      throw refused(
        'The DSN has a parameter that is unknown or given twice: it may have sslmode, sslrootcert and connect_timeout.',
      )
    }
    given.set(known, value)
  }
  const tlsMode = tlsModeOf(given.get('sslmode') ?? 'prefer')
  const tlsRootPath = given.get('sslrootcert') ?? null
  if (tlsRootPath !== null && !tlsMode.startsWith('verify-')) {
    throw refused('`sslrootcert` says whom to trust: it needs sslmode=verify-ca or verify-full.')
  }
  return { tlsMode, tlsRootPath, connectTimeoutMs: timeoutOf(given.get('connect_timeout')) }
}

const ALIASES: ReadonlyMap<string, string> = new Map([
  ['sslmode', 'sslmode'],
  ['ssl-mode', 'sslmode'],
  ['sslrootcert', 'sslrootcert'],
  ['ssl-ca', 'sslrootcert'],
  ['connect_timeout', 'connect_timeout'],
])

function tlsModeOf(text: string): TlsMode {
  const mode = TLS_MODES[text.toLowerCase().replaceAll('_', '-')]
  if (mode !== undefined) return mode
  throw refused('`sslmode` is none of disable, prefer, require, verify-ca and verify-full.')
}

function timeoutOf(text: string | undefined): number | null {
  if (text === undefined) return null
  const seconds = Number(text)
  if (Number.isInteger(seconds) && seconds >= 1 && seconds <= CONNECT_TIMEOUT_S_MAX) {
    return seconds * 1000
  }
  throw refused(
    `\`connect_timeout\` is not a number of seconds from 1 to ${CONNECT_TIMEOUT_S_MAX}.`,
  )
}

function decoded(text: string | undefined, part: string): string {
  try {
    const plain = decodeURIComponent(text ?? '')
    if (!plain.includes('\0')) return plain
  } catch {
    // The same answer as for a NUL.
  }
  throw refused(`The ${part} of the DSN is not percent-encoded UTF-8.`)
}

function needed(text: string, part: string): string {
  if (text === '') throw refused(`The DSN names no ${part}.`)
  return text
}

function refused(message: string): VectordError {
  return new VectordError('bad_request', message, { details: { field: 'dsn' } })
}
