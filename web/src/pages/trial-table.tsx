/** The journal of trials, a page at a time, newest first. */

import type { JSX } from 'preact'
import { get } from '../api/client.ts'
import type { Trial, TrialPage } from '../api/tuning-types.ts'
import { amount, bytes, duration, share, words } from '../format.ts'
import { useLive } from '../live.ts'
import { Badge, Card, Empty, Fault, Loading, State, When } from '../ui/basics.tsx'
import { Config } from '../ui/config-diff.tsx'
import { useCursorPages } from '../ui/cursor-pages.ts'
import { Reason } from '../ui/evidence.tsx'
import { Pager, Table, type Column } from '../ui/table.tsx'

const PAGE_ROWS = 25
/** A long journal is read as a whole for a page of it; a trial that ends changes `version`. */
const EVERY_MS = 30_000

interface TrialTableProps {
  readonly index: string
  readonly goal: number
  /** Another number: there are other trials. */
  readonly version: number
  /** Id of the trial in force. */
  readonly promoted: string | null
  readonly chosen: string | null
  readonly onChoose: (trialId: string) => void
  readonly onPromote: (trialId: string) => void
}

export function TrialTable(props: TrialTableProps): JSX.Element {
  const { index, version, chosen } = props
  const pages = useCursorPages(PAGE_ROWS)
  const { cursor, before } = pages
  const { value, error } = useLive<TrialPage>(
    `trials ${index} ${cursor ?? ''} ${version}`,
    (abort) => {
      const query = new URLSearchParams({ limit: String(PAGE_ROWS) })
      if (cursor !== null) query.set('cursor', cursor)
      return get<TrialPage>(`/vectors/hnsw/trials/${index}?${query}`, abort)
    },
    EVERY_MS,
  )
  return (
    <Card title="Journal of trials">
      <Fault error={error} what="The journal could not be read." />
      {(value?.problems ?? []).map((problem) => (
        <p class="notice warn" key={problem.key}>
          {problem.key}: {problem.message}
        </p>
      ))}
      {value === null && <Loading />}
      {value?.trials.length === 0 && <Empty title="There are no trials." />}
      {value !== null && value.trials.length > 0 && (
        <>
          <Table
            label="Trials, newest first"
            columns={columnsOf(props)}
            rows={value.trials}
            keyOf={({ trial_id }) => trial_id}
            isChosen={({ trial_id }) => trial_id === chosen}
          />
          <Pager
            label="Trials"
            from={before + 1}
            to={before + value.trials.length}
            total={version}
            onBack={pages.onBack}
            onNext={pages.onNext(value.next_cursor)}
          />
        </>
      )}
    </Card>
  )
}

function columnsOf(props: TrialTableProps): readonly Column<Trial>[] {
  const { goal, promoted, onChoose, onPromote } = props
  return [
    {
      name: 'Trial',
      cell: ({ trial_id: id }) => (
        <>
          <button
            type="button"
            class="plain small mono"
            aria-label={`Show trial ${id} in the chart`}
            onClick={() => onChoose(id)}
          >
            {id}
          </button>{' '}
          {id === promoted && <Badge tone="accent">in force</Badge>}
        </>
      ),
    },
    {
      name: 'State',
      cell: ({ state, reason }) => (
        <>
          <State state={state} />
          {reason !== null && <div class="small quiet">{reason}</div>}
        </>
      ),
    },
    { name: 'Configuration', cell: ({ config }) => <Config config={config} /> },
    { name: `At the goal ${share(goal)}`, cell: (trial) => <AtGoal trial={trial} goal={goal} /> },
    {
      name: 'Build',
      isNumber: true,
      cell: ({ build }) =>
        build === null ? '–' : `${duration(build.cpu_s)}, ${bytes(build.bytes)}`,
    },
    { name: 'By', cell: (trial) => <Why trial={trial} /> },
    { name: 'Begun', cell: ({ started_at: at }) => <When at={at} /> },
    {
      name: 'Action',
      cell: ({ trial_id: id, state }) =>
        state === 'completed' && id !== promoted ? (
          <button
            type="button"
            class="small"
            aria-label={`Promote trial ${id}`}
            onClick={() => onPromote(id)}
          >
            Promote…
          </button>
        ) : null,
    },
  ]
}

/** What the trial reaches at the goal, or at the next one that it solved for. */
function AtGoal({ trial, goal }: { trial: Trial; goal: number }): JSX.Element {
  const solved = trial.boundaries.filter(({ ef }) => ef !== null)
  const boundary = solved.find((one) => one.goal >= goal) ?? solved.at(-1)
  if (boundary === undefined) return <span class="quiet">not reached</span>
  const { ef, cpu_us: cost, held_out: held } = boundary
  return (
    <span class="nowrap">
      ef {ef} · {amount(cost)} µs
      {held !== null && (
        <div class="small quiet">
          {share(held.recall)}, at least {share(held.recall_lcb)}
        </div>
      )}
    </span>
  )
}

function Why({ trial: { strategy, explain, note } }: { trial: Trial }): JSX.Element {
  return (
    <>
      {words(strategy)}
      <div class="small quiet">
        {note}
        <Reason explain={explain} />
      </div>
    </>
  )
}
