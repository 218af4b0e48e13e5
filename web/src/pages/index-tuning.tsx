/** What was tried on an index: trials as recall against cost, the recall-ef curve, the journal. */

import type { JSX } from 'preact'
import { useRef, useState } from 'preact/hooks'
import { ApiError, call, get } from '../api/client.ts'
import type {
  AgentStatus,
  Curve,
  Explanation,
  Promoted,
  RecallReport,
  TrialPoints,
} from '../api/tuning-types.ts'
import type { IndexInfo } from '../api/types.ts'
import { Legend } from '../charts/legend.tsx'
import { RecallCurve } from '../charts/recall-curve.tsx'
import { amount, count, share } from '../format.ts'
import { useLive } from '../live.ts'
import { Card, Empty, Fault, Loading } from '../ui/basics.tsx'
import { Table } from '../ui/table.tsx'
import { ChangeDialog, promotionOf, type Change } from './promote.tsx'
import { TrialsCard, type Tuning } from './trials-card.tsx'
import { TrialTable } from './trial-table.tsx'

const EVERY_MS = 5000
/** The agent works its next step out anew each time it is asked why. */
const EXPLAIN_EVERY = 12
/** A long journal is read as a whole for its points. */
const POINTS_EVERY = 6

interface IndexTuningProps {
  readonly info: IndexInfo
  readonly recall: RecallReport
  readonly onChanged: () => void
}

export function IndexTuning({ info, recall, onChanged }: IndexTuningProps): JSX.Element {
  const { name } = info
  const { value, error, reload } = useTuning(name)
  const [change, setChange] = useState<Change | null>(null)
  const [chosen, setChosen] = useState<string | null>(null)
  const goal = recall.recall_slo.goal
  if (value === null) {
    return error === null ? <Loading /> : <Fault error={error} what="The trials are not there." />
  }
  const now = value.promoted.current?.config ?? info.hnsw ?? null
  const promote = (trialId: string): void => {
    void promotionOf(name, trialId, { now, promoted: value.promoted }).then(setChange)
  }
  const done = (): void => {
    reload()
    onChanged()
  }
  return (
    <>
      <Fault error={error} what="The trials could not be refreshed." />
      <TrialsCard
        index={name}
        tuning={value}
        current={now}
        goal={goal}
        chosen={chosen}
        onChoose={setChosen}
        onPromote={promote}
      />
      <CurveCard curve={value.curve} goal={goal} />
      <TrialTable
        index={name}
        goal={goal}
        version={value.points.total}
        promoted={value.promoted.current?.trial_id ?? null}
        chosen={chosen}
        onChoose={setChosen}
        onPromote={promote}
      />
      {change !== null && (
        <ChangeDialog change={change} onDone={done} onClose={() => setChange(null)} />
      )}
    </>
  )
}

interface KeptPoints {
  readonly points: TrialPoints
  readonly etag: string | null
}

/** What is known already is not sent again, and the chart is not painted again. */
async function pointsOf(
  name: string,
  known: KeptPoints | null,
  abort: AbortSignal,
): Promise<KeptPoints> {
  const etag = known?.etag ?? null
  const answer = await call<TrialPoints>('GET', `/vectors/hnsw/trials/${name}/points`, {
    signal: abort,
    headers: etag === null ? {} : { 'if-none-match': etag },
  })
  if (known !== null && answer.status === 304) return known
  return { points: answer.body, etag: answer.etag }
}

/** One load: what is asked for again is only what may have changed. */
function useTuning(name: string) {
  const kept = useRef<KeptPoints | null>(null)
  const proposal = useRef({ round: 0, challenger: null as string | null })
  return useLive<Tuning>(
    `tuning ${name}`,
    async (abort) => {
      if (kept.current === null || proposal.current.round % POINTS_EVERY === 0) {
        kept.current = await pointsOf(name, kept.current, abort)
      }
      const { points } = kept.current
      const promoted = await get<Promoted>(`/vectors/hnsw/promoted/${name}`, abort)
      const curve = await get<Curve>(`/vectors/hnsw/curve/${name}`, abort)
      const status = await get<AgentStatus>('/vectors/agent/status', abort)
      const rollout = status.indexes.find(({ index }) => index === name)?.rollout ?? null
      if (proposal.current.round % EXPLAIN_EVERY === 0) {
        proposal.current.challenger = await challengerOf(name, abort)
      }
      proposal.current.round += 1
      return { points, promoted, curve, proposed: rollout?.trial_id ?? proposal.current.challenger }
    },
    EVERY_MS,
  )
}

/** Null where the agent has nothing to say about the index. */
async function challengerOf(name: string, abort: AbortSignal): Promise<string | null> {
  try {
    const { challenger, champion } = await get<Explanation>(`/vectors/agent/explain/${name}`, abort)
    return challenger ?? champion?.trial_id ?? null
  } catch (error) {
    if (error instanceof ApiError) return null
    throw error
  }
}

function CurveCard({ curve, goal }: { curve: Curve; goal: number }): JSX.Element {
  const { live, promoted, ef } = curve
  return (
    <Card title="Recall against ef">
      {live === null && promoted === null ? (
        <Empty title="There is no curve yet.">
          It comes with the first promoted trial, or with live searches that are sampled.
        </Empty>
      ) : (
        <>
          <RecallCurve curve={curve} goal={goal} />
          <Legend
            entries={[
              ...(promoted === null ? [] : TRIAL_LINES),
              ...(live === null ? [] : LIVE_LINES),
              { sign: 'dashed', colour: 'quiet', text: `goal ${share(goal)}` },
              ...(ef === null
                ? []
                : [{ sign: 'upright', colour: 'series-3', text: `ef in use: ${ef}` } as const]),
            ]}
          />
          <CurveTable curve={curve} />
        </>
      )}
    </Card>
  )
}

const TRIAL_LINES = [
  { sign: 'line', colour: 'accent', text: 'promoted trial' },
  { sign: 'dashed', colour: 'accent', text: 'its lower 95 % bound' },
] as const
const LIVE_LINES = [
  { sign: 'line', colour: 'series-2', text: 'live searches' },
  { sign: 'dashed', colour: 'series-2', text: 'their interval' },
] as const

function CurveTable({ curve }: { curve: Curve }): JSX.Element {
  const rows = [
    ...(curve.promoted?.points ?? []).map((point) => ({
      ...{ of: 'trial', ef: point.ef, n: point.n, recall: point.recall, low: point.recall_lcb },
      ...{ high: null as number | null, cost: point.cpu_us },
    })),
    ...(curve.live?.points ?? []).map((point) => ({
      ...{ of: 'live', ef: point.ef, n: point.n, recall: point.recall, low: point.recall_lcb },
      ...{ high: point.recall_ucb, cost: null },
    })),
  ]
  return (
    <details>
      <summary>As a table</summary>
      <Table
        label="Recall against ef"
        rows={rows}
        keyOf={({ of, ef }) => `${of} ${ef}`}
        columns={[
          { name: 'Of', cell: ({ of }) => of },
          { name: 'ef', isNumber: true, cell: ({ ef }) => count(ef) },
          { name: 'Queries', isNumber: true, cell: ({ n }) => count(n) },
          { name: 'Recall', isNumber: true, cell: ({ recall }) => share(recall) },
          { name: 'At least', isNumber: true, cell: ({ low }) => share(low) },
          { name: 'At most', isNumber: true, cell: ({ high }) => share(high) },
          { name: 'CPU, µs', isNumber: true, cell: ({ cost }) => amount(cost) },
        ]}
      />
    </details>
  )
}
