/**
 * The graphs that are left to try: on the lattice, not tried yet, within the limits.
 */

import type { Trial } from '../domain/trial.ts'
import { buildForecast } from './build-forecast.ts'
import type { ProposalInput } from './proposer.ts'
import {
  cellKey,
  latticeCells,
  predictedMemoryBytes,
  triedCells,
  type Cell,
} from './search-space.ts'

export interface AffordableCells {
  readonly cells: readonly Cell[]
  /** Cells that were not tried because they are forecast to exceed a limit. */
  readonly excluded: number
}

/** `history` has been read by `soundHistory`. A limit binds only where its forecast is known. */
export function affordableCells(
  { bounds, options, statistics }: ProposalInput,
  history: readonly Trial[],
): AffordableCells {
  const { memoryBytes, buildCpuS } = options.limits
  const data = statistics ?? history[0]?.epoch
  const forecast = buildForecast(history)
  const tried = triedCells(history)
  const left = latticeCells(bounds, options.lattice).filter((cell) => !tried.has(cellKey(cell)))
  const cells = left.filter((cell) => {
    const bytes = data === undefined ? 0 : predictedMemoryBytes(cell.m, data)
    const seconds = forecast?.(cell) ?? 0
    return bytes <= (memoryBytes ?? Infinity) && seconds <= (buildCpuS ?? Infinity)
  })
  return { cells, excluded: left.length - cells.length }
}
