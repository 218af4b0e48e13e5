/** The configurations that an index has had: who, when, why, of which trial; and the way back. */

import type { JSX } from 'preact'
import { useState } from 'preact/hooks'
import { call, get } from '../api/client.ts'
import type { AuditEntry, HnswConfig, Promoted } from '../api/tuning-types.ts'
import type { IndexInfo } from '../api/types.ts'
import { words } from '../format.ts'
import { useLive } from '../live.ts'
import { Badge, Card, Empty, Facts, Fault, Loading, When, type Tone } from '../ui/basics.tsx'
import { Config } from '../ui/config-diff.tsx'
import { Dialog, Field, textOf } from '../ui/dialog.tsx'
import { Table, type Column } from '../ui/table.tsx'
import { tell } from '../ui/toast.tsx'
import { ChangeDialog, promotionOf, type Change } from './promote.tsx'

const EVERY_MS = 4000
const PAGE_ROWS = 25

interface History {
  readonly promoted: Promoted
  readonly audit: readonly AuditEntry[]
}

interface IndexHistoryProps {
  readonly info: IndexInfo
  readonly onChanged: () => void
}

export function IndexHistory({ info, onChanged }: IndexHistoryProps): JSX.Element {
  const { name } = info
  const [change, setChange] = useState<Change | null>(null)
  const [isPinning, setPinning] = useState(false)
  const { value, error, reload } = useLive<History>(
    `history ${name}`,
    async (abort) => {
      const promoted = await get<Promoted>(`/vectors/hnsw/promoted/${name}`, abort)
      const audit = await get<{ entries: readonly AuditEntry[] }>(
        `/vectors/hnsw/promoted/${name}/audit?limit=500`,
        abort,
      )
      return { promoted, audit: audit.entries }
    },
    EVERY_MS,
  )
  const done = (): void => {
    reload()
    onChanged()
  }
  if (value === null) {
    return error === null ? <Loading /> : <Fault error={error} what="The history is not there." />
  }
  const { promoted, audit } = value
  const created = info.hnsw ?? null
  const promote = (entry: AuditEntry): void => {
    const now = promoted.current?.config ?? created
    const trialId = entry.current?.trial_id ?? ''
    void promotionOf(name, trialId, { now, promoted }).then(setChange)
  }
  return (
    <>
      <Fault error={error} what="The history could not be refreshed." />
      <Current
        promoted={promoted}
        created={created}
        onChange={setChange}
        onPin={() => setPinning(true)}
        name={name}
      />
      <Card title="History of configurations">
        {audit.length === 0 ? (
          <Empty title="Nothing was ever promoted.">
            The index serves with what it was created with. Trials are on the tab Tuning.
          </Empty>
        ) : (
          <Table
            label="History of configurations, newest first"
            columns={columnsOf(promoted, promote)}
            rows={audit}
            keyOf={({ revision }) => revision}
            isChosen={({ revision }) => revision === promoted.revision}
            pageRows={PAGE_ROWS}
          />
        )}
      </Card>
      {change !== null && (
        <ChangeDialog change={change} onDone={done} onClose={() => setChange(null)} />
      )}
      {isPinning && (
        <PinDialog
          name={name}
          promoted={promoted}
          onDone={done}
          onClose={() => setPinning(false)}
        />
      )}
    </>
  )
}

interface CurrentProps {
  readonly name: string
  readonly promoted: Promoted
  readonly created: HnswConfig | null
  readonly onChange: (change: Change) => void
  readonly onPin: () => void
}

