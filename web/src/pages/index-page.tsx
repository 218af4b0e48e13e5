/** One index: its head, and the tabs below it. */

import type { JSX } from 'preact'
import { useEffect, useState } from 'preact/hooks'
import { ApiError, get } from '../api/client.ts'
import type { RecallReport } from '../api/tuning-types.ts'
import type { IndexInfo } from '../api/types.ts'
import { bytes, count, DASH, percent, share } from '../format.ts'
import { useLive } from '../live.ts'
import { hrefOf } from '../router.tsx'
import { Badge, Facts, Fault, Loading, State, When } from '../ui/basics.tsx'
import { Recall } from '../ui/recall.tsx'
import { IndexAgent } from './index-agent.tsx'
import { IndexData } from './index-data.tsx'
import { IndexHistory } from './index-history.tsx'
import { IndexSearch } from './index-search.tsx'
import { OperationList } from './operations.tsx'
import { RecallStrata } from './recall-strata.tsx'

const EVERY_MS = 4000

/** Tabs about graphs exist only for indexes that have one. */
const TABS = [
  { at: '', name: 'Tuning', isOfHnsw: true },
  { at: 'history', name: 'History', isOfHnsw: true },
  { at: 'search', name: 'Search', isOfHnsw: false },
  { at: 'data', name: 'Data', isOfHnsw: false },
  { at: 'operations', name: 'Operations', isOfHnsw: false },
  { at: 'agent', name: 'Agent', isOfHnsw: true },
] as const

export interface IndexState {
  readonly info: IndexInfo
  /** Null where recall is not measured for this backend. */
  readonly recall: RecallReport | null
}

export function IndexPage({ name, tab }: { name: string; tab: string }): JSX.Element {
  const at = `/vectors/indexes/${encodeURIComponent(name)}`
  const { value, error, reload } = useLive<IndexState>(
    `index ${name}`,
    async (abort) => {
      const info = await get<IndexInfo>(at, abort)
      return { info, recall: await recallOf(at, abort) }
    },
    EVERY_MS,
  )
  return (
    <>
      <div class="row">
        <h1 tabIndex={-1}>{name}</h1>
        {value !== null && <State state={value.info.state} />}
        {value?.info.role === 'follower' && <Badge>follower</Badge>}
      </div>
      <Fault error={error} what="The index could not be loaded." />
      {value === null && error === null && <Loading />}
      {value !== null && (
        <>
          <Head state={value} />
          {value.recall !== null && (
            <RecallStrata
              recall={value.recall}
              breadth={value.info.backend === 'lance' ? 'nprobes' : 'ef'}
            />
          )}
          <Tabs name={name} tab={tab} backend={value.info.backend} />
          <Tab name={name} tab={tab} state={value} onChanged={reload} />
        </>
      )}
    </>
  )
}

/** Null where this backend has none. */
async function recallOf(at: string, abort: AbortSignal): Promise<RecallReport | null> {
  try {
    return await get<RecallReport>(`${at}/recall`, abort)
  } catch (error) {
    if (error instanceof ApiError && error.status < 500 && error.status !== 401) return null
    throw error
  }
}

function Head({ state: { info, recall } }: { state: IndexState }): JSX.Element {
  const { stats } = info
  const main = recall?.strata.toSorted((a, b) => b.n - a.n)[0] ?? null
  return (
    <div class="grid">
      <Facts
        facts={{
          Points: `${count(info.points)} × ${info.dimension}, ${info.metric}`,
          Memory: bytes(stats?.memory_bytes),
          Bucket: info.bucket,
          'Last write': info.lsn === undefined ? null : `lsn ${count(info.lsn)}`,
          Created: <When at={info.created_at} />,
          'Not ready because': info.reason,
        }}
      />
      {recall !== null && (
        <Facts
          facts={{
            'Live recall': (
              <Recall
                recall={main?.recall ?? null}
                interval={main?.interval ?? null}
                goal={recall.recall_slo.goal}
                status={recall.recall_slo.status}
              />
            ),
            Samples: `${count(recall.samples)}, ${percent(recall.sampled_share)} of searches`,
            ...(info.backend === 'hnsw' && {
              'ef of searches': `${recall.ef ?? 'by k'} (${recall.ef_source})`,
              Generation: recall.generation ?? DASH,
              'Dead share': percent(info.compaction?.ratio),
            }),
            ...lanceFacts(info),
          }}
        />
      )}
    </div>
  )
}

function lanceFacts({ lance }: IndexInfo): Readonly<Record<string, string | null>> {
  if (lance === null || lance === undefined) return {}
  const { index_kind: kind, nprobes, refine_factor: refine, shown } = lance
  return {
    'Vector index': kind ?? 'none: every row is compared',
    Probes: nprobes === null ? null : count(nprobes),
    'Refine factor': refine === null ? null : count(refine),
    'Recall when tuned':
      shown === null ? null : `${share(shown.recall)}, at least ${share(shown.recall_lcb)}`,
  }
}

function Tabs(props: { name: string; tab: string; backend: string }): JSX.Element {
  const { name, tab, backend } = props
  const shown = TABS.filter(({ isOfHnsw }) => !isOfHnsw || backend === 'hnsw')
  return (
    <nav class="tabs" aria-label="Parts of the index">
      <ul>
        {shown.map(({ at, name: label }) => (
          <li key={at}>
            <a
              href={hrefOf('indexes', name, ...(at === '' ? [] : [at]))}
              {...(at === tab && { 'aria-current': 'page' as const })}
            >
              {label}
            </a>
          </li>
        ))}
      </ul>
    </nav>
  )
}

interface TabProps {
  readonly name: string
  readonly tab: string
  readonly state: IndexState
  readonly onChanged: () => void
}

function Tab({ name, tab, state, onChanged }: TabProps): JSX.Element {
  const isHnsw = state.info.backend === 'hnsw'
  const { recall } = state
  if (tab === 'search' || (tab === '' && !isHnsw)) return <IndexSearch info={state.info} />
  if (tab === 'data') return <IndexData info={state.info} onChanged={onChanged} />
  if (tab === 'operations') return <OperationList index={name} />
  if (tab === 'history') return <IndexHistory info={state.info} onChanged={onChanged} />
  if (tab === 'agent') return <IndexAgent name={name} onChanged={onChanged} />
  if (recall === null) return <p class="quiet">There is no such part of this index.</p>
  return <LazyTuning info={state.info} recall={recall} onChanged={onChanged} />
}

type Tuning = typeof import('./index-tuning.tsx').IndexTuning

/** Charts are loaded with the first page that has one. */
function LazyTuning(props: Parameters<Tuning>[0]): JSX.Element {
  const [loaded, setLoaded] = useState<{ readonly Tuning: Tuning } | null>(null)
  useEffect(() => {
    void import('./index-tuning.tsx').then((file) => setLoaded({ Tuning: file.IndexTuning }))
  }, [])
  return loaded === null ? <Loading /> : <loaded.Tuning {...props} />
}
