/** The dialogs that change what is promoted: they show what changes, and ask. */

import type { JSX } from 'preact'
import { call, get, messageOf } from '../api/client.ts'
import type { Explanation, HnswConfig, Promoted, Trial } from '../api/tuning-types.ts'
import { ConfigDiff } from '../ui/config-diff.tsx'
import { Dialog, Field, textOf } from '../ui/dialog.tsx'
import { tell } from '../ui/toast.tsx'

export interface Change {
  readonly kind: 'promote' | 'rollback' | 'rollforward'
  readonly index: string
  /** Of a promotion; else what comes back. */
  readonly trialId: string | null
  readonly now: HnswConfig | null
  readonly after: HnswConfig
  /** Revision that the reader saw: a change by somebody else in between is refused. */
  readonly revision: number
}

/** The goal that the service solves the ef of a promotion by hand for. */
const PROMOTED_GOAL = 0.95

/** The promotion of a trial, or null where the trial cannot be read: then that was told. */
export async function promotionOf(
  index: string,
  trialId: string,
  { now, promoted }: { readonly now: HnswConfig | null; readonly promoted: Promoted },
): Promise<Change | null> {
  try {
    const [trial, { rollout }] = await Promise.all([
      get<Trial>(`/vectors/hnsw/trials/${index}/${encodeURIComponent(trialId)}`),
      get<Explanation>(`/vectors/agent/explain/${index}`),
    ])
    const { revision } = promoted
    // What the agent recommends was judged with the ef that it names.
    const after = rollout?.trial_id === trialId ? rollout.config : promotedConfig(trial)
    return { kind: 'promote', index, trialId, now, after, revision }
  } catch (error) {
    tell(`The trial ${trialId} cannot be promoted: ${messageOf(error)}`)
    return null
  }
}

/** As the service does it: the ef of the trial, else the one that was solved for. */
function promotedConfig({ config, boundaries }: Trial): HnswConfig {
  if (config.ef_search !== null) return config
  const solved = boundaries.filter(({ ef }) => ef !== null)
  const wanted = solved.find(({ goal }) => goal === PROMOTED_GOAL) ?? solved.at(-1)
  return { ...config, ef_search: wanted?.ef ?? null }
}

const TEXTS = {
  promote: {
    verb: 'Promote',
    title: 'Promote this configuration?',
    done: 'promoted',
  },
  rollback: {
    verb: 'Roll back',
    title: 'Roll back to the configuration before?',
    done: 'rolled back',
  },
  rollforward: {
    verb: 'Roll forward',
    title: 'Take the last rollback back?',
    done: 'rolled forward',
  },
} as const

interface Changed {
  readonly warnings: readonly string[]
  readonly operation_id: string | null
}

interface ChangeDialogProps {
  readonly change: Change
  readonly onDone: () => void
  readonly onClose: () => void
}

export function ChangeDialog({ change, onDone, onClose }: ChangeDialogProps): JSX.Element {
  const { kind, index, trialId, now, after } = change
  const { verb, title, done } = TEXTS[kind]
  const confirm = async (form: FormData): Promise<void> => {
    const { body } = await call<Changed>('POST', addressOf(change, form), {
      headers: { 'if-match': `"${change.revision}"` },
    })
    const build = body.operation_id === null ? '' : ' Its graph is being built.'
    tell([`${index} is ${done}.${build}`, ...body.warnings].join(' '))
    onDone()
  }
  return (
    <Dialog
      title={title}
      verb={verb}
      isDanger={kind === 'rollback'}
      onConfirm={confirm}
      onClose={onClose}
    >
      <p>
        Index <strong>{index}</strong>
        {trialId !== null && (
          <>
            , trial <code>{trialId}</code>
          </>
        )}
        . Searches use the new ef at once, and the new graph as soon as it is built; nothing stops
        meanwhile.
      </p>
      <ConfigDiff now={now} after={after} />
      <Field label="Why (kept in the history)">
        <textarea name="note" maxLength={1024} />
      </Field>
      <Field label="Graph">
        <select name="rebuild">
          <option value="now">Build it now</option>
          <option value="lazy">Leave it to the next build</option>
        </select>
      </Field>
    </Dialog>
  )
}

function addressOf({ kind, index, trialId, after }: Change, form: FormData): string {
  const query = new URLSearchParams({ rebuild: textOf(form, 'rebuild') })
  const note = textOf(form, 'note')
  if (note !== '') query.set('note', note)
  // What was shown is what is done.
  if (kind === 'promote' && after.ef_search !== null) query.set('ef', String(after.ef_search))
  const target = kind === 'promote' ? `${index}/${encodeURIComponent(trialId ?? '')}` : index
  return `/vectors/hnsw/${kind}/${target}?${query}`
}
