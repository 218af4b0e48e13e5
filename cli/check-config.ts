/**
 * `vectord check-config`: whether the service would start with a configuration, and if not, why.
 *
 * The environment is read as the service reads it: a variable that overrides the file is checked too.
 */

import { Command } from 'commander'
import { loadConfig } from '../src/config/load.ts'
import { checkListen, parseApiKeys } from '../src/http/auth.ts'
import { hasCode } from '../src/lib/errors.ts'
import { EXIT } from './exit-codes.ts'
import { print, printable, printJson } from './terminal.ts'

interface CheckOptions {
  readonly json?: boolean
}

export function checkConfigCommand(): Command {
  return new Command('check-config')
    .description('check a configuration without starting anything')
    .argument('[file]', 'else VECTORD_CONFIG, else ./lakehouse.toml')
    .option('--json', 'print the result as JSON')
    .addHelpText(
      'after',
      `
Examples:
  vectord check-config
  vectord check-config /etc/vectord/lakehouse.toml --json`,
    )
    .action(check)
}

function check(file: string | undefined, { json = false }: CheckOptions): void {
  try {
    const { env } = process
    const config = loadConfig({
      ...(file !== undefined && { path: file }),
      env,
      cwd: process.cwd(),
    })
    checkListen(config.server.host, parseApiKeys(config.auth.keys))
    if (json) printJson({ valid: true })
    else print('The configuration is valid.')
  } catch (error) {
    if (!hasCode(error, 'invalid_config')) throw error
    process.exitCode = EXIT.usage
    const { code, message, details } = error
    if (json) printJson({ valid: false, error: { code, message, details } })
    else print(printable(message))
  }
}
