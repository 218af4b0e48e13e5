/**
 * Any graph that was not built yet, each as likely: what every other strategy has to beat.
 */

import { splitmix32 } from '../lib/splitmix32.ts'
import { affordableCells } from './affordable-cells.ts'
import { soundHistory } from './measured-trial.ts'
import { baselineProposal, type Proposal, type ProposalInput, type Proposer } from './proposer.ts'

export const randomProposer: Proposer = {
  propose(input: ProposalInput): Proposal | null {
    const history = soundHistory(input.history)
    if (history.length === 0) return baselineProposal(input)
    const { cells } = affordableCells(input, history)
    const random = splitmix32(input.len, input.options.seedSalt)
    const cell = cells[Math.floor(random() * cells.length)]
    if (cell === undefined) return null
    return {
      config: { ...input.current, ...cell, efSearch: null },
      explain: { mode: 'random', len: input.len, rng_seed: input.len, cells: cells.length },
    }
  },
}
