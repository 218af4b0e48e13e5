/** The chart of the trials, what the pointer is on, and the chosen trial with its button. */

import type { JSX } from 'preact'
import { useMemo, useState } from 'preact/hooks'
import type { Curve, HnswConfig, Promoted, TrialPoints } from '../api/tuning-types.ts'
import { Legend } from '../charts/legend.tsx'
import { paretoRows, rowAtEf } from '../charts/pareto.ts'
import { TrialsChart, type Mark } from '../charts/trials-chart.tsx'
import { amount, count, share } from '../format.ts'
import { Card, Empty } from '../ui/basics.tsx'
import { Table } from '../ui/table.tsx'

export interface Tuning {
  readonly points: TrialPoints
  readonly promoted: Promoted
  readonly curve: Curve
  /** Trial that is compared with the current one, rolled out, or would be next; null: none. */
  readonly proposed: string | null
}

interface TrialsCardProps {
  readonly index: string
  readonly tuning: Tuning
  /** The configuration in force. */
  readonly current: HnswConfig | null
  readonly goal: number
  readonly chosen: string | null
  readonly onChoose: (trialId: string) => void
  readonly onPromote: (trialId: string) => void
}

const tryOne = (index: string): string =>
  `curl -X POST '${location.origin}/vectors/hnsw/evals/mine/autogen?wait=true' \\
  -H 'content-type: application/json' -d '{"index":"${index}","k":10,"queries":800}'
curl -X POST ${location.origin}/vectors/hnsw/trial -H 'content-type: application/json' \\
  -d '{"index":"${index}","eval":"mine","config":{"m":16,"ef_construction":200}}'`

export function TrialsCard(props: TrialsCardProps): JSX.Element {
  const { index, tuning, current, goal, chosen, onChoose, onPromote } = props
  const { points } = tuning
  const [hovered, setHovered] = useState<number | null>(null)
  const marks = useMemo(() => marksOf(tuning, current), [tuning, current])
  const chosenRow = chosen === null ? -1 : points.trials.trial_id.indexOf(chosen)
  if (points.measured === 0) {
    return (
      <Card title="Trials: recall against cost">
        <Empty title="Nothing was measured on this data yet." curl={tryOne(index)}>
          Let the agent try configurations, or try one yourself:
        </Empty>
      </Card>
    )
  }
  const missing = ['disc', 'diamond'].filter((form) => !marks.some((mark) => mark.form === form))
  return (
    <Card
      title="Trials: recall against cost"
      aside={<span class="small quiet">{count(points.measured)} trials on this data</span>}
    >
      <TrialsChart
        points={points}
        goal={goal}
        marks={marks}
        chosen={chosenRow < 0 ? null : chosenRow}
        onHover={setHovered}
        onChoose={(row) => onChoose(points.trials.trial_id[points.points.trial[row] ?? 0] ?? '')}
      />
      <Legend
        entries={[
          { sign: 'dot', colour: 'dot', text: 'a measured ef of a trial' },
          { sign: 'line', colour: 'accent', text: 'beaten by none (Pareto)' },
          ...marks.map(({ form, name }) => ({
            sign: form === 'ring' ? ('dot' as const) : form,
            colour: { disc: 'series-2', diamond: 'series-3', triangle: 'series-4', ring: 'text' }[
              form
            ],
            text: name,
          })),
          { sign: 'dashed', colour: 'quiet', text: `goal ${share(goal)}` },
        ]}
      />
      <p class="readout" aria-live="off">
        {hovered === null ? (
          <span class="quiet">
            Point at a dot to read it, click it to choose its trial.
            {missing.includes('disc') && ' The configuration in force was not tried on this data.'}
          </span>
        ) : (
          textOf(points, hovered)
        )}
      </p>
      {chosenRow >= 0 && <Chosen points={points} row={chosenRow} onPromote={onPromote} />}
      <FrontTable points={points} />
    </Card>
  )
}

function textOf({ trials, points }: TrialPoints, row: number): string {
  const trial = points.trial[row] ?? 0
  return (
    `${trials.trial_id[trial]}: m ${trials.m[trial]}, ef of the build ${trials.ef_construction[trial]}, ` +
    `ef ${points.ef[row]}: recall ${share(points.recall[row])} ` +
    `(at least ${share(points.recall_lcb[row])}), ${amount(points.cpu_us[row])} µs`
  )
}

/** Where what is current, promoted and proposed stands among the points. */
function marksOf(
  { points, promoted, curve, proposed }: Tuning,
  current: HnswConfig | null,
): Mark[] {
  const { trials, points: cloud } = points
  const at = (trial: number, ef: number | null): number | null =>
    trial < 0 ? null : rowAtEf(cloud, trial, ef ?? 0)
  const promotedTrial = trials.trial_id.indexOf(promoted.current?.trial_id ?? '')
  const ef = promoted.current?.config.ef_search ?? curve.ef
  const same = trials.m.findLastIndex((m, row) => {
    return m === current?.m && trials.ef_construction[row] === current.ef_construction
  })
  const found = [
    { form: 'diamond', name: 'promoted', row: at(promotedTrial, ef) },
    {
      form: 'disc',
      name: `current (ef ${curve.ef ?? 'by k'})`,
      row: at(promotedTrial < 0 ? same : promotedTrial, curve.ef),
    },
    {
      form: 'triangle',
      name: 'proposed',
      row: at(trials.trial_id.indexOf(proposed ?? ''), curve.ef),
    },
  ] as const
  return found.flatMap((mark) => (mark.row === null ? [] : [{ ...mark, row: mark.row }]))
}

interface ChosenProps {
  readonly points: TrialPoints
  /** Of the trials. */
  readonly row: number
  readonly onPromote: (trialId: string) => void
}

function Chosen({ points: { trials }, row, onPromote }: ChosenProps): JSX.Element {
  const id = trials.trial_id[row] ?? ''
  return (
    <p class="notice row between">
      <span>
        Chosen: <code>{id}</code>, m {trials.m[row]}, ef of the build {trials.ef_construction[row]}
      </span>
      <button type="button" class="small" onClick={() => onPromote(id)}>
        Promote…
      </button>
    </p>
  )
}

function FrontTable({ points }: { points: TrialPoints }): JSX.Element {
  const [isOpen, setOpen] = useState(false)
  const { trials, points: cloud } = points
  const rows = useMemo(() => (isOpen ? paretoRows(cloud) : []), [isOpen, cloud])
  const trialOf = (row: number): number => cloud.trial[row] ?? 0
  return (
    <details onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>The points that none beats, as a table</summary>
      <Table
        label="Points that none beats"
        rows={rows}
        keyOf={(row) => row}
        pageRows={25}
        columns={[
          { name: 'Trial', cell: (row) => <code>{trials.trial_id[trialOf(row)]}</code> },
          { name: 'm', isNumber: true, cell: (row) => trials.m[trialOf(row)] },
          { name: 'ef build', isNumber: true, cell: (row) => trials.ef_construction[trialOf(row)] },
          { name: 'ef', isNumber: true, cell: (row) => cloud.ef[row] },
          { name: 'Recall', isNumber: true, cell: (row) => share(cloud.recall[row]) },
          { name: 'At least', isNumber: true, cell: (row) => share(cloud.recall_lcb[row]) },
          { name: 'CPU, µs', isNumber: true, cell: (row) => amount(cloud.cpu_us[row]) },
        ]}
      />
    </details>
  )
}
