/** Long work: how far it is, what came of it, and cancelling it. */

import type { JSX } from 'preact'
import { useState } from 'preact/hooks'
import { call, get } from '../api/client.ts'
import type { Operation } from '../api/types.ts'
import { count, duration, words } from '../format.ts'
import { useLive } from '../live.ts'
import { hrefOf } from '../router.tsx'
import { Card, Empty, Fault, Loading, Meter, State, When } from '../ui/basics.tsx'
import { Dialog } from '../ui/dialog.tsx'
import { Table, type Column } from '../ui/table.tsx'
import { tell } from '../ui/toast.tsx'

const EVERY_MS = 2000
const LISTED = 500
const PAGE_ROWS = 25
const OPEN = ['queued', 'running']

export function OperationsPage(): JSX.Element {
  return (
    <>
      <h1 tabIndex={-1}>Operations</h1>
      <OperationList index={null} />
    </>
  )
}

/** @param index only of this one; null: of all. */
export function OperationList({ index }: { index: string | null }): JSX.Element {
  const [cancelled, setCancelled] = useState<Operation | null>(null)
  const { value, error, reload } = useLive(
    `operations ${index ?? ''}`,
    async (abort) => {
      const path = `/operations?limit=${LISTED}`
      const { operations } = await get<{ operations: readonly Operation[] }>(path, abort)
      return index === null ? operations : operations.filter((one) => one.index === index)
    },
    EVERY_MS,
  )
  return (
    <Card title={index === null ? 'Long work' : `Long work on ${index}`}>
      <Fault error={error} what="The operations could not be loaded." />
      {value === null && <Loading />}
      {value?.length === 0 && (
        <Empty title="Nothing runs, and nothing has run in the last day.">
          Checkpoints, builds, trials and moves are shown here while they work.
        </Empty>
      )}
      {value !== null && value.length > 0 && (
        <Table
          label="Operations, newest first"
          columns={columnsOf(index === null, setCancelled)}
          rows={value}
          keyOf={({ operation_id: id }) => id}
          pageRows={PAGE_ROWS}
        />
      )}
      {cancelled !== null && (
        <CancelDialog operation={cancelled} onDone={reload} onClose={() => setCancelled(null)} />
      )}
    </Card>
  )
}

function columnsOf(
  hasIndex: boolean,
  onCancel: (operation: Operation) => void,
): readonly Column<Operation>[] {
  const ofIndex: Column<Operation> = {
    name: 'Index',
    cell: ({ index }) => <a href={hrefOf('indexes', index)}>{index}</a>,
  }
  return [
    { name: 'Work', cell: ({ kind }) => words(kind) },
    ...(hasIndex ? [ofIndex] : []),
    {
      name: 'State',
      cell: ({ state, error }) => (
        <>
          <State state={state} />
          {error !== undefined && <div class="small quiet">{error.message}</div>}
        </>
      ),
    },
    { name: 'Progress', cell: (operation) => <Progress operation={operation} /> },
    { name: 'Begun', cell: ({ created_at: at }) => <When at={at} /> },
    { name: 'Ended', cell: ({ ended_at: at }) => <When at={at} /> },
    {
      name: 'Action',
      cell: (operation) =>
        OPEN.includes(operation.state) ? (
          <button
            type="button"
            class="small"
            aria-label={`Cancel ${operation.kind} of ${operation.index}`}
            onClick={() => onCancel(operation)}
          >
            Cancel…
          </button>
        ) : null,
    },
  ]
}

function Progress({ operation }: { operation: Operation }): JSX.Element {
  const { state, stage, done, total, eta_s: eta, kind } = operation
  if (!OPEN.includes(state)) return <span class="quiet">–</span>
  return (
    <div class="small">
      {stage === null ? 'waits' : words(stage)}
      {done !== null && ` ${count(done)}`}
      {total !== null && ` of ${count(total)}`}
      {eta !== null && `, about ${duration(eta)} left`}
      {done !== null && total !== null && total > 0 && (
        <Meter part={done / total} label={`Progress of ${kind}`} />
      )}
    </div>
  )
}

interface CancelDialogProps {
  readonly operation: Operation
  readonly onDone: () => void
  readonly onClose: () => void
}

function CancelDialog({ operation, onDone, onClose }: CancelDialogProps): JSX.Element {
  const { operation_id: id, kind, index } = operation
  const confirm = async (): Promise<void> => {
    await call('DELETE', `/operations/${id}`)
    tell(`The ${words(kind)} of ${index} is asked to stop.`)
    onDone()
  }
  return (
    <Dialog
      title={`Cancel this ${words(kind)}?`}
      verb="Cancel it"
      isDanger
      onConfirm={confirm}
      onClose={onClose}
    >
      <p>
        It works on <strong>{index}</strong>. What it has done so far is given up; the index serves
        on as it is.
      </p>
    </Dialog>
  )
}