function Current({ name, promoted, created, onChange, onPin }: CurrentProps): JSX.Element {
  const { current, history, redo, revision } = promoted
  const now = current?.config ?? created
  const before = history.at(-1)
  const back = before?.config ?? created
  const next = redo.at(-1)
  const rollBack = (): void => {
    if (back === null) return
    const trialId = before?.trial_id ?? null
    onChange({ kind: 'rollback', index: name, trialId, now, after: back, revision })
  }
  const rollForward = (): void => {
    if (next === undefined) return
    const trialId = next.trial_id
    onChange({ kind: 'rollforward', index: name, trialId, now, after: next.config, revision })
  }
  return (
    <Card
      title="In force now"
      aside={current?.pinned === true ? <Badge tone="accent">pinned</Badge> : undefined}
    >
      <Facts
        facts={{
          Configuration: <Config config={now} />,
          From: current === null ? 'the creation of the index' : <code>{current.trial_id}</code>,
          By: current?.promoted_by,
          When: current === null ? null : <When at={current.promoted_at} />,
          Why: current?.note,
        }}
      />
      <div class="row">
        <button
          type="button"
          class="danger"
          disabled={current === null || back === null}
          onClick={rollBack}
        >
          Roll back…
        </button>
        {next !== undefined && (
          <button type="button" onClick={rollForward}>
            Roll forward…
          </button>
        )}
        {current !== null && (
          <button type="button" onClick={onPin}>
            {current.pinned === true ? 'Unpin…' : 'Pin…'}
          </button>
        )}
      </div>
    </Card>
  )
}

const KIND_TONES: Readonly<Record<string, Tone>> = {
  promote: 'good',
  rollback: 'warn',
  roll_forward: 'accent',
  unreadable: 'bad',
}

function columnsOf(
  promoted: Promoted,
  onPromote: (entry: AuditEntry) => void,
): readonly Column<AuditEntry>[] {
  return [
    { name: 'Revision', cell: ({ revision }) => revision },
    {
      name: 'What',
      cell: ({ kind }) => <Badge tone={KIND_TONES[kind] ?? 'plain'}>{words(kind)}</Badge>,
    },
    { name: 'When', cell: ({ at }) => <When at={at} /> },
    {
      name: 'Who',
      cell: ({ by, kind, current }) => (kind === 'promote' ? current?.promoted_by : by) ?? '–',
    },
    {
      name: 'Why',
      cell: ({ note, error }) => (
        <span class={error === null ? '' : 'quiet'}>{error?.message ?? note ?? '–'}</span>
      ),
    },
    {
      name: 'Trial',
      cell: ({ current }) => (current === null ? 'created with' : <code>{current.trial_id}</code>),
    },
    { name: 'Configuration', cell: ({ current }) => <Config config={current?.config} /> },
    {
      name: 'Action',
      cell: (entry) =>
        entry.current !== null && entry.current.trial_id !== promoted.current?.trial_id ? (
          <button
            type="button"
            class="small"
            aria-label={`Promote trial ${entry.current.trial_id} again`}
            onClick={() => onPromote(entry)}
          >
            Promote…
          </button>
        ) : null,
    },
  ]
}

interface PinDialogProps {
  readonly name: string
  readonly promoted: Promoted
  readonly onDone: () => void
  readonly onClose: () => void
}

function PinDialog({ name, promoted, onDone, onClose }: PinDialogProps): JSX.Element {
  const isPinned = promoted.current?.pinned === true
  const confirm = async (form: FormData): Promise<void> => {
    const note = textOf(form, 'note')
    await call('PUT', `/vectors/hnsw/promoted/${name}/pin`, {
      body: { pinned: !isPinned, ...(note !== '' && { note }) },
      headers: { 'if-match': `"${promoted.revision}"` },
    })
    tell(`${name} is ${isPinned ? 'no longer pinned' : 'pinned'}.`)
    onDone()
  }
  return (
    <Dialog
      title={isPinned ? 'Let the agent replace it again?' : 'Keep the agent from replacing it?'}
      verb={isPinned ? 'Unpin' : 'Pin'}
      onConfirm={confirm}
      onClose={onClose}
    >
      <p>
        {isPinned
          ? 'The agent may then promote what it finds better.'
          : 'While it is pinned, only a person replaces this configuration.'}
      </p>
      <Field label="Why (kept in the history)">
        <textarea name="note" maxLength={1024} />
      </Field>
    </Dialog>
  )
}
