/**
 * CSV files (RFC 4180) as tables: a header row, commas, quotes, CRLF or LF, UTF-8 with or without a
 * byte order mark.
 *
 * The file is read twice: first the types are found, so that they hold for all rows, then the cells.
 * An empty field is null. Of a column of texts a quoted empty field is an empty text.
 */

import { createReadStream } from 'node:fs'
import { CsvError, parse, type Options, type Parser } from 'csv-parse'
import type { Cell, Column, TableBatch } from '../domain/table.ts'
import { ColumnGuess } from './column-guess.ts'
import { RowBatcher } from './row-batcher.ts'
import { corruptFile, tableFault } from './table-fault.ts'
import { checkColumnCount, uneven } from './table-ndjson-reader.ts'
import type { TableReadOptions, TableSource } from './table-source.ts'
import { LINE_BYTES_MAX } from './text-lines.ts'
import { parseTimestamp } from './timestamp-text.ts'

export async function openCsvTable(
  path: string,
  { batchRows, signal }: TableReadOptions,
): Promise<TableSource> {
  const finder = new ColumnFinder(path)
  for await (const records of recordsOf(path, signal)) finder.look(records)
  const columns = finder.columns()
  return {
    columns,
    rows: finder.rows,
    batches: () => readBatches(path, columns, { batchRows, signal }),
    close: () => Promise.resolve(),
  }
}

class ColumnFinder {
  /** Without the header. */
  rows = 0
  readonly #path: string
  #names: readonly string[] | null = null
  #guesses: readonly ColumnGuess[] = []

  constructor(path: string) {
    this.#path = path
  }

