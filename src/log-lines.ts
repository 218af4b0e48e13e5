/**
 * The log of the process: JSON lines, or lines for people on a terminal.
 */

import { pino, type Logger } from 'pino'
import type { Config } from './config/schema.ts'

/** Fields that may hold a secret wherever they turn up. */
const SECRET_FIELDS = [
  'authorization',
  'credentials',
  'dsn',
  'secretAccessKey',
  'secret_access_key',
]

export function makeLogger({ level, pretty }: Config['logging']): Logger {
  const options = {
    level,
    redact: { paths: SECRET_FIELDS.flatMap((name) => [name, `*.${name}`]), censor: '[redacted]' },
  }
  const isForPeople = pretty === 'always' || (pretty === 'auto' && process.stdout.isTTY)
  if (!isForPeople) return pino(options)
  const target = 'pino-pretty'
  return pino({ ...options, transport: { target, options: { ignore: 'pid,hostname' } } })
}
