/**
 * What a command says: its result on standard output, everything else on standard error.
 *
 * Text of a service or a file is shown with its control characters spelled out: a name must not move
 * the cursor of whoever reads it.
 */

import { createInterface } from 'node:readline/promises'

/** Widest cell of a table, in characters. */
const CELL_CHARS_MAX = 60

export function print(text: string): void {
  process.stdout.write(`${text}\n`)
}

export function printJson(value: unknown): void {
  print(JSON.stringify(value))
}

/** For people: progress, hints, errors. */
export function say(text: string): void {
  process.stderr.write(`${text}\n`)
}

/** The text with control characters, and what turns the direction of writing, spelled out. */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, (character) => {
    return `\\u${(character.codePointAt(0) ?? 0).toString(16).padStart(4, '0')}`
  })
}

export type Cell = string | number | null | undefined

/** Columns under their headings; numbers stand to the right. */
export function table(headings: readonly string[], rows: readonly (readonly Cell[])[]): string {
  const texts = rows.map((row) => row.map(cellText))
  const widths = headings.map((heading, i) =>
    Math.max(heading.length, ...texts.map((row) => row[i]?.length ?? 0)),
  )
  const isNumeric = headings.map((_, i) => rows.every((row) => typeof (row[i] ?? 0) === 'number'))
  const line = (row: readonly string[]): string =>
    row
      .map((text, i) =>
        isNumeric[i] ? text.padStart(widths[i] ?? 0) : text.padEnd(widths[i] ?? 0),
      )
      .join('  ')
      .trimEnd()
  return [headings, ...texts].map(line).join('\n')
}

function cellText(cell: Cell): string {
  if (cell === null || cell === undefined) return '-'
  if (typeof cell === 'number') {
    return Number.isInteger(cell) ? String(cell) : String(Number(cell.toPrecision(6)))
  }
  const text = printable(cell)
  return text.length > CELL_CHARS_MAX ? `${text.slice(0, CELL_CHARS_MAX - 1)}…` : text
}

/** True where somebody can be asked. */
export function isInteractive(): boolean {
  return process.stdin.isTTY && process.stderr.isTTY
}

/** Asks on the terminal; anything but yes is no. */
export async function confirm(question: string): Promise<boolean> {
  const lines = createInterface({ input: process.stdin, output: process.stderr })
  try {
    return /^y(es)?$/i.test((await lines.question(`${question} [y/N] `)).trim())
  } finally {
    lines.close()
  }
}

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const

export function bytesText(bytes: number): string {
  let amount = bytes
  let unit = 0
  while (amount >= 1024 && unit < UNITS.length - 1) {
    amount /= 1024
    unit++
  }
  return `${unit === 0 ? amount : amount.toFixed(1)} ${UNITS[unit] ?? ''}`
}
