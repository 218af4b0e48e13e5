/**
 * The journal that the epsilon proposer made when it was first released.
 *
 * Whoever replays a journal must come to the proposals that it holds. When this one changes, every
 * stored journal stops being reproducible: do not record it again, give the strategy a new name.
 *
 *     node test/support/golden-journal.ts > test/fixtures/autotune/epsilon-1.jsonl
 */

import { chooseChampion } from '../../src/autotune/champion.ts'
import { epsilonProposer } from '../../src/autotune/epsilon-proposer.ts'
import { DEFAULT_OPTIONS } from '../../src/autotune/proposer.ts'
import { DEFAULT_BOUNDS } from '../../src/autotune/search-space.ts'
import { canonicalKey, type CurvePoint, type Trial } from '../../src/domain/trial.ts'
import type { HnswConfig } from '../../src/domain/hnsw-config.ts'
import { CONFIG, point, trial } from './tuner-trials.ts'

const TRIALS = 60
const GOAL = 0.95

/** A line for each proposal: the key of its graph, its configuration and why. */
export function goldenJournal(): string {
  const history: Trial[] = []
  const lines: string[] = []
  for (let seq = 0; seq < TRIALS; seq += 1) {
    const champion = chooseChampion(history, {
      ...{ objective: 'slo', goal: GOAL, current: CONFIG, costNoise: 0.02 },
    })
    const proposal = epsilonProposer.propose({
      ...{ history, len: seq, champion: champion?.trial ?? null, current: CONFIG, goal: GOAL },
      ...{ bounds: DEFAULT_BOUNDS, options: DEFAULT_OPTIONS },
    })
    if (proposal === null) break
    const { config } = proposal
    lines.push(JSON.stringify({ seq, canonical_key: canonicalKey(config), ...proposal }))
    history.push(trial({ seq, config, curve: [measured(config)] }))
  }
  return `${lines.join('\n')}\n`
}

/** Numbers that any machine works out alike: no transcendental functions. */
function measured({ efConstruction, efSearch }: HnswConfig): CurvePoint {
  const ef = efSearch ?? 10
  const recall = 1 - 2 / ef - 1 / efConstruction
  return point({ ef, recall, cpuUs: ef + efConstruction / 100 })
}

if (import.meta.main) process.stdout.write(goldenJournal())
