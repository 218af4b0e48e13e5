/**
 * Recorded surfaces: every graph of a lattice, built once and measured at many ef.
 *
 * A CSV has a row for each (M, efC, ef): the mean recall of 400 queries on set A (tune) and of 400
 * others on set B (held out), distances computed for a query (sdc), its CPU time (scpu_us) and the CPU
 * time of the build. A replay on it costs microseconds where a build costs minutes, and is the same
 * on every machine.
 */

import { globSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { meanRecallLowerBound } from './mean-recall-bound.ts'

/** Of each set, as recorded. */
export const SURFACE_QUERIES = 400
export const SURFACE_K = 10

export type CostColumn = 'sdc' | 'scpu_us'

export interface SurfaceRow {
  readonly ef: number
  readonly recallA: number
  readonly recallB: number
  /** Lower bound of the recall on A. */
  readonly lcbA: number
  readonly p10: number
  readonly cost: Readonly<Record<CostColumn, number>>
}

export interface SurfaceCell {
  readonly m: number
  readonly efConstruction: number
  readonly buildCpuS: number
  /** Ascending in ef. */
  readonly rows: readonly SurfaceRow[]
}

export interface Surface {
  readonly name: string
  readonly points: number
  readonly cells: readonly SurfaceCell[]
}

const COLUMNS = 'ds n M efC ef buildcpu recallA recallB sdc scpu_us p10'.split(' ')

/** Every CSV of a folder, by name. @throws when there is none or one is not a surface. */
export function readSurfaces(folder: string): Surface[] {
  const files = globSync(join(folder, '*.csv')).sort()
  if (files.length === 0) throw new Error(`${folder} holds no surface (*.csv)`)
  return files.flatMap((file) => parseSurfaces(readFileSync(file, 'utf8'), basename(file, '.csv')))
}

/** One surface for each number of points in the file. */
export function parseSurfaces(csv: string, name: string): Surface[] {
  const [head = '', ...lines] = csv.trim().split(/\r?\n/)
  const columns = head.split(',').map((column) => column.trim())
  const missing = COLUMNS.filter((column) => !columns.includes(column))
  if (missing.length > 0) throw new Error(`${name}: no column ${missing.join(', ')}`)
  const rows = lines.map((line, i) => {
    const values = line.split(',')
    return (column: string): number => {
      const text = values[columns.indexOf(column)]?.trim() ?? ''
      const value = Number(text)
      if (text === '' || !Number.isFinite(value)) {
        throw new Error(`${name}, line ${i + 2}: ${column} is not a number`)
      }
      return value
    }
  })
  const bySize = Map.groupBy(rows, (row) => row('n'))
  return [...bySize].map(([points, group]) => ({
    name: bySize.size === 1 ? name : `${name} n=${points}`,
    points,
    cells: cellsOf(group),
  }))
}

type ReadRow = (column: string) => number

function cellsOf(rows: readonly ReadRow[]): SurfaceCell[] {
  const byCell = Map.groupBy(rows, (row) => `${row('M')},${row('efC')}`)
  return [...byCell.values()].map((group) => {
    const [first] = group
    return {
      m: first?.('M') ?? 0,
      efConstruction: first?.('efC') ?? 0,
      buildCpuS: first?.('buildcpu') ?? 0,
      rows: group.map(surfaceRow).sort((a, b) => a.ef - b.ef),
    }
  })
}

function surfaceRow(row: ReadRow): SurfaceRow {
  const recallA = row('recallA')
  return {
    ef: row('ef'),
    recallA,
    recallB: row('recallB'),
    lcbA: meanRecallLowerBound({ recall: recallA, queries: SURFACE_QUERIES, k: SURFACE_K }),
    p10: row('p10'),
    cost: { sdc: row('sdc'), scpu_us: row('scpu_us') },
  }
}

/** The cost of the cheapest row whose bound meets the goal; null where none does. */
export function oracleCost(surface: Surface, goal: number, column: CostColumn): number | null {
  const costs = surface.cells
    .flatMap(({ rows }) => rows)
    .filter(({ lcbA }) => lcbA >= goal)
    .map(({ cost }) => cost[column])
  return costs.length === 0 ? null : Math.min(...costs)
}
