/**
 * Schemas of /vectors/agent: the settings that people change, and what the agent shows.
 */

import { Type, type Static } from '@fastify/type-provider-typebox'
import {
  AGENT_AXES,
  AGENT_BOUNDS,
  AGENT_STRATEGIES,
  type AgentSettingsChange,
  CANARY_SHARES_MAX,
  isAscendingShares,
  OBJECTIVES,
} from '../src/autotune/agent-settings.ts'
import { AGENT_MODES } from '../src/autotune/agent-gate.ts'
import { TUNED_ENDS, WISHES } from '../src/autotune/agent-state.ts'
import { badField } from '../src/http/body-field.ts'
import { ConfigJson, Name, Nullable } from '../src/http/schemas.ts'

const STRICT = { additionalProperties: false } as const

const Count = Type.Integer({ minimum: 0 })
const AnyObject = Type.Object({}, { additionalProperties: true })

const within = ([minimum, maximum]: readonly [number, number]) => Type.Number({ minimum, maximum })
const whole = ([minimum, maximum]: readonly [number, number]) => Type.Integer({ minimum, maximum })

export const AgentNote = Type.String({ minLength: 1, maxLength: 1024 })

const SETTINGS = {
  mode: Type.Enum([...AGENT_MODES]),
  strategy: Type.Enum([...AGENT_STRATEGIES]),
  objective: Type.Enum([...OBJECTIVES]),
  axes: Type.Array(Type.Enum([...AGENT_AXES]), { maxItems: AGENT_AXES.length, uniqueItems: true }),
  min_recall: within(AGENT_BOUNDS.minRecall),
  min_gain: within(AGENT_BOUNDS.minGain),
  max_trials_per_hour: whole(AGENT_BOUNDS.maxTrialsPerHour),
  cooldown_between_trials_secs: whole(AGENT_BOUNDS.cooldownSecs),
  cpu_share: within(AGENT_BOUNDS.cpuShare),
  pause_if_p99_over: within(AGENT_BOUNDS.pauseIfP99Over),
  canary_shares: Type.Array(within(AGENT_BOUNDS.canaryShare), { maxItems: CANARY_SHARES_MAX }),
  bake_secs: whole(AGENT_BOUNDS.bakeSecs),
  pinned_by: Nullable(Type.String({ minLength: 1, maxLength: 256 })),
  paused: Type.Boolean(),
  eval: Nullable(Name),
}

export const SettingsBody = Type.Partial(
  Type.Object(
    {
      ...SETTINGS,
      clear_halt: Type.Boolean({ description: 'Lets a halted agent go on; needs a note.' }),
      note: AgentNote,
    },
    STRICT,
  ),
  { ...STRICT, description: 'Fields that are left out stay. A pin needs a note.' },
)

export const SettingsJson = Type.Object({ index: Name, revision: Count, ...SETTINGS }, STRICT)

const RolloutJson = Type.Object(
  {
    ...{ trial_id: Type.String(), stage: Type.String(), reason: Type.String() },
    ...{ config: ConfigJson, note: Type.String(), pending: Nullable(Type.String()) },
    ...{ canary_step: Count, canary_requests: Count },
  },
  STRICT,
)

const HoldJson = Type.Object({ reason: Type.String(), text: Type.String() }, STRICT)

export const StatusJson = Type.Object(
  {
    state: Type.Enum(['running', 'stopped']),
    queue: Type.Array(
      Type.Object(
        { index: Name, reason: Type.Enum([...WISHES]), enqueued_at: Type.String() },
        STRICT,
      ),
    ),
    indexes: Type.Array(
      Type.Object(
        {
          ...{ index: Name, mode: SETTINGS.mode, paused: Type.Boolean(), owned: Type.Boolean() },
          ...{ pinned_by: Nullable(Type.String()), activity: Nullable(Type.String()) },
          wanted: Nullable(Type.Enum([...WISHES])),
          tuned: Nullable(Type.Enum([...TUNED_ENDS])),
          budget: Type.Object(
            { trials_last_hour: Count, trials_left: Count, cpu_s_left: Type.Number() },
            STRICT,
          ),
          rollout: Nullable(RolloutJson),
          ...{ hold: Nullable(Type.String()), hold_until: Nullable(Type.String()) },
          halted: Nullable(Type.String({ description: 'Until a person clears it.' })),
          last_error: Nullable(Type.Object({ at: Type.String(), message: Type.String() }, STRICT)),
        },
        STRICT,
      ),
    ),
  },
  STRICT,
)

