/** Every decision about the configuration of an index, newest first: what, why, and on what it rests. */

import type { JSX } from 'preact'
import { get } from '../api/client.ts'
import type { Decision, DecisionPage } from '../api/tuning-types.ts'
import { words } from '../format.ts'
import { useLive } from '../live.ts'
import { Badge, Card, Empty, Fault, Loading, When, type Tone } from '../ui/basics.tsx'
import { useCursorPages } from '../ui/cursor-pages.ts'
import { Evidence } from '../ui/evidence.tsx'
import { Pager, Table, type Column } from '../ui/table.tsx'

const PAGE_ROWS = 25
const EVERY_MS = 10_000

export function DecisionsCard({ index }: { index: string }): JSX.Element {
  const pages = useCursorPages(PAGE_ROWS)
  const { value, error } = useLive<DecisionPage>(
    `decisions ${index} ${pages.cursor ?? ''}`,
    (abort) => {
      const query = new URLSearchParams({ limit: String(PAGE_ROWS) })
      if (pages.cursor !== null) query.set('cursor', pages.cursor)
      return get<DecisionPage>(`/vectors/agent/decisions/${index}?${query}`, abort)
    },
    EVERY_MS,
  )
  return (
    <Card title="Decisions">
      <Fault error={error} what="The decisions could not be read." />
      {(value?.problems ?? []).map((problem) => (
        <p class="notice warn" key={problem.key}>
          {problem.key}: {problem.message}
        </p>
      ))}
      {value === null && error === null && <Loading />}
      {value?.decisions.length === 0 && <Empty title="Nothing was decided yet." />}
      {value !== null && value.decisions.length > 0 && (
        <>
          <Table
            label="Decisions, newest first"
            columns={COLUMNS}
            rows={value.decisions}
            keyOf={({ decision_id: id }) => id}
          />
          <Pager
            label="Decisions"
            from={pages.before + 1}
            to={pages.before + value.decisions.length}
            total={null}
            onBack={pages.onBack}
            onNext={pages.onNext(value.next_cursor)}
          />
        </>
      )}
    </Card>
  )
}

const VERDICT_TONES: Readonly<Record<string, Tone>> = {
  promote: 'good',
  approved: 'good',
  tuned: 'good',
  reject: 'warn',
  halt: 'bad',
  slo_unreachable: 'bad',
}

const COLUMNS: readonly Column<Decision>[] = [
  { name: 'When', cell: ({ at }) => <When at={at} /> },
  { name: 'About', cell: ({ kind }) => words(kind) },
  {
    name: 'Verdict',
    cell: ({ verdict, dry_run: isDry }) => (
      <>
        <Badge tone={VERDICT_TONES[verdict] ?? 'plain'}>{words(verdict)}</Badge>
        {isDry && <div class="small quiet">nothing was changed</div>}
      </>
    ),
  },
  {
    name: 'Why',
    cell: ({ reason, evidence }) => (
      <>
        {reason}
        {Object.keys(evidence).length > 0 && (
          <Evidence title="What it rests on" values={evidence} />
        )}
      </>
    ),
  },
  { name: 'Trial', cell: ({ trial_id: id }) => (id === null ? '–' : <code>{id}</code>) },
  { name: 'By', cell: ({ by }) => by },
]
