/**
 * The tree of commands. Each has a file of its own; `vectord completion` is made from this tree.
 */

import { Command } from 'commander'
import manifest from '../package.json' with { type: 'json' }
import { bucketsCommand } from './buckets.ts'
import { checkConfigCommand } from './check-config.ts'
import { completionCommand } from './completion.ts'
import { doctorCommand } from './doctor.ts'
import { exportCommand } from './export.ts'
import { historyCommand } from './history.ts'
import { importCommand } from './import.ts'
import { keysCommand } from './keys.ts'
import { promoteCommand, rollbackCommand } from './promote.ts'
import { recallCommand } from './recall.ts'
import { searchCommand } from './search.ts'
import { serveCommand } from './serve.ts'
import { tuneCommand } from './tune.ts'

const EXIT_CODES = `
Exit codes:
  0  done                         1  refused or failed; doctor: damage found
  2  wrong command line or input  3  no answer from the service or the bucket
  4  no key, or not allowed       5  doctor: a server holds the folder
  130  interrupted`

export function buildProgram(): Command {
  const program = new Command('vectord')
    .description('A vector index service that keeps its indexes in your buckets.')
    .version(manifest.version, '--version', 'print the version')
    .helpOption('-h, --help', 'print help')
    .showHelpAfterError('(vectord --help tells more)')
    .addHelpText('after', EXIT_CODES)
    .exitOverride()
  const commands = [
    ...[serveCommand(), checkConfigCommand(), searchCommand(), importCommand(), exportCommand()],
    ...[tuneCommand(), promoteCommand(), rollbackCommand(), historyCommand(), recallCommand()],
    ...[bucketsCommand(), keysCommand(), doctorCommand()],
    completionCommand(() => program),
  ]
  for (const command of commands) program.addCommand(inherit(command))
  return program
}

/** Commander hands these settings on only to commands that it makes itself. */
function inherit(command: Command): Command {
  command.helpOption('-h, --help', 'print help').exitOverride()
  command.showHelpAfterError(`(${fullName(command)} --help tells more)`)
  for (const inner of command.commands) inherit(inner)
  return command
}

function fullName(command: Command): string {
  const outer = command.parent
  return `${outer === null ? 'vectord' : fullName(outer)} ${command.name()}`
}
