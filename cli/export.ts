/**
 * `vectord export`: all points of an index, one a line, as `vectord import` reads them; or as a table,
 * of one lsn, which the service writes.
 *
 * A file appears under its name only when it is whole and on the disk.
 */

import { once } from 'node:events'
import { open, rename, rm } from 'node:fs/promises'
import { Command, Option } from 'commander'
import type { IndexHandle } from '../client/index-handle.ts'
import type { TableFormat } from '../client/table-files.ts'
import type { Include, Point } from '../client/types.ts'
import { vectorToBase64 } from '../client/vectors.ts'
import { UsageError } from './exit-codes.ts'
import { filterOption } from './json-input.ts'
import { startProgress } from './progress.ts'
import { clientOf, interruptible, remote, type RemoteOptions } from './remote.ts'
import { TABLE_FORMATS, tableFormatOf } from './source.ts'
import { print, printJson } from './terminal.ts'

interface ExportOptions extends RemoteOptions {
  readonly output?: string
  readonly filter?: Record<string, unknown>
  readonly format?: TableFormat
  readonly vectors: 'array' | 'base64' | 'none'
}

/** Lines are handed on in pieces of about this many characters. */
const PIECE_CHARS = 2 ** 18

export function exportCommand(): Command {
  const command = new Command('export')
    .description('read all points as lines of JSON, or as a table')
    .argument('<index>')
    .option('-o, --output <file>', 'else standard output')
    .option('--filter <json>', 'only points whose metadata match', filterOption)
    .addOption(
      new Option('--vectors <form>', 'how vectors are written')
        .choices(['array', 'base64', 'none'])
        .default('array'),
    )
    .addOption(
      new Option(
        '--format <name>',
        'a table; the ending of the file says it, except for ndjson',
      ).choices(TABLE_FORMATS),
    )
    .addHelpText(
      'after',
      `
Examples:
  vectord export films -o films.ndjson
  vectord export films --vectors base64 | gzip > films.ndjson.gz
  vectord export films --filter '{"year": 2020}' --vectors none
  vectord export films -o films.parquet`,
    )
    .action(exportIndex)
  return remote(command)
}

async function exportIndex(name: string, options: ExportOptions): Promise<void> {
  const format = options.format ?? tableFormatOf(options.output ?? '')
  if (format === null) await exportLines(name, options)
  else await exportTable(name, format, options)
}

async function exportTable(
  name: string,
  format: TableFormat,
  { output, filter, vectors, ...options }: ExportOptions,
): Promise<void> {
  if (vectors === 'base64') throw new UsageError('--vectors base64 is for lines of JSON.')
  const index = clientOf(options).index(name)
  const progress = startProgress({ unit: 'bytes', quiet: options.quiet === true })
  const report = { bytes: 0, lsn: 0 }
  const counted = async function* (signal: AbortSignal): AsyncGenerator<Uint8Array> {
    const wanted = { format, includeVectors: vectors !== 'none', signal }
    const file = await index.exportFile({ ...wanted, ...(filter !== undefined && { filter }) })
    report.lsn = file.lsn
    for await (const piece of file.bytes) {
      report.bytes += piece.length
      progress.update({ done: report.bytes, total: null })
      yield piece
    }
  }
  try {
    await interruptible((signal) =>
      output === undefined ? toStdout(counted(signal)) : toFile(output, counted(signal)),
    )
  } finally {
    progress.stop()
  }
  if (output === undefined) return
  if (options.json === true) printJson({ index: name, ...report, file: output })
  else print(`"${name}" up to lsn ${report.lsn} is in ${output}: ${report.bytes} bytes.`)
}

async function exportLines(name: string, options: ExportOptions): Promise<void> {
  const index = clientOf(options).index(name)
  const progress = startProgress({ unit: 'points', quiet: options.quiet === true })
  const report = { points: 0, total: (await index.health()).points }
  try {
    await interruptible(async (signal) => {
      const pieces = piecesOf(linesOf(index, options, signal), () => {
        report.points += 1
        progress.update({ done: report.points, total: report.total })
      })
      await (options.output === undefined ? toStdout(pieces) : toFile(options.output, pieces))
    })
  } finally {
    progress.stop()
  }
  if (options.output === undefined) return
  if (options.json === true) printJson({ index: name, points: report.points, file: options.output })
  else print(`${report.points} points of "${name}" are in ${options.output}.`)
}

async function* linesOf(
  index: IndexHandle,
  { vectors, filter }: ExportOptions,
  signal: AbortSignal,
): AsyncGenerator<string> {
  const include: Include[] = [
    'metadata',
    'text',
    ...(vectors === 'none' ? [] : ['vector' as const]),
  ]
  const scroll = { include, signal, ...(filter !== undefined && { filter }) }
  for await (const point of index.scroll(scroll)) yield lineOf(point, vectors)
}

function lineOf({ id, vector, text, metadata }: Point, form: ExportOptions['vectors']): string {
  const numbers = vector && (form === 'base64' ? vectorToBase64(vector) : [...vector])
  return JSON.stringify({
    id,
    ...(numbers && { vector: numbers }),
    ...((text ?? null) !== null && { text }),
    ...((metadata ?? null) !== null && { metadata }),
  })
}

async function* piecesOf(lines: AsyncIterable<string>, onLine: () => void): AsyncGenerator<string> {
  let piece = ''
  for await (const line of lines) {
    piece += `${line}\n`
    onLine()
    if (piece.length < PIECE_CHARS) continue
    yield piece
    piece = ''
  }
  if (piece !== '') yield piece
}

async function toStdout(pieces: AsyncIterable<string | Uint8Array>): Promise<void> {
  for await (const piece of pieces) {
    if (!process.stdout.write(piece)) await once(process.stdout, 'drain')
  }
}

async function toFile(path: string, pieces: AsyncIterable<string | Uint8Array>): Promise<void> {
  const partial = `${path}.partial`
  const handle = await open(partial, 'w').catch((error: unknown) => {
    throw new UsageError(`The file ${path} cannot be written.`, { cause: error })
  })
  try {
    for await (const piece of pieces) await handle.appendFile(piece)
    await handle.sync()
    await handle.close()
    await rename(partial, path)
  } catch (error) {
    await handle.close().catch(() => undefined)
    await rm(partial, { force: true })
    throw error
  }
}
