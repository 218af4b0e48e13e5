/**
 * `vectord promote` and `vectord rollback`: another configuration becomes the one in force.
 *
 * Both show what would change and ask back. What was shown is what is changed: where somebody else was
 * quicker, the service refuses.
 */

import { Command } from 'commander'
import type { Client } from '../client/client.ts'
import type { ConfigChanged, Promoted, Promotion } from '../client/types.ts'
import { UsageError } from './exit-codes.ts'
import { clientOf, positiveInteger, remote, type RemoteOptions } from './remote.ts'
import { confirm, isInteractive, print, printJson, say, table } from './terminal.ts'

type Config = Promotion['config']

interface StepOptions extends RemoteOptions {
  readonly yes?: boolean
  readonly note?: string
  readonly lazy?: boolean
}

interface PromoteOptions extends StepOptions {
  readonly ef?: number
}

interface RollbackOptions extends StepOptions {
  readonly forward?: boolean
}

export function promoteCommand(): Command {
  const command = new Command('promote')
    .description('make the configuration of a trial the one in force')
    .argument('<index>')
    .argument('<trial>', 'its id, as `vectord tune` tells it')
    .option('--ef <number>', 'of searches; that of the trial where left out', positiveInteger)
    .addHelpText(
      'after',
      `
Examples:
  vectord promote films 0192f3a1
  vectord promote films 0192f3a1 --ef 48
  vectord promote films 0192f3a1 --yes --lazy --note 'measured on Monday'`,
    )
    .action(promote)
  return remote(steps(command))
}

export function rollbackCommand(): Command {
  const command = new Command('rollback')
    .description('go back to the configuration before')
    .argument('<index>')
    .option('--forward', 'take the last rollback back')
    .addHelpText(
      'after',
      `
Examples:
  vectord rollback films
  vectord rollback films --forward --yes`,
    )
    .action(rollback)
  return remote(steps(command))
}

function steps(command: Command): Command {
  return command
    .option('-y, --yes', 'do not ask back')
    .option('--note <text>', 'for the history')
    .option('--lazy', 'leave the graph to the next build')
}

async function promote(index: string, trialId: string, options: PromoteOptions): Promise<void> {
  const client = clientOf(options)
  const { tuning } = client.index(index)
  const [promoted, trial] = await Promise.all([tuning.promoted(), tuning.getTrial(trialId)])
  const from = promoted.current?.config ?? (await ofCreation(client, index))
  const { ef } = options
  const to = ef === undefined ? trial.config : { ...trial.config, ef_search: ef }
  await askBack(`Promote this for "${index}"?`, { from, to }, options)
  const asked = {
    ...{ ...stepOf(options), ifRevision: promoted.revision },
    ...(ef !== undefined && { ef }),
  }
  tell(index, await tuning.promote(trialId, asked), options)
}

async function rollback(index: string, options: RollbackOptions): Promise<void> {
  const client = clientOf(options)
  const { tuning } = client.index(index)
  const promoted = await tuning.promoted()
  const creation = await ofCreation(client, index)
  const from = promoted.current?.config ?? creation
  const isForward = options.forward === true
  const to = targetOf(promoted, isForward) ?? creation
  const word = isForward ? 'forward' : 'back'
  await askBack(`Go ${word} to this for "${index}"?`, { from, to }, options)
  const asked = { ...stepOf(options), ifRevision: promoted.revision }
  const changed = isForward ? await tuning.rollForward(asked) : await tuning.rollback(asked)
  tell(index, changed, options)
}

function targetOf({ history, redo }: Promoted, isForward: boolean): Config | undefined {
  return (isForward ? redo : history).at(-1)?.config
}

async function ofCreation(client: Client, index: string): Promise<Config> {
  const { hnsw } = await client.indexes.get(index)
  return hnsw
}

function stepOf({ note, lazy }: StepOptions): { note?: string; rebuild?: 'lazy' } {
  return { ...(note !== undefined && { note }), ...(lazy === true && { rebuild: 'lazy' }) }
}

/** @throws {UsageError} where the answer is no, or nobody can be asked. */
async function askBack(
  question: string,
  { from, to }: { readonly from: Config; readonly to: Config },
  { yes, json, quiet }: StepOptions,
): Promise<void> {
  if (json !== true && quiet !== true) say(difference(from, to))
  if (yes === true) return
  if (!isInteractive()) throw new UsageError('There is no terminal to ask back on: say --yes.')
  if (!(await confirm(question))) throw new UsageError('Nothing was changed.')
}

function difference(from: Config, to: Config): string {
  const fields = ['m', 'ef_construction', 'ef_search', 'seed'] as const
  const shown = (value: number | null): string => (value === null ? 'chosen' : String(value))
  const rows = fields.map((field) => {
    const isSame = from[field] === to[field]
    return [field, shown(from[field]), shown(to[field]), isSame ? '' : '←']
  })
  return table(['', 'now', 'then', ''], rows)
}

function tell(index: string, changed: ConfigChanged, { json }: StepOptions): void {
  if (json === true) {
    printJson(changed)
    return
  }
  for (const warning of changed.warnings) say(`Warning: ${warning}`)
  const of = changed.current === null ? 'its creation' : `trial ${changed.current.trial_id}`
  const build = changed.operation_id === null ? '' : ` A graph is built: ${changed.operation_id}.`
  print(`"${index}" has the configuration of ${of}, revision ${changed.revision}.${build}`)
}
