/**
 * What a benchmark prints: progress on stderr while it runs, then a table or one JSON object.
 */

import { parseArgs } from 'node:util'
import { machine, type Machine } from './machine.ts'

export interface Options {
  readonly json: boolean
  /** A tenth of the rows: shows that the benchmark works, not what the service can do. */
  readonly quick: boolean
  /** Measures on a real S3 server as well, where the benchmark can. */
  readonly s3: boolean
  /** Folder for CPU profiles of the service's processes, or null. */
  readonly profile: string | null
}

/** One promise of the product and what became of it in this run. */
export interface Target {
  readonly name: string
  readonly value: number
  readonly bound: number
  readonly kind: 'at_least' | 'at_most'
}

export interface Report {
  readonly bench: string
  readonly parameters: Readonly<Record<string, string | number | boolean>>
  /** Tables by title; a table is rows of the same columns. */
  readonly tables: Readonly<Record<string, readonly Row[]>>
  readonly targets: readonly Target[]
  readonly notes: readonly string[]
}

export type Row = Readonly<Record<string, string | number | null>>

export function readOptions(): Options {
  const { values } = parseArgs({
    options: {
      json: { type: 'boolean', default: false },
      quick: { type: 'boolean', default: false },
      s3: { type: 'boolean', default: false },
      profile: { type: 'string' },
    },
  })
  return { json: values.json, quick: values.quick, s3: values.s3, profile: values.profile ?? null }
}

export function progress(text: string): void {
  process.stderr.write(`${text}\n`)
}

export function print(report: Report, options: Options): void {
  const hardware = machine()
  const targets = report.targets.map((target) => ({ ...target, met: isMet(target) }))
  if (options.json) {
    const whole = { ...report, quick: options.quick, at: new Date().toISOString(), hardware }
    process.stdout.write(`${JSON.stringify({ ...whole, targets })}\n`)
    return
  }
  const lines = [
    `bench ${report.bench}${options.quick ? ' (quick: too small to judge the service by)' : ''}`,
    hardwareLine(hardware),
    sharedLine(hardware),
    ...Object.entries(report.parameters).map(([name, value]) => `  ${name}: ${value}`),
    ...Object.entries(report.tables).flatMap(([title, rows]) => ['', title, ...tableLines(rows)]),
    '',
    ...targets.map((target) => targetLine(target)),
    ...report.notes.map((note) => `note: ${note}`),
  ]
  process.stdout.write(`${lines.join('\n')}\n`)
}

function hardwareLine(hardware: Machine): string {
  const { cpu, cores, memoryGib, instructionSet, node, os, disk, commit } = hardware
  return (
    `${cpu}, ${cores} cores, ${memoryGib} GiB, addon ${instructionSet}, Node ${node}, ${os}, ` +
    `disk ${disk}, commit ${commit}`
  )
}

function sharedLine({ othersCores, stolenCores, cores }: Machine): string {
  return (
    `meanwhile other processes used ${othersCores.toFixed(2)} of the ${cores} cores, ` +
    `the host took ${stolenCores.toFixed(2)}`
  )
}

function isMet({ kind, value, bound }: Target): boolean {
  return kind === 'at_least' ? value >= bound : value <= bound
}

function targetLine(target: Target): string {
  const sign = target.kind === 'at_least' ? '>=' : '<='
  const verdict = isMet(target) ? 'met   ' : 'MISSED'
  return `${verdict} ${target.name}: ${shown(target.value)} (target ${sign} ${target.bound})`
}

function tableLines(rows: readonly Row[]): string[] {
  const columns = Object.keys(rows[0] ?? {})
  const cells = [columns, ...rows.map((row) => columns.map((column) => shown(row[column] ?? null)))]
  const widths = columns.map((_, i) => Math.max(...cells.map((line) => line[i]?.length ?? 0)))
  return cells.map((line) => `  ${line.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join('  ')}`)
}

/** Four digits that count, as a person reads them. */
function shown(value: string | number | null): string {
  if (value === null) return '-'
  if (typeof value === 'string' || Number.isInteger(value)) return String(value)
  if (Math.abs(value) >= 1000) return String(Math.round(value))
  return String(Number(value.toPrecision(4)))
}
