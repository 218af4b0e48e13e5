/** The agent and one index: why the configuration, what comes next, what holds it back, and its reins. */

import type { JSX } from 'preact'
import { useState } from 'preact/hooks'
import { call, get } from '../api/client.ts'
import type { AgentSettings, Explanation } from '../api/tuning-types.ts'
import { amount, bytes, share, words } from '../format.ts'
import { useLive } from '../live.ts'
import { Badge, Card, Facts, Fault, Loading, When } from '../ui/basics.tsx'
import { Config } from '../ui/config-diff.tsx'
import { Reason } from '../ui/evidence.tsx'
import { AgentDialog, type AgentAct, type AgentOfIndex } from './agent-dialog.tsx'
import { DecisionsCard } from './decisions-card.tsx'

/** The agent works its next step out anew each time it is asked. */
const EVERY_MS = 10_000

interface IndexAgentProps {
  readonly name: string
  readonly onChanged: () => void
}

export function IndexAgent({ name, onChanged }: IndexAgentProps): JSX.Element {
  const [act, setAct] = useState<AgentAct | null>(null)
  const { value, error, reload } = useLive<AgentOfIndex>(
    `agent of ${name}`,
    async (abort) => {
      const settings = await call<AgentSettings>('GET', `/vectors/agent/${name}`, { signal: abort })
      const explained = await get<Explanation>(`/vectors/agent/explain/${name}`, abort)
      return { settings: settings.body, etag: settings.etag, explained }
    },
    EVERY_MS,
  )
  const done = (): void => {
    reload()
    onChanged()
  }
  if (value === null) {
    return error === null ? <Loading /> : <Fault error={error} what="The agent cannot say." />
  }
  return (
    <>
      <Fault error={error} what="The agent could not be asked again." />
      <div class="grid three">
        <Reins value={value} onAct={setAct} />
        <Current explained={value.explained} />
        <Next explained={value.explained} onAct={setAct} />
      </div>
      <DecisionsCard index={name} />
      {act !== null && (
        <AgentDialog
          name={name}
          act={act}
          value={value}
          onDone={done}
          onClose={() => setAct(null)}
        />
      )}
    </>
  )
}

interface ActProps {
  readonly onAct: (act: AgentAct) => void
}

function Reins({ value: { settings }, onAct }: { value: AgentOfIndex } & ActProps): JSX.Element {
  const { mode, paused, min_recall: floor } = settings
  return (
    <Card
      title="What the agent may do"
      aside={<Badge tone={paused ? 'warn' : 'accent'}>{paused ? 'paused' : mode}</Badge>}
    >
      <Facts
        facts={{
          Mode: `${mode}: ${MODES[mode] ?? ''}`,
          'Recall floor': share(floor),
          Objective: words(settings.objective),
          Strategy: words(settings.strategy),
          'Trials an hour': `at most ${settings.max_trials_per_hour}`,
          'Pinned by': settings.pinned_by,
        }}
      />
      <div class="row">
        <button type="button" onClick={() => onAct('settings')}>
          Change…
        </button>
        <button type="button" onClick={() => onAct(paused ? 'resume' : 'pause')}>
          {paused ? 'Resume…' : 'Pause…'}
        </button>
        <button type="button" onClick={() => onAct('enqueue')}>
          Tune soon…
        </button>
      </div>
    </Card>
  )
}

const MODES: Readonly<Record<string, string>> = {
  off: 'it does nothing',
  observe: 'it measures and tells',
  recommend: 'it tries, and leaves promoting to you',
  auto: 'it tries, promotes and rolls back',
}

function Current({ explained: { current, champion } }: { explained: Explanation }): JSX.Element {
  return (
    <Card title="Why this configuration">
      <Facts
        facts={{
          Configuration: <Config config={current.config} />,
          From: current.source,
          By: current.promoted_by,
          When: current.promoted_at === null ? null : <When at={current.promoted_at} />,
          Why: current.note,
          'Best trial':
            champion === null
              ? 'none on this data'
              : `${champion.trial_id}, ef ${champion.ef}: recall ${share(champion.recall)}, at least ` +
                `${share(champion.recall_lcb)}, ${amount(champion.cpu_us)} µs` +
                (champion.feasible ? '' : ' (under the floor)'),
        }}
      />
    </Card>
  )
}

function Next({ explained, onAct }: { explained: Explanation } & ActProps): JSX.Element {
  const { next, holds, rollout, quarantine, challenger } = explained
  return (
    <Card title="What comes next">
      <Facts
        facts={{
          'Next step': words(next.kind),
          Configuration: next.config === null ? null : <Config config={next.config} />,
          Compared: challenger,
          Because: next.explain === null ? null : <Reason explain={next.explain} />,
          'Memory, forecast':
            next.predicted_memory_bytes === null ? null : bytes(next.predicted_memory_bytes),
          'Rolling out':
            rollout === null
              ? null
              : `${rollout.trial_id}: ${words(rollout.stage)}, ${rollout.note}`,
          'In quarantine':
            quarantine.length === 0
              ? null
              : quarantine.map(({ config, reason }) => `${config}: ${reason}`).join('; '),
        }}
      />
      {holds.length > 0 && (
        <div class="notice warn">
          <strong>Held back</strong>
          <ul class="steps">
            {holds.map(({ reason, text }) => (
              <li key={reason}>{text}</li>
            ))}
          </ul>
        </div>
      )}
      <div class="row">
        <button type="button" disabled={next.config === null} onClick={() => onAct('try')}>
          Try it now…
        </button>
      </div>
    </Card>
  )
}
