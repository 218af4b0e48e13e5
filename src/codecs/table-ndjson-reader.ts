/**
 * NDJSON files as tables: an object a line, its fields the columns.
 *
 * The file is read twice: first the types are found, so that they hold for all rows, then the cells.
 * Integers are exact to 64 bits. A field that a row does not have is null.
 */

import { basename } from 'node:path'
import type { Cell, Column, TableBatch } from '../domain/table.ts'
import { VectordError } from '../lib/errors.ts'
import { ColumnGuess } from './column-guess.ts'
import { RowBatcher } from './row-batcher.ts'
import { corruptFile, tableFault } from './table-fault.ts'
import type { TableReadOptions, TableSource } from './table-source.ts'
import { type TextLine, textLines } from './text-lines.ts'
import { parseTimestamp } from './timestamp-text.ts'

/** Of a text format: objects whose fields are keys of their own would make a column of each. */
const COLUMNS_MAX = 10_000

export async function openNdjsonTable(
  path: string,
  { batchRows, signal }: TableReadOptions,
): Promise<TableSource> {
  const guesses = new Map<string, ColumnGuess>()
  let rows = 0
  for await (const group of rowsOf(path, signal)) {
    rows += group.length
    for (const { line, row } of group) {
      for (const name of Object.keys(row)) look(guesses, { path, line, name, value: row[name] })
    }
  }
  if (rows > 0 && guesses.size === 0) throw corruptFile(path, {}, 'its objects have no fields')
  if (rows === 0) throw corruptFile(path, {}, 'it has no rows, which would tell its columns')
  const columns = [...guesses].map(([name, guess]) => guess.column(name))
  return {
    columns,
    rows,
    batches: () => readBatches(path, columns, { batchRows, signal }),
    close: () => Promise.resolve(),
  }
}

interface Found {
  readonly path: string
  readonly line: number
  readonly name: string
  readonly value: unknown
}

function look(guesses: Map<string, ColumnGuess>, { path, line, name, value }: Found): void {
  const guess = guesses.get(name) ?? new ColumnGuess()
  if (!guesses.has(name)) {
    checkColumnCount(guesses.size + 1, line)
    guesses.set(name, guess)
  }
  if (value === null) return
  if (isBeyondDoubles(value)) throw tooLarge(path, { line, name })
  const vector = vectorOf(value)
  if (vector === null) see(guess, value)
  else if (!guess.seeVector(vector)) {
    throw uneven(path, { line, name }, [vector.length, guess.dimension])
  }
}

/** @throws {VectordError} `limit_exceeded` */
export function checkColumnCount(columns: number, line: number): void {
  if (columns <= COLUMNS_MAX) return
  throw new VectordError('limit_exceeded', `The file has over ${COLUMNS_MAX} columns.`, {
    details: { max: COLUMNS_MAX, line },
  })
}

function see(guess: ColumnGuess, value: unknown): void {
  if (typeof value === 'boolean') guess.see('boolean')
  else if (typeof value === 'string') {
    guess.see(parseTimestamp(value) === null ? 'text' : 'timestamp')
  } else if (typeof value === 'number') seeNumber(guess, value)
  else if (isExact(value)) guess.seeInteger(BigInt(value.rawJSON))
  else guess.see('text')
}

function seeNumber(guess: ColumnGuess, value: number): void {
  if (Number.isInteger(value)) guess.seeInteger(value)
  else guess.see('float')
}

/** JSON has no infinity: this was a number with more digits or a larger exponent. */
function isBeyondDoubles(value: unknown): boolean {
  const number = isExact(value) ? Number(value.rawJSON) : value
  return number === Infinity || number === -Infinity
}

function tooLarge(path: string, { line, name }: Omit<Found, 'path' | 'value'>): VectordError {
  const message = `Column "${name}" of "${basename(path)}" at line ${line}: a number is larger than a float64.`
  return new VectordError('invalid_value', message, { details: { line, column: name } })
}

