/**
 * The lattice from coarse to fine: the middle, then the quarters, then what lies between them.
 */

import { affordableCells } from './affordable-cells.ts'
import { soundHistory } from './measured-trial.ts'
import { baselineProposal, type Proposal, type ProposalInput, type Proposer } from './proposer.ts'
import { latticeCells, type Cell } from './search-space.ts'

export const gridProposer: Proposer = {
  propose(input: ProposalInput): Proposal | null {
    const history = soundHistory(input.history)
    if (history.length === 0) return baselineProposal(input)
    const { cells } = affordableCells(input, history)
    const all = latticeCells(input.bounds, input.options.lattice)
    const rankM = coarseness(all.map(({ m }) => m))
    const rankEf = coarseness(all.map(({ efConstruction }) => efConstruction))
    const keyOf = ({ m, efConstruction }: Cell): number =>
      Math.max(rankM.get(m) ?? 0, rankEf.get(efConstruction) ?? 0)
    const next = cells.toSorted((a, b) => keyOf(a) - keyOf(b))[0]
    if (next === undefined) return null
    return {
      config: { ...input.current, ...next, efSearch: null },
      explain: { mode: 'grid', len: input.len, level: keyOf(next), cells: cells.length },
    }
  },
}

/** How often an axis is halved until a value is one of its middles. */
function coarseness(values: readonly number[]): ReadonlyMap<number, number> {
  const axis = [...new Set(values)].sort((a, b) => a - b)
  const levels = new Map<number, number>()
  const halve = (low: number, high: number, level: number): void => {
    if (low > high) return
    const middle = Math.floor((low + high) / 2)
    levels.set(axis[middle] ?? 0, level)
    halve(low, middle - 1, level + 1)
    halve(middle + 1, high, level + 1)
  }
  halve(0, axis.length - 1, 0)
  return levels
}
