/**
 * `vectord search`: the nearest points, as a table or as JSON.
 */

import { readFile } from 'node:fs/promises'
import { text as readAll } from 'node:stream/consumers'
import { Command, Option } from 'commander'
import type { Hit, SearchQuery } from '../client/types.ts'
import { UsageError } from './exit-codes.ts'
import { filterOption, parseJson } from './json-input.ts'
import { clientOf, positiveInteger, remote, type RemoteOptions } from './remote.ts'
import { print, printJson, say, table } from './terminal.ts'

interface SearchOptions extends RemoteOptions {
  readonly vector?: string
  readonly text?: string
  readonly id?: string
  readonly mode?: string
  readonly k: number
  readonly ef?: number
  readonly filter?: Record<string, unknown>
  readonly exact?: boolean
  readonly include?: string
}

export function searchCommand(): Command {
  const command = new Command('search')
    .description('find the nearest points')
    .argument('<index>')
    .option('--vector <json>', 'numbers as a JSON array, @file, or - for standard input')
    .option('--text <text>', 'by meaning or by words')
    .option('--id <id>', 'what resembles a stored point')
    .addOption(
      new Option('--mode <mode>', 'how a text is searched').choices([
        'vector',
        'keyword',
        'hybrid',
      ]),
    )
    .option('-k, --k <number>', 'how many', positiveInteger, 10)
    .option('--ef <number>', 'candidates that the graph looks at', positiveInteger)
    .option('--filter <json>', 'condition on metadata', filterOption)
    .option('--exact', 'compare with every point')
    .option('--include <list>', 'metadata, text, vector, highlights', 'metadata')
    .addHelpText(
      'after',
      `
Examples:
  vectord search films --vector '[0.1, 0.9, 0.3]' -k 5
  vectord search films --vector @query.json --filter '{"year": {"$gte": 2020}}' --json
  vectord search films --text 'a heist in space' --mode hybrid
  vectord search films --id tt0111161`,
    )
    .action(search)
  return remote(command)
}

async function search(index: string, options: SearchOptions): Promise<void> {
  const { k, ef, filter, exact, text, id } = options
  const query = {
    ...{ k, include: (options.include ?? '').split(',').filter((word) => word !== '') },
    ...(options.vector !== undefined && { vector: await vectorOf(options.vector) }),
    ...(text !== undefined && { text }),
    ...(id !== undefined && { id }),
    ...(options.mode !== undefined && { mode: options.mode }),
    ...(ef !== undefined && { ef }),
    ...(filter !== undefined && { filter }),
    ...(exact === true && { exact }),
  } as SearchQuery
  const result = await clientOf(options).index(index).search(query)
  if (options.json === true) {
    printJson({ ...result, results: result.results.map(plainHit) })
    return
  }
  print(table(['#', 'id', 'score', 'distance', 'metadata', 'text'], result.results.map(row)))
  const { path, ef_used: efUsed, took_ms: tookMs } = result
  say(`${result.results.length} points by ${path}, ef ${efUsed}, in ${tookMs.toFixed(1)} ms`)
}

function row(hit: Hit, place: number): readonly (string | number | null)[] {
  const metadata = hit.metadata === undefined ? null : JSON.stringify(hit.metadata)
  return [place + 1, hit.id, hit.score, hit.distance, metadata, hit.text ?? null]
}

/** JSON has no typed arrays. */
function plainHit({ vector, ...hit }: Hit): object {
  return vector === undefined ? hit : { ...hit, vector: vector && [...vector] }
}

async function vectorOf(given: string): Promise<readonly number[]> {
  const vector = parseJson(await textOf(given), '--vector')
  if (Array.isArray(vector) && vector.length > 0 && vector.every((n) => typeof n === 'number')) {
    return vector
  }
  throw new UsageError('--vector must be a JSON array of numbers, @file or -.')
}

async function textOf(given: string): Promise<string> {
  if (given === '-') return readAll(process.stdin)
  if (!given.startsWith('@')) return given
  try {
    return await readFile(given.slice(1), 'utf8')
  } catch {
    throw new UsageError(`The file ${given.slice(1)} cannot be read.`)
  }
}
