/** The dialogs that hold the agent of an index on its reins. */

import type { JSX } from 'preact'
import { useState } from 'preact/hooks'
import { call } from '../api/client.ts'
import type { AgentSettings, Explanation } from '../api/tuning-types.ts'
import { Dialog, Field, textOf } from '../ui/dialog.tsx'
import { tell } from '../ui/toast.tsx'

export interface AgentOfIndex {
  readonly settings: AgentSettings
  readonly etag: string | null
  readonly explained: Explanation
}

export type AgentAct = 'settings' | 'pause' | 'resume' | 'enqueue' | 'try'

const MODES = ['off', 'observe', 'recommend', 'auto'] as const

const TEXTS: Readonly<
  Record<AgentAct, { title: string; verb: string; what: string; done: string }>
> = {
  settings: {
    title: 'What may the agent do?',
    verb: 'Change',
    what: 'It holds from now on, for this index.',
    done: 'changed',
  },
  pause: {
    title: 'Pause the agent of this index?',
    verb: 'Pause',
    what: 'It stops after the trial under way.',
    done: 'paused',
  },
  resume: {
    title: 'Let the agent go on?',
    verb: 'Resume',
    what: 'It goes on as far as its mode allows.',
    done: 'going on',
  },
  enqueue: {
    title: 'Tune this index soon?',
    verb: 'Tune soon',
    what: 'It is the next one that the agent turns to, within its budgets.',
    done: 'asked to tune soon',
  },
  try: {
    title: 'Try the next configuration now?',
    verb: 'Try it',
    what: 'Its graph is built and measured beside serving. Nothing is promoted by it.',
    done: 'trying it: see the tab Operations',
  },
}

interface AgentDialogProps {
  readonly name: string
  readonly act: AgentAct
  readonly value: AgentOfIndex
  readonly onDone: () => void
  readonly onClose: () => void
}

export function AgentDialog({ name, act, value, onDone, onClose }: AgentDialogProps): JSX.Element {
  const { title, verb, what, done } = TEXTS[act]
  // What was shown when it opened: the page beside it is read anew, and a change of others must be told.
  const [seen] = useState(value)
  const confirm = async (form: FormData): Promise<void> => {
    await send(name, act, { form, etag: seen.etag })
    tell(`The agent of ${name} is ${done}.`)
    onDone()
  }
  return (
    <Dialog title={title} verb={verb} onConfirm={confirm} onClose={onClose}>
      <p>{what}</p>
      {act === 'settings' && (
        <div class="fields">
          <Field label="Mode">
            <select name="mode" defaultValue={seen.settings.mode}>
              {MODES.map((mode) => (
                <option key={mode} value={mode} selected={mode === seen.settings.mode}>
                  {mode}
                </option>
              ))}
            </select>
          </Field>
          <Field label="Recall floor">
            <input
              name="min_recall"
              type="number"
              step="any"
              min={0.5}
              max={0.9999}
              defaultValue={String(seen.settings.min_recall)}
            />
          </Field>
          <Field label="Trials an hour, at most">
            <input
              name="max_trials_per_hour"
              type="number"
              min={0}
              defaultValue={String(seen.settings.max_trials_per_hour)}
            />
          </Field>
        </div>
      )}
      {act !== 'enqueue' && (
        <Field label="Why (kept)">
          <textarea name="note" maxLength={1024} />
        </Field>
      )}
    </Dialog>
  )
}

interface Sent {
  readonly form: FormData
  readonly etag: string | null
}

async function send(name: string, act: AgentAct, { form, etag }: Sent): Promise<void> {
  const note = textOf(form, 'note')
  const headers: Record<string, string> = etag === null ? {} : { 'if-match': etag }
  const query = note === '' ? '' : `?${new URLSearchParams({ note })}`
  if (act === 'settings') {
    const body = {
      mode: textOf(form, 'mode'),
      min_recall: Number(textOf(form, 'min_recall')),
      max_trials_per_hour: Number(textOf(form, 'max_trials_per_hour')),
      ...(note !== '' && { note }),
    }
    await call('PUT', `/vectors/agent/${name}`, { body, headers })
  } else if (act === 'enqueue') {
    await call('POST', `/vectors/agent/enqueue/${name}`)
  } else if (act === 'try') {
    const asked = new URLSearchParams({ dry_run: 'false', ...(note !== '' && { note }) })
    await call('POST', `/vectors/agent/propose/${name}?${asked}`)
  } else {
    await call('POST', `/vectors/agent/${act}/${name}${query}`, { headers })
  }
}
