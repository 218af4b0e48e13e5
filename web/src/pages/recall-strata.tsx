/** Live recall by kind of search: how many points were asked for, and how many of all match. */

import type { JSX } from 'preact'
import type { RecallReport, Stratum } from '../api/tuning-types.ts'
import { count, share } from '../format.ts'
import { Badge, State } from '../ui/basics.tsx'
import { Recall } from '../ui/recall.tsx'
import { Table, type Column } from '../ui/table.tsx'

interface RecallStrataProps {
  readonly recall: RecallReport
  /** What the breadth of a search is called: `ef`, or `nprobes`. */
  readonly breadth: string
}

export function RecallStrata({ recall, breadth }: RecallStrataProps): JSX.Element | null {
  const { strata, recall_slo: slo } = recall
  if (strata.length === 0) return null
  return (
    <details>
      <summary>Recall by kind of search</summary>
      <Table
        label="Recall by kind of search"
        columns={columnsOf(slo.goal, breadth)}
        rows={strata.toSorted((a, b) => b.n - a.n)}
        keyOf={({ k_bucket: k, filter_bucket: filter }) => `${k} ${filter}`}
      />
    </details>
  )
}

function columnsOf(goal: number, breadth: string): readonly Column<Stratum>[] {
  return [
    { name: 'k', cell: ({ k_bucket: k }) => k },
    {
      name: 'Points that match',
      cell: ({ filter_bucket: part }) => (part === '1' ? 'all: no filter' : `${part} of all`),
    },
    { name: 'Samples', isNumber: true, cell: ({ n }) => count(n), by: ({ n }) => n },
    {
      name: 'Recall',
      cell: ({ recall, interval, status }) => <Recall {...{ recall, interval, goal, status }} />,
      by: ({ recall }) => recall,
    },
    {
      name: 'At least',
      isNumber: true,
      cell: ({ lcb }) => share(lcb),
      by: ({ lcb }) => lcb,
    },
    { name: breadth, isNumber: true, cell: ({ ef }) => count(ef), by: ({ ef }) => ef },
    {
      name: 'Goal',
      cell: ({ status, alarm }) => (
        <span class="row">
          <State state={status} />
          {alarm && <Badge tone="bad">alarm</Badge>}
        </span>
      ),
    },
  ]
}
