/**
 * The keys of `[agent]`: what holds for the autotune agent of every index that has no settings of
 * its own. They are a part of the table in `schema.ts`.
 */

import { bool, choice, int, number, texts } from './key-kinds.ts'

export const AGENT_KEYS = {
  enabled: bool(
    false,
    'Whether the agent works after a start; POST /vectors/agent/start starts it too.',
  ),
  mode: choice(
    'off',
    ['off', 'observe', 'recommend', 'auto'],
    'What the agent may do: nothing, measure, propose to a person, or change the configuration.',
  ),
  strategy: choice(
    'structured',
    ['structured', 'epsilon', 'grid', 'random'],
    'How the next configuration is chosen.',
  ),
  objective: choice(
    'slo',
    ['slo', 'recall_first'],
    'The best trial: the cheapest that meets min_recall, or the one with the most recall.',
  ),
  axes: texts(['ef_construction', 'ef_search'], {
    pattern: /^(ef_construction|ef_search|m)$/,
    form: '"ef_construction", "ef_search" or "m"',
    effect: 'What the epsilon strategy moves.',
  }),
  epsilon: number(0.25, [0, 1], 'share', 'Share of proposals of epsilon that look anywhere.'),
  delta_ef_construction: int(20, [1, 1000], 'candidates', 'Largest step of epsilon along it.'),
  delta_ef_search: int(10, [1, 1000], 'candidates', 'Largest step of epsilon along it.'),
  m_min: int(4, [2, 128], 'links', 'Smallest m that is tried.'),
  m_max: int(64, [2, 128], 'links', 'Largest m that is tried.'),
  ef_construction_min: int(10, [4, 2000], 'candidates', 'Smallest ef_construction tried.'),
  ef_construction_max: int(400, [4, 2000], 'candidates', 'Largest ef_construction tried.'),
  ef_search_min: int(10, [1, 10_000], 'candidates', 'Smallest ef that epsilon proposes.'),
  ef_search_max: int(200, [1, 10_000], 'candidates', 'Largest ef that epsilon proposes.'),
  min_recall: number(0.9, [0.5, 0.999], 'recall', 'What the lower bound of recall must reach.'),
  min_gain: number(0.05, [0, 0.9], 'share', 'CPU time of a search that a change must save.'),
  max_trials_per_hour: int(6, [0, 3600], 'trials', 'Trials of one index that may begin.'),
  cooldown_between_trials_secs: int(60, [0, 86_400], 's', 'Pause after a trial of an index.'),
  wake_secs: int(300, [1, 86_400], 's', 'How often the agent looks for work by itself.'),
  cpu_share: number(0.25, [0.001, 16], 'cores', 'CPU that trials of one index may use over time.'),
  pause_if_p99_over: number(
    1.2,
    [1, 100],
    'ratio',
    'No trial begins while p99 of searches is above its median of an hour times this.',
  ),
  canary_shares: texts(['0.05', '0.25'], {
    pattern: /^0\.\d{1,6}$/,
    form: '"0.05": shares of the requests, ascending, between 0 and 1',
    effect: 'Steps of a canary; an empty list goes from the shadow to all requests at once.',
  }),
  bake_secs: int(1800, [1, 604_800], 's', 'How long a new configuration may be rolled back.'),
}
