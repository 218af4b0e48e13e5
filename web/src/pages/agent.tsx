/** The autotune agent as a whole: whether it works, and what it does with each index. */

import type { JSX } from 'preact'
import { useState } from 'preact/hooks'
import { call, get } from '../api/client.ts'
import type { AgentSeat, AgentStatus } from '../api/tuning-types.ts'
import { count, words } from '../format.ts'
import { useLive } from '../live.ts'
import { hrefOf } from '../router.tsx'
import { Badge, Card, Empty, Fault, Loading, State } from '../ui/basics.tsx'
import { Dialog } from '../ui/dialog.tsx'
import { Table, type Column } from '../ui/table.tsx'
import { tell } from '../ui/toast.tsx'

const EVERY_MS = 4000
const PAGE_ROWS = 50

export function AgentPage(): JSX.Element {
  const [isAsking, setAsking] = useState(false)
  const { value, error, reload } = useLive<AgentStatus>(
    'agent',
    (abort) => get('/vectors/agent/status', abort),
    EVERY_MS,
  )
  const isRunning = value?.state === 'running'
  const turn = async (): Promise<void> => {
    await call('POST', `/vectors/agent/${isRunning ? 'stop' : 'start'}`)
    tell(`The agent is ${isRunning ? 'stopped' : 'started'}.`)
    reload()
  }
  return (
    <>
      <div class="row">
        <h1 tabIndex={-1}>Autotune agent</h1>
        {value !== null && <State state={value.state} />}
        {value !== null && (
          <button type="button" onClick={() => setAsking(true)}>
            {isRunning ? 'Stop…' : 'Start…'}
          </button>
        )}
      </div>
      <p class="quiet">
        It tries configurations beside serving, judges them, rolls out what is better in steps, and
        rolls back what turns out worse; per index only as far as its mode allows.
      </p>
      <Fault error={error} what="The agent could not be asked." />
      {value === null ? error === null && <Loading /> : <Seats status={value} />}
      {isAsking && (
        <Dialog
          title={isRunning ? 'Stop the agent?' : 'Start the agent?'}
          verb={isRunning ? 'Stop' : 'Start'}
          isDanger={isRunning}
          onConfirm={turn}
          onClose={() => setAsking(false)}
        >
          <p>
            {isRunning
              ? 'It stops for every index, after the trial under way. What was promoted lately stays watched, and may be rolled back.'
              : 'It works on every index whose mode is not off, within its budgets, until the server ends.'}
          </p>
        </Dialog>
      )}
    </>
  )
}

const COLUMNS: readonly Column<AgentSeat>[] = [
  {
    name: 'Index',
    cell: ({ index }) => <a href={hrefOf('indexes', index, 'agent')}>{index}</a>,
    by: ({ index }) => index,
  },
  {
    name: 'Mode',
    cell: ({ mode, paused, pinned_by: pin }) => (
      <span class="row">
        {mode}
        {paused && <Badge tone="warn">paused</Badge>}
        {pin !== null && <Badge tone="accent">pinned</Badge>}
      </span>
    ),
    by: ({ mode }) => mode,
  },
  {
    name: 'Now',
    cell: ({ activity, rollout, wanted }) => {
      if (rollout !== null) return `rolls out ${rollout.trial_id}: ${words(rollout.stage)}`
      if (activity !== null) return words(activity)
      return wanted === null ? <span class="quiet">nothing</span> : `waits: ${words(wanted)}`
    },
  },
  {
    name: 'Held back by',
    cell: ({ halted, hold, last_error: fault }) => (
      <>
        {halted !== null && <Badge tone="bad">halted: {halted}</Badge>}
        {hold !== null && <div>{words(hold)}</div>}
        {fault !== null && <div class="small quiet">{fault.message}</div>}
      </>
    ),
  },
  {
    name: 'Trials left this hour',
    isNumber: true,
    cell: ({ budget }) => count(budget.trials_left),
    by: ({ budget }) => budget.trials_left,
  },
  { name: 'Tuned', cell: ({ tuned }) => (tuned === null ? 'not yet' : words(tuned)) },
]

function Seats({ status }: { status: AgentStatus }): JSX.Element {
  return (
    <Card title="Indexes">
      {status.indexes.length === 0 ? (
        <Empty title="The agent knows no index yet." />
      ) : (
        <Table
          label="Indexes of the agent"
          columns={COLUMNS}
          rows={status.indexes}
          keyOf={({ index }) => index}
          pageRows={PAGE_ROWS}
        />
      )}
    </Card>
  )
}
