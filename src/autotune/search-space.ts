/**
 * What can be tried: graphs on a lattice of m and efConstruction, within configured bounds.
 *
 *     m               4    6    8    12   16   24   32   48   64
 *     efConstruction  16   32   48   64   96   128  200  300  400  600  800
 *
 * Both axes are even in their logarithm, because recall and cost answer to ratios. hnswlib builds
 * one graph for every efConstruction below m, so such cells are left out: one name for one graph.
 * ef is not an axis: it is solved for on each built graph (ef-solver.ts).
 */

import {
  canonicalKey,
  effectiveEfConstruction,
  type DatasetEpoch,
  type Trial,
} from '../domain/trial.ts'
import type { HnswConfig } from '../domain/hnsw-config.ts'

export const LATTICE_M: readonly number[] = [4, 6, 8, 12, 16, 24, 32, 48, 64]
export const LATTICE_EF_CONSTRUCTION: readonly number[] = [
  16, 32, 48, 64, 96, 128, 200, 300, 400, 600, 800,
]

/** Smallest and largest value, both allowed. */
export type Range = readonly [number, number]

export interface SearchBounds {
  readonly m: Range
  readonly efConstruction: Range
  readonly efSearch: Range
}

export interface Lattice {
  readonly m: readonly number[]
  readonly efConstruction: readonly number[]
}

/** What a graph may cost; null where there is no limit. */
export interface GraphLimits {
  readonly memoryBytes: number | null
  readonly buildCpuS: number | null
}

/** One graph of the lattice. */
export interface Cell {
  readonly m: number
  readonly efConstruction: number
}

export const DEFAULT_BOUNDS: SearchBounds = {
  m: [4, 64],
  efConstruction: [10, 400],
  efSearch: [10, 200],
}

export const DEFAULT_LATTICE: Lattice = {
  m: LATTICE_M,
  efConstruction: LATTICE_EF_CONSTRUCTION,
}

/** Cells within the bounds, ascending by m, then by efConstruction. */
export function latticeCells(bounds: SearchBounds, lattice: Lattice = DEFAULT_LATTICE): Cell[] {
  return lattice.m
    .filter((m) => isWithin(m, bounds.m))
    .flatMap((m) =>
      lattice.efConstruction
        .filter((efConstruction) => efConstruction >= m)
        .filter((efConstruction) => isWithin(efConstruction, bounds.efConstruction))
        .map((efConstruction) => ({ m, efConstruction })),
    )
}

export function isWithin(value: number, [low, high]: Range): boolean {
  return value >= low && value <= high
}

export function clamp(value: number, [low, high]: Range): number {
  return Math.min(high, Math.max(low, value))
}

/** The name of the graph that is built, with the ef that hnswlib will use for k results. */
export function canonical(config: HnswConfig, k: number): HnswConfig {
  return {
    ...config,
    efConstruction: effectiveEfConstruction(config),
    efSearch: config.efSearch === null ? null : Math.max(k, config.efSearch),
  }
}

/** Equal for configurations that build one graph and search it alike. */
export function pointKey(config: HnswConfig, k: number): string {
  const { efSearch } = canonical(config, k)
  return `${canonicalKey(config)},ef_search=${efSearch ?? 'solved'}`
}

export function cellKey({ m, efConstruction }: Cell): string {
  return `${m},${Math.max(m, efConstruction)}`
}

/** Keys of every graph that was proposed, in whatever state its trial ended. */
export function triedCells(history: readonly Trial[]): Set<string> {
  return new Set(history.map(({ config }) => cellKey(config)))
}

/** A point of the lattice as coordinates in which distances mean something. */
export function logPoint({ m, efConstruction }: Cell): readonly [number, number] {
  return [Math.log2(m), Math.log2(Math.max(m, efConstruction))]
}

/**
 * Octaves between two cells. A step along m counts more than one along efConstruction, as costs
 * change faster along it.
 */
export function cellDistance(a: Cell, b: Cell): number {
  const [am, ae] = logPoint(a)
  const [bm, be] = logPoint(b)
  return Math.hypot((am - bm) / LENGTH_M, (ae - be) / LENGTH_EF_CONSTRUCTION)
}

/** Octaves over which costs stay alike: the length scales of the Gaussian process. */
export const LENGTH_M = 1.3
export const LENGTH_EF_CONSTRUCTION = 1.6

/** The cell nearest to `target`, the first one where several are; null where there is none. */
export function nearestCell(cells: readonly Cell[], target: Cell): Cell | null {
  let nearest: Cell | null = null
  let distance = Infinity
  for (const cell of cells) {
    const next = cellDistance(cell, target)
    if (next >= distance) continue
    nearest = cell
    distance = next
  }
  return nearest
}

/** Cells one lattice step away from `center` along one axis, among `cells`. */
export function latticeNeighbours(center: Cell, cells: readonly Cell[]): Cell[] {
  const ms = [...new Set(cells.map(({ m }) => m))].sort((a, b) => a - b)
  const efs = [...new Set(cells.map((cell) => cell.efConstruction))].sort((a, b) => a - b)
  const step = (values: readonly number[], from: number, to: number): boolean =>
    Math.abs(values.indexOf(from) - values.indexOf(to)) === 1 && values.includes(from)
  return cells.filter(
    ({ m, efConstruction }) =>
      (m === center.m && step(efs, center.efConstruction, efConstruction)) ||
      (efConstruction === center.efConstruction && step(ms, center.m, m)),
  )
}

/** Bytes of the graph file of hnswlib; right to 0.04 % on the files it was fitted to. */
export function predictedFileBytes(
  m: number,
  data: Pick<DatasetEpoch, 'points' | 'dimension'>,
): number {
  const { points, dimension } = data
  return points * (8 * m + 16 + 4 * dimension) + (points * (4 * m + 4)) / (m - 1)
}

/** Pointer, level, mutex and label of an element; locks of labels of an index. */
const RAM_BYTES_ELEMENT = 100
const RAM_BYTES_INDEX = 2_600_000

/** Bytes that the graph takes while it is served. */
export function predictedMemoryBytes(
  m: number,
  data: Pick<DatasetEpoch, 'points' | 'dimension'>,
): number {
  return predictedFileBytes(m, data) + RAM_BYTES_ELEMENT * data.points + RAM_BYTES_INDEX
}
