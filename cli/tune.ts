/**
 * `vectord tune`: tries a grid of configurations and promotes the best that holds the recall.
 *
 * Control-C cancels the work on the service too.
 */

import { Command, Option } from 'commander'
import type { Client } from '../client/client.ts'
import { VectordApiError } from '../client/errors.ts'
import type { WaitOptions } from '../client/operations.ts'
import type { TuneOutcome } from '../client/types.ts'
import { startProgress } from './progress.ts'
import { clientOf, interruptible, positiveInteger, remote, share } from './remote.ts'
import type { RemoteOptions } from './remote.ts'
import { print, printJson, table, type Cell } from './terminal.ts'

interface TuneOptions extends RemoteOptions {
  readonly eval?: string
  readonly minRecall: number
  readonly objective: 'recall_first' | 'slo'
  readonly queries: number
  readonly k: number
}

type Trial = TuneOutcome['trials'][number]

/** A name has 128 characters at the most. */
const INDEX_CHARS_MAX = 123

export function tuneCommand(): Command {
  const command = new Command('tune')
    .description('try a grid of configurations and promote the best')
    .argument('<index>')
    .option('--eval <name>', 'eval set; else one named <index>-tune, made where it is not there')
    .option('--min-recall <share>', 'floor that the winner holds', share, 0.9)
    .addOption(
      new Option('--objective <word>', 'the highest recall, or the cheapest search above the floor')
        .choices(['recall_first', 'slo'])
        .default('recall_first'),
    )
    .option('--queries <number>', 'of an eval set that is made', positiveInteger, 1000)
    .option('-k, --k <number>', 'neighbours, of an eval set that is made', positiveInteger, 10)
    .addHelpText(
      'after',
      `
Examples:
  vectord tune films
  vectord tune films --min-recall 0.97 --objective slo --eval films-live`,
    )
    .action(tune)
  return remote(command)
}

async function tune(index: string, options: TuneOptions): Promise<void> {
  const client = clientOf(options)
  const progress = startProgress({ unit: 'steps', quiet: options.quiet === true })
  const wait: WaitOptions = {
    onProgress: ({ stage, state, done, total }) => {
      progress.update({ done: done ?? 0, total, note: stage ?? state })
    },
  }
  const outcome = await interruptible(async (signal) => {
    const set = await evalSet(client, index, { ...options, wait: { ...wait, signal } })
    const request = { eval: set, min_recall: options.minRecall, objective: options.objective }
    return client.index(index).tuning.autotune(request, { ...wait, signal })
  }).finally(() => {
    progress.stop()
  })
  if (options.json === true) printJson(outcome)
  else show(index, outcome)
}

async function evalSet(
  client: Client,
  index: string,
  options: TuneOptions & { readonly wait: WaitOptions },
): Promise<string> {
  if (options.eval !== undefined) return options.eval
  const name = `${index.slice(0, INDEX_CHARS_MAX)}-tune`
  const there = await client.evals.get(name).catch((error: unknown) => {
    if (error instanceof VectordApiError && error.code === 'eval_not_found') return null
    throw error
  })
  const isUsable = there?.state === 'ready' && there.index === index && there.stale !== true
  const { k, queries, wait } = options
  if (!isUsable || there.k !== k) await client.evals.generate(name, { index, k, queries }, wait)
  return name
}

function show(index: string, { trials, winner, reason, promotion }: TuneOutcome): void {
  const headings = ['trial', 'm', 'efc', 'state', 'ef', 'recall', 'at least', 'CPU µs']
  print(table(headings, trials.map(row)))
  if (winner === null) print(`Nothing was promoted: ${reason ?? 'no reason was told'}`)
  else print(`"${index}" has the configuration of trial ${winner}.`)
  const build = promotion?.operation_id ?? null
  if (build !== null) print(`Its graph is built: ${build}.`)
}

function row({ trial_id: id, config, state, reason, boundaries }: Trial): readonly Cell[] {
  const best = boundaries.flatMap(({ held_out: point }) => (point === null ? [] : [point])).at(-1)
  const { m, ef_construction: efConstruction } = config
  const shown = reason === null ? state : `${state}: ${reason}`
  const measured = [best?.ef, best?.recall, best?.recall_lcb, best?.cpu_us]
  return [id, m, efConstruction, shown, ...measured]
}
