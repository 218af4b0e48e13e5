/**
 * Journals and questions made by seed, for properties of proposers.
 */

import { chooseChampion } from '../../src/autotune/champion.ts'
import { DEFAULT_OPTIONS, type ProposalInput } from '../../src/autotune/proposer.ts'
import {
  DEFAULT_BOUNDS,
  LATTICE_EF_CONSTRUCTION,
  LATTICE_M,
} from '../../src/autotune/search-space.ts'
import { TRIAL_STATES, type Trial } from '../../src/domain/trial.ts'
import { splitmix32 } from '../../src/lib/splitmix32.ts'
import { CONFIG, point, trial } from './tuner-trials.ts'

const TRIALS_MAX = 40
const GOAL = 0.95

/** A question over a journal of up to 40 trials. */
export function randomInput(seed: number): ProposalInput {
  const random = splitmix32(seed, 99)
  const history = Array.from({ length: Math.floor(random() * TRIALS_MAX) }, (_, seq) =>
    randomTrial(seq, random),
  )
  const champion = chooseChampion(history, {
    ...{ objective: 'slo', goal: GOAL, current: CONFIG, costNoise: 0 },
  })
  return {
    history,
    len: history.length,
    champion: champion?.trial ?? null,
    current: CONFIG,
    goal: GOAL,
    bounds: DEFAULT_BOUNDS,
    options:
      random() < 0.5 ? DEFAULT_OPTIONS : { ...DEFAULT_OPTIONS, axes: ['m'], epsilon: random() },
  }
}

function randomTrial(seq: number, random: () => number): Trial {
  const oneOf = <T>(values: readonly T[], otherwise: T): T =>
    values[Math.floor(random() * values.length)] ?? otherwise
  const m = oneOf(LATTICE_M, 16)
  const efConstruction = Math.max(m, Math.min(400, oneOf(LATTICE_EF_CONSTRUCTION, 200)))
  const efSearch = random() < 0.3 ? null : 10 + Math.floor(random() * 191)
  const curve = [10, 20, 40, 80].map((ef) =>
    point({ ef, recall: Math.min(1, 0.8 + random() * 0.2), cpuUs: ef * (1 + random()) }),
  )
  const state = random() < 0.8 ? 'completed' : oneOf(TRIAL_STATES, 'failed')
  return trial({ seq, config: { m, efConstruction, efSearch }, curve, state })
}