  look(records: readonly CsvRecord[]): void {
    for (const { line, fields } of records) {
      if (this.#names === null) {
        this.#names = namesOf(this.#path, fields)
        this.#guesses = this.#names.map(() => new ColumnGuess())
        continue
      }
      this.rows += 1
      for (const [at, guess] of this.#guesses.entries()) {
        const name = this.#names[at] ?? ''
        look(guess, fields[at] ?? null, { path: this.#path, line, name })
      }
    }
  }

  columns(): readonly Column[] {
    const names = this.#names
    if (names === null) throw corruptFile(this.#path, {}, 'it has no header row')
    return this.#guesses.map((guess, at) => guess.column(names[at] ?? ''))
  }
}

/** A column without a name gets its place, from 1: so pandas writes the index of a frame. */
function namesOf(path: string, fields: readonly (string | null)[]): readonly string[] {
  checkColumnCount(fields.length, 1)
  const names = fields.map((field, at) =>
    field === null || field === '' ? `column_${at + 1}` : field,
  )
  const twice = names.find((name, at) => names.indexOf(name) !== at)
  if (twice !== undefined) {
    throw corruptFile(path, { line: 1 }, `it has two columns "${twice.slice(0, NAME_CHARS)}"`)
  }
  if (names.some((name) => OLD_LINE_END.test(name))) {
    throw corruptFile(path, { line: 1 }, 'its lines end in a CR without an LF')
  }
  return names
}

/** Of a name that an error repeats. */
const NAME_CHARS = 200
/** Of a file whose lines end so the header would be the whole file. */
const OLD_LINE_END = /\r(?!\n)/

const BOOLEAN = /^(?:true|false)$/i
const INTEGER = /^-?(?:0|[1-9]\d*)$/
const FLOAT = /^-?(?:(?:0|[1-9]\d*)(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?$/
const NOT_FINITE = new Map([
  ['NaN', NaN],
  ['Infinity', Infinity],
  ['-Infinity', -Infinity],
])

interface Place {
  readonly path: string
  readonly line: number
  readonly name: string
}

function look(guess: ColumnGuess, text: string | null, { path, line, name }: Place): void {
  if (text === null || text === '') return
  if (INTEGER.test(text) && Number.isFinite(Number(text))) {
    guess.seeInteger(integerOf(text))
    return
  }
  const vector = vectorOf(text)
  if (vector !== null) {
    if (!guess.seeVector(vector))
      throw uneven(path, { line, name }, [vector.length, guess.dimension])
    return
  }
  guess.see(kindOf(text))
}

function kindOf(text: string): 'boolean' | 'float' | 'timestamp' | 'text' {
  if (BOOLEAN.test(text)) return 'boolean'
  if (isFloat(text)) return 'float'
  return parseTimestamp(text) === null ? 'text' : 'timestamp'
}

function isFloat(text: string): boolean {
  // A number that no float64 holds stays the text that it is.
  return NOT_FINITE.has(text) || (FLOAT.test(text) && Number.isFinite(Number(text)))
}

function integerOf(text: string): number | bigint {
  const value = Number(text)
  return Number.isSafeInteger(value) ? value : BigInt(text)
}

/** A JSON array of numbers, or null. */
function vectorOf(text: string): number[] | null {
  if (!text.startsWith('[') || !text.endsWith(']')) return null
  try {
    const value: unknown = JSON.parse(text)
    if (!Array.isArray(value) || value.length === 0) return null
    return value.every((item) => typeof item === 'number') ? value : null
  } catch {
    return null // It is a text that only looks like one.
  }
}

async function* readBatches(
  path: string,
  columns: readonly Column[],
  { batchRows, signal }: TableReadOptions,
): AsyncGenerator<TableBatch, undefined> {
  const rows = new RowBatcher(columns, batchRows)
  let isHeader = true
  for await (const records of recordsOf(path, signal)) {
    for (const { fields } of records) {
      const full = isHeader ? null : rows.add((column, at) => cellOf(column, fields[at] ?? null))
      isHeader = false
      if (full !== null) yield full
    }
  }
  const last = rows.rest()
  if (last !== null) yield last
}

/** The text fits: all of the column were looked at. */
function cellOf({ type }: Column, text: string | null): Cell {
  if (text === null) return null
  if (type === 'utf8') return text
  if (text === '') return null
  switch (type) {
    case 'boolean':
      return text.toLowerCase() === 'true'
    case 'int64':
      return BigInt(text)
    case 'int32':
    case 'float64':
      return NOT_FINITE.get(text) ?? Number(text)
    case 'timestamp':
      return parseTimestamp(text)
    case 'vector':
      return Float32Array.from(vectorOf(text) ?? [])
    case 'binary':
      return null // No text is taken for bytes.
  }
}

interface CsvRecord {
  /** Where it ends. */
  readonly line: number
  /** Null where there is nothing, not even quotes. */
  readonly fields: readonly (string | null)[]
}

const CHUNK_BYTES = 256 * 1024
const LINE_FEED = 10

const OPTIONS: Options = {
  bom: true,
  info: true,
  skip_empty_lines: true,
  record_delimiter: ['\r\n', '\n'],
  max_record_size: LINE_BYTES_MAX,
  cast: (value, { quoting }) => (value === '' && !quoting ? null : value),
}

/** Records as they come, in groups: each by itself costs as much as parsing it. */
async function* recordsOf(
  path: string,
  signal: AbortSignal,
): AsyncGenerator<readonly CsvRecord[], undefined> {
  const parser = parse(OPTIONS)
  // What it tells is looked for where it is fed.
  parser.on('error', () => undefined)
  try {
    for await (const chunk of soundChunks(path)) {
      signal.throwIfAborted()
      parser.write(chunk)
      yield readAll(parser)
    }
    parser.end()
    const rest: CsvRecord[] = []
    for await (const parsed of parser) rest.push(toRecord(parsed))
    yield rest
  } catch (error) {
    if (signal.aborted) throw error
    throw csvFault(path, error)
  } finally {
    parser.destroy()
  }
}

/** What is left behind an error is told first. */
function readAll(parser: Parser): readonly CsvRecord[] {
  const records: CsvRecord[] = []
  for (let parsed: unknown = parser.read(); parsed !== null; parsed = parser.read()) {
    records.push(toRecord(parsed))
  }
  if (parser.errored) throw parser.errored
  return records
}

function toRecord(parsed: unknown): CsvRecord {
  const { info, record } = parsed as {
    readonly info: { readonly lines: number }
    readonly record: readonly (string | null)[]
  }
  return { line: info.lines, fields: record }
}

/** Bytes that are no UTF-8 would be replaced silently. */
async function* soundChunks(path: string): AsyncGenerator<Buffer, undefined> {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  let line = 1
  const check = (chunk: Buffer, isLast: boolean): void => {
    try {
      decoder.decode(chunk, { stream: !isLast })
    } catch (cause) {
      throw corruptFile(path, { line }, 'about here it is no UTF-8', cause)
    }
  }
  for await (const part of createReadStream(path, { highWaterMark: CHUNK_BYTES })) {
    const chunk = part as Buffer
    check(chunk, false)
    for (let at = chunk.indexOf(LINE_FEED); at >= 0; at = chunk.indexOf(LINE_FEED, at + 1))
      line += 1
    yield chunk
  }
  // Half of a letter may be left.
  check(NO_BYTES, true)
}

const NO_BYTES = Buffer.alloc(0)

function csvFault(path: string, error: unknown): Error {
  if (!(error instanceof CsvError)) return tableFault(path, {}, error)
  const { lines } = error as { readonly lines?: unknown }
  const place = typeof lines === 'number' ? { line: lines } : {}
  return corruptFile(path, place, PROBLEMS[error.code] ?? 'it is no CSV', error)
}

const PROBLEMS: Partial<Record<string, string>> = {
  CSV_RECORD_INCONSISTENT_FIELDS_LENGTH: 'it has another number of fields than the header',
  CSV_QUOTE_NOT_CLOSED: 'a quote is not closed before the file ends',
  CSV_INVALID_CLOSING_QUOTE: 'something follows a closing quote',
  INVALID_OPENING_QUOTE: 'a quote stands within a field that has none around it',
  CSV_NON_TRIMABLE_CHAR_AFTER_CLOSING_QUOTE: 'something follows a closing quote',
  CSV_MAX_RECORD_SIZE: `it is longer than ${LINE_BYTES_MAX} bytes`,
}
