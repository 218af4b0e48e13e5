/**
 * `vectord keys create`: an API key. The secret is shown once and stored nowhere; the configuration
 * holds its hash.
 */

import { hash, randomBytes } from 'node:crypto'
import { Command, Option } from 'commander'
import { ROLES, parseApiKeys, type Role } from '../src/http/auth.ts'
import { VectordError } from '../src/lib/errors.ts'
import { UsageError } from './exit-codes.ts'
import { print, printJson, say } from './terminal.ts'

interface CreateOptions {
  readonly role: Role
  readonly prefix?: readonly string[]
  readonly json?: boolean
}

/** 256 bits: nobody guesses it, so one round of SHA-256 is enough of a hash. */
const SECRET_BYTES = 32

export function keysCommand(): Command {
  const command = new Command('keys').description('make API keys')
  const create = new Command('create')
    .description('make a key, and the line that the configuration takes')
    .argument('<name>', 'of the key, as histories show it')
    .addOption(new Option('--role <role>', 'what it may do').choices(ROLES).default('read'))
    .option('--prefix <prefix...>', 'only indexes whose names begin with one of these')
    .option('--json', 'print the result as JSON')
    .addHelpText(
      'after',
      `
Put the line into [auth] keys of lakehouse.toml, or into VECTORD_AUTH_KEYS, and start the service
again. To take a key back, take its line out.

Examples:
  vectord keys create ops --role admin
  vectord keys create shop --role write --prefix shop- test-shop-`,
    )
    .action(createKey)
  return command.addCommand(create)
}

function createKey(name: string, { role, prefix, json }: CreateOptions): void {
  const key = `vectord_${randomBytes(SECRET_BYTES).toString('base64url')}`
  const prefixes = prefix === undefined ? '' : `:${prefix.join('|')}`
  const line = `${name}:${role}:${hash('sha256', key)}${prefixes}`
  checkLine(line)
  if (json === true) {
    printJson({ name, role, prefixes: prefix ?? null, key, line })
    return
  }
  say('The key. It is shown now and never again:')
  print(key)
  say('The line for the configuration, [auth] keys:')
  print(line)
}

/** The service judges the line by the same rules. */
function checkLine(line: string): void {
  try {
    parseApiKeys([line])
  } catch (error) {
    if (!(error instanceof VectordError)) throw error
    throw new UsageError('A name or a prefix has characters other than letters, digits, _ and -.')
  }
}
