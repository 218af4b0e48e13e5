/**
 * `vectord recall`: how good the answers of an index are, as measured on real searches.
 */

import { Command } from 'commander'
import type { LiveRecall } from '../client/types.ts'
import { clientOf, remote, type RemoteOptions } from './remote.ts'
import { print, printJson, table, type Cell } from './terminal.ts'

export function recallCommand(): Command {
  const command = new Command('recall')
    .description('tell the measured recall of searches')
    .argument('<index>')
    .addHelpText(
      'after',
      `
Examples:
  vectord recall films
  vectord recall films --json`,
    )
    .action(recall)
  return remote(command)
}

async function recall(index: string, options: RemoteOptions): Promise<void> {
  const report = await clientOf(options).index(index).tuning.recall()
  if (options.json === true) {
    printJson(report)
    return
  }
  const { goal, status, window } = report.recall_slo
  const ef = report.ef === null ? 'chosen by k' : String(report.ef)
  print(`goal ${goal}: ${status}, by ${window.samples} samples; ef ${ef} (${report.ef_source})`)
  if (report.strata.length === 0) return
  const headings = ['k', 'filter', 'samples', 'recall', 'from', 'to', 'ef', 'status']
  print(table(headings, report.strata.map(row)))
}

function row(stratum: LiveRecall['strata'][number]): readonly Cell[] {
  const [from, to] = stratum.interval
  const { k_bucket: k, filter_bucket: filter, n, recall: share, ef, status, alarm } = stratum
  return [k, filter, n, share, from, to, ef, alarm ? `${status}, alarm` : status]
}
