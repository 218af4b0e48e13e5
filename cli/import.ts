/**
 * `vectord import`: points from lines of JSON, a file or standard input, into an index; tables of other
 * formats are handed to `import-table.ts`.
 *
 * Lines are read no faster than points are written. Where it stops it says from which line to go on:
 * everything before that line is durable.
 */

import { Command, Option } from 'commander'
import { ImportError } from '../client/errors.ts'
import type { TableFormat } from '../client/table-files.ts'
import type { PointInput } from '../client/types.ts'
import { vectorFromBase64, type VectorInput } from '../client/vectors.ts'
import { UsageError } from './exit-codes.ts'
import { importTable, type TableOptions } from './import-table.ts'
import { isObject, parseJson } from './json-input.ts'
import { readLines } from './lines.ts'
import { startProgress } from './progress.ts'
import { clientOf, interruptible, positiveInteger, remote } from './remote.ts'
import { openSource, type Source, TABLE_FORMATS, tableFormatOf } from './source.ts'
import { print, printJson } from './terminal.ts'

interface ImportOptions extends TableOptions {
  readonly format?: TableFormat
  readonly fromLine: number
  readonly batch: number
  readonly concurrency: number
}

export function importCommand(): Command {
  const command = new Command('import')
    .description('write points from lines of JSON, or from a table')
    .argument('<index>')
    .argument('[file]', 'one point a line, or a table; - or nothing reads standard input')
    .option('--from-line <number>', 'go on at this line', positiveInteger, 1)
    .option('--batch <points>', 'points of a request', positiveInteger, 500)
    .option('--concurrency <number>', 'requests at once', positiveInteger, 4)
    .addOption(
      new Option(
        '--format <name>',
        'a table; the ending of the file says it, except for ndjson',
      ).choices(TABLE_FORMATS),
    )
    .option('--id-column <name>', 'of a table', 'id')
    .option('--vector-column <name>', 'of a table')
    .option('--text-column <name>', 'of a table')
    .option('--metadata-columns <names>', 'of a table, divided by commas; else all others', names)
    .option('--skip-bad-rows', 'of a table: leave out what is no point, and list it')
    .addHelpText(
      'after',
      `
A line: {"id": "a", "vector": [0.1, 0.9], "text": "…", "metadata": {…}}; the vector may be base64 of
little-endian float32, and may be left out where the index has an embedder.

Examples:
  vectord import films films.ndjson
  vectord import films films.ndjson --from-line 120001
  zcat films.ndjson.gz | vectord import films
  vectord import films films.parquet --id-column film --vector-column embedding`,
    )
    .action(importFile)
  return remote(command)
}

async function importFile(
  index: string,
  file = '-',
  options: ImportOptions,
  command: Command,
): Promise<void> {
  const format = options.format ?? tableFormatOf(file)
  const [stray] = (format === null ? OF_TABLES : OF_LINES).filter(
    (name) => command.getOptionValueSource(name) === 'cli',
  )
  if (stray !== undefined) {
    const what = format === null ? 'a table; these are lines of JSON' : 'lines of JSON'
    throw new UsageError(`--${kebabOf(stray)} is for ${what}.`)
  }
  const source = await openSource(file)
  if (format === null) await importLines(index, source, options)
  else await importTable(index, { source, format }, options)
}

async function importLines(index: string, source: Source, options: ImportOptions): Promise<void> {
  const progress = startProgress({ unit: 'bytes', quiet: options.quiet === true })
  const places = new Places(options.fromLine)
  let end = 0
  const points = async function* (): AsyncGenerator<PointInput> {
    for await (const line of readLines(source.bytes)) {
      ;({ end } = line)
      if (line.number < options.fromLine || line.text.trim() === '') continue
      const point = pointOf(line.text, line.number)
      places.add(line.number)
      yield point
    }
  }
  try {
    const done = await interruptible((signal) =>
      clientOf(options)
        .index(index)
        .import(points(), {
          ...{ signal, batchPoints: options.batch, concurrency: options.concurrency },
          onProgress: ({ accepted }) => {
            progress.update({ done: end, total: source.bytesTotal, note: `${accepted} points` })
          },
        }),
    )
    progress.stop()
    const { accepted, lsn } = done
    if (options.json === true) printJson({ index, accepted, lsn, lines: places.next - 1 })
    else print(`${accepted} points are in "${index}", up to lsn ${lsn}.`)
  } catch (error) {
    progress.stop()
    throw error instanceof ImportError ? stopped(error, places) : error
  }
}

/** Options of the one and of the other, as commander calls them. */
const OF_LINES = ['fromLine', 'batch', 'concurrency']
const OF_TABLES = ['idColumn', 'vectorColumn', 'textColumn', 'metadataColumns', 'skipBadRows']

function kebabOf(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
}

function names(text: string): string[] {
  return text.split(',').map((name) => name.trim())
}

/** The error with the line to go on from in the place of a number of points. */
function stopped(error: ImportError, places: Places): ImportError {
  const resumeAt = places.lineOf(error.resumeAt)
  const cause = error.cause instanceof Error ? error.cause.message : String(error.cause)
  const told = new ImportError(error.cause, { resumeAt, accepted: error.accepted })
  const before = resumeAt === 1 ? 'Nothing' : `Everything before line ${resumeAt}`
  told.message = `${cause} ${before} is durable: go on with --from-line ${resumeAt}.`
  return told
}

const FIELDS = ['id', 'vector', 'text', 'metadata']

function pointOf(text: string, line: number): PointInput {
  const point = parseJson(text, `Line ${line}`)
  if (!isObject(point)) throw new UsageError(`Line ${line} is no JSON object.`)
  const foreign = Object.keys(point).find((field) => !FIELDS.includes(field))
  if (foreign !== undefined) {
    throw new UsageError(`Line ${line} has a field "${foreign}"; a point has ${FIELDS.join(', ')}.`)
  }
  const { id, vector, ...rest } = point
  if (typeof id !== 'string' || id === '') throw new UsageError(`Line ${line} has no "id".`)
  const numbers = vector === undefined || vector === null ? null : vectorOf(vector, line)
  // What else may be wrong is told by the service, which knows the index.
  return { id, ...(numbers !== null && { vector: numbers }), ...rest }
}

function vectorOf(vector: unknown, line: number): VectorInput {
  if (Array.isArray(vector) && vector.every((n) => typeof n === 'number')) return vector
  try {
    if (typeof vector === 'string') return vectorFromBase64(vector)
  } catch {
    // Told below.
  }
  throw new UsageError(`The "vector" in line ${line} is neither numbers nor base64 of float32.`)
}

/** Which line each point stands in; blank lines hold none. */
class Places {
  /** Points from `point` on stand `shift` lines further down than their number. */
  readonly #shifts: { readonly point: number; readonly shift: number }[] = []
  #points = 0
  /** The line after that of the last point. */
  next: number

  constructor(fromLine: number) {
    this.next = fromLine
  }

  add(line: number): void {
    const shift = line - this.#points
    if (this.#shifts.at(-1)?.shift !== shift) this.#shifts.push({ point: this.#points, shift })
    this.#points += 1
    this.next = line + 1
  }

  lineOf(point: number): number {
    if (point >= this.#points) return this.next
    return point + (this.#shifts.findLast((shift) => shift.point <= point)?.shift ?? 1)
  }
}
