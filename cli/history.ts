/**
 * `vectord history`: every change of the configuration of an index, newest first.
 */

import { Command } from 'commander'
import type { AuditEntry } from '../client/types.ts'
import { clientOf, positiveInteger, remote, type RemoteOptions } from './remote.ts'
import { print, printJson, table, type Cell } from './terminal.ts'

interface HistoryOptions extends RemoteOptions {
  readonly limit: number
}

export function historyCommand(): Command {
  const command = new Command('history')
    .description('list the changes of the configuration, newest first')
    .argument('<index>')
    .option('-n, --limit <number>', 'how many', positiveInteger, 20)
    .addHelpText(
      'after',
      `
Examples:
  vectord history films
  vectord history films -n 1 --json`,
    )
    .action(history)
  return remote(command)
}

async function history(index: string, options: HistoryOptions): Promise<void> {
  const entries: AuditEntry[] = []
  for await (const entry of clientOf(options).index(index).tuning.history()) {
    entries.push(entry)
    if (entries.length === options.limit) break
  }
  if (options.json === true) printJson({ index, entries })
  else if (entries.length === 0) print(`The configuration of "${index}" was never changed.`)
  else print(table(['rev', 'at', 'what', 'by', 'configuration', 'note'], entries.map(row)))
}

function row({ revision, at, kind, by, current, note }: AuditEntry): readonly Cell[] {
  const config = current?.config
  const text =
    config === undefined
      ? 'of the creation'
      : `m ${config.m}, efc ${config.ef_construction}, ef ${config.ef_search ?? 'chosen'}`
  return [revision, at, kind, by, text, note]
}