const NEXT = {
  kind: Type.Enum(['compare', 'proposal', ...TUNED_ENDS]),
  config: Nullable(ConfigJson),
  explain: Nullable(AnyObject),
  predicted_memory_bytes: Nullable(Count),
}

export const ProposalJson = Type.Object(
  {
    ...{ index: Name, dry_run: Type.Boolean(), ...NEXT, holds: Type.Array(HoldJson) },
    operation_id: Nullable(Type.String({ description: 'Of the trial that was started.' })),
  },
  STRICT,
)

export const ExplainJson = Type.Object(
  {
    index: Name,
    current: Type.Object(
      {
        ...{ config: ConfigJson, source: Type.String(), trial_id: Nullable(Type.String()) },
        ...{ promoted_by: Nullable(Type.String()), promoted_at: Nullable(Type.String()) },
        ...{ note: Nullable(Type.String()), evidence: Nullable(AnyObject) },
      },
      STRICT,
    ),
    champion: Nullable(
      Type.Object(
        {
          ...{ trial_id: Type.String(), feasible: Type.Boolean(), ef: Count },
          ...{ recall: Type.Number(), recall_lcb: Type.Number(), cpu_us: Type.Number() },
        },
        STRICT,
      ),
    ),
    challenger: Nullable(Type.String({ description: 'Trial that is compared next.' })),
    epoch: Type.Object(
      { name: Type.String(), trials: Count, tuned: Nullable(Type.Enum([...TUNED_ENDS])) },
      STRICT,
    ),
    next: Type.Object(NEXT, STRICT),
    holds: Type.Array(HoldJson, { description: 'What keeps the agent from it now.' }),
    rollout: Nullable(RolloutJson),
    quarantine: Type.Array(
      Type.Object(
        {
          ...{ config: Type.String(), epoch: Type.String() },
          ...{ reason: Type.String(), at: Type.String() },
        },
        STRICT,
      ),
    ),
    decisions: Type.Array(AnyObject, { description: 'The newest of the decision log.' }),
  },
  STRICT,
)

const FIELDS = {
  ...{ mode: 'mode', strategy: 'strategy', objective: 'objective', axes: 'axes' },
  ...{ min_recall: 'minRecall', min_gain: 'minGain', max_trials_per_hour: 'maxTrialsPerHour' },
  ...{ cooldown_between_trials_secs: 'cooldownSecs', cpu_share: 'cpuShare' },
  ...{ pause_if_p99_over: 'pauseIfP99Over', canary_shares: 'canaryShares' },
  ...{ bake_secs: 'bakeSecs', pinned_by: 'pinnedBy', paused: 'paused', eval: 'evalName' },
} as const satisfies Record<keyof typeof SETTINGS, keyof AgentSettingsChange>

/** The fields that a body names. @throws {VectordError} `bad_request`. */
export function settingsChange(body: Static<typeof SettingsBody>): AgentSettingsChange {
  if (body.canary_shares !== undefined && !isAscendingShares(body.canary_shares)) {
    throw badField('canary_shares', 'must be ascending shares of the requests')
  }
  const named = Object.entries(FIELDS).flatMap(([name, field]) => {
    const value: unknown = Object.entries(body).find(([given]) => given === name)?.[1]
    return value === undefined ? [] : [[field, value] as const]
  })
  const change: AgentSettingsChange = Object.fromEntries(named)
  return change
}