/** @param lengths of this vector, and of those before. */
export function uneven(
  path: string,
  { line, name }: { readonly line: number; readonly name: string },
  [length, expected]: readonly [number, number],
): VectordError {
  const problem = `a vector has ${length} numbers instead of ${expected}`
  const message = `Column "${name}" at line ${line}: ${problem}.`
  return new VectordError('invalid_value', message, { details: { line, column: name } })
}

async function* readBatches(
  path: string,
  columns: readonly Column[],
  { batchRows, signal }: TableReadOptions,
): AsyncGenerator<TableBatch, undefined> {
  const rows = new RowBatcher(columns, batchRows)
  for await (const group of rowsOf(path, signal)) {
    for (const { row } of group) {
      const full = rows.add((column) =>
        cellOf(column, Object.hasOwn(row, column.name) ? row[column.name] : null),
      )
      if (full !== null) yield full
    }
  }
  const last = rows.rest()
  if (last !== null) yield last
}

/** The value fits: all values of the column were looked at. */
function cellOf({ type }: Column, value: unknown): Cell {
  if (value === null || value === undefined) return null
  switch (type) {
    case 'utf8':
      return typeof value === 'string' ? value : JSON.stringify(value)
    case 'int64':
      return isExact(value) ? BigInt(value.rawJSON) : BigInt(value as number)
    case 'float64':
      return isExact(value) ? Number(value.rawJSON) : (value as number)
    case 'vector':
      return Float32Array.from(vectorOf(value) ?? [])
    case 'timestamp':
      return parseTimestamp(value as string)
    default:
      return value as Cell
  }
}

/** Numbers of a list that has nothing else, and at least one; null for any other value. */
function vectorOf(value: unknown): readonly number[] | null {
  if (!Array.isArray(value) || value.length === 0) return null
  if (value.every((item) => typeof item === 'number')) return value
  const numbers = value.map((item: unknown) => (isExact(item) ? Number(item.rawJSON) : item))
  return numbers.every((item) => typeof item === 'number') ? numbers : null
}

interface Row {
  readonly line: number
  readonly row: Readonly<Record<string, unknown>>
}

/** Rows as they come, in groups. */
async function* rowsOf(
  path: string,
  signal: AbortSignal,
): AsyncGenerator<readonly Row[], undefined> {
  try {
    for await (const lines of textLines(path)) {
      signal.throwIfAborted()
      yield lines.map((line) => ({ line: line.number, row: parseLine(path, line) }))
    }
  } catch (error) {
    if (signal.aborted) throw error
    throw tableFault(path, {}, error)
  }
}

function parseLine(path: string, { number, text }: TextLine): Row['row'] {
  let row: unknown
  try {
    row = LONG_INTEGER.test(text) ? parseExactly(text) : JSON.parse(text)
  } catch (cause) {
    throw corruptFile(path, { line: number }, 'it is no JSON', cause)
  }
  const isObject = typeof row === 'object' && row !== null && !Array.isArray(row) && !isExact(row)
  if (!isObject) throw corruptFile(path, { line: number }, 'it is no JSON object')
  return row as Row['row']
}

/** An integer that a float64 may not hold; in a text it does no harm. */
const LONG_INTEGER = /(?:^|[[,:\s])-?\d{16,}\s*(?:[,}\]]|$)/

/** An integer that is no safe number keeps its digits; it is written as JSON as it was read. */
interface ExactInteger {
  readonly rawJSON: string
}

/** As much of ECMAScript's JSON as its types here do not know. */
const json = JSON as unknown as {
  parse(
    text: string,
    reviver: (key: string, value: unknown, context: { readonly source?: string }) => unknown,
  ): unknown
  rawJSON(text: string): ExactInteger
  isRawJSON(value: unknown): boolean
}

function isExact(value: unknown): value is ExactInteger {
  return json.isRawJSON(value)
}

function parseExactly(text: string): unknown {
  return json.parse(text, (_key, value, { source }) => {
    if (typeof value !== 'number' || Number.isSafeInteger(value) || source === undefined)
      return value
    return /^-?\d+$/.test(source) ? json.rawJSON(source) : value
  })
}
