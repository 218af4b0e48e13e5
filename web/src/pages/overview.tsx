/** The first page: every index with its health and recall, and how the service as a whole does. */

import type { JSX } from 'preact'
import { useState } from 'preact/hooks'
import { get } from '../api/client.ts'
import type { Core, Overview, OverviewIndex } from '../api/types.ts'
import { amount, bytes, count, DASH, milliseconds } from '../format.ts'
import { useLive } from '../live.ts'
import { hrefOf } from '../router.tsx'
import { Badge, Card, Empty, Fault, Figure, Loading, Meter, State, When } from '../ui/basics.tsx'
import { Recall } from '../ui/recall.tsx'
import { Table, type Column } from '../ui/table.tsx'

const EVERY_MS = 3000
const PAGE_ROWS = 50

const CREATE = `curl -X POST ${location.origin}/vectors/indexes \\
  -H 'content-type: application/json' -d '{"name":"words","dimension":384}'`

export function OverviewPage(): JSX.Element {
  const { value, error } = useLive(
    'overview',
    (abort) => get<Overview>('/overview', abort),
    EVERY_MS,
  )
  return (
    <>
      <h1 tabIndex={-1}>Overview</h1>
      <Fault error={error} what="The overview could not be loaded." />
      {value === null ? <Loading /> : <Content overview={value} />}
    </>
  )
}

function Content({ overview }: { overview: Overview }): JSX.Element {
  const { indexes, cores, buckets } = overview
  return (
    <>
      <Figures overview={overview} />
      <Indexes indexes={indexes} />
      <div class="grid">
        {cores !== null && <Cores cores={cores} />}
        {buckets !== null && <Buckets buckets={buckets} />}
      </div>
      <p class="small quiet">
        vectord {overview.version}, started <When at={overview.started_at} />
      </p>
    </>
  )
}

function Figures({ overview }: { overview: Overview }): JSX.Element {
  const { indexes, searches, memory, cores, buckets } = overview
  const ready = indexes.filter(({ state }) => state === 'ready').length
  const points = indexes.reduce((sum, index) => sum + (index.points ?? 0), 0)
  const missed = indexes.filter(({ recall }) => recall.status === 'violated').length
  const known = indexes.filter(({ recall }) => recall.status !== 'unknown').length
  return (
    <dl class="figures">
      <Figure
        name="Indexes ready"
        value={count(ready)}
        unit={`of ${count(indexes.length)}`}
        note={`${count(points)} points`}
      />
      <Figure
        name="Recall goals held"
        value={known === 0 ? DASH : count(known - missed)}
        {...(known > 0 && { unit: `of ${count(known)} measured` })}
        note={missed > 0 ? <Badge tone="bad">{count(missed)} missed</Badge> : 'on live searches'}
      />
      <Figure
        name="Searches a second"
        value={amount(searches.qps)}
        note={`last minute, ${count(searches.failed)} failed`}
      />
      <Figure name="Search time, p99" value={milliseconds(searches.p99_ms)} note="last minute" />
      {memory !== null && <Memory memory={memory} />}
      {cores !== null && (
        <Figure
          name="Cores running"
          value={count(cores.filter(({ state }) => state === 'running').length)}
          unit={`of ${count(cores.length)}`}
          note={`${count(cores.reduce((sum, core) => sum + core.queue, 0))} requests wait`}
        />
      )}
      {buckets !== null && (
        <Figure
          name="Buckets reachable"
          value={count(buckets.filter(({ health }) => health === 'ok').length)}
          unit={`of ${count(buckets.length)}`}
        />
      )}
    </dl>
  )
}

function Memory({ memory }: { memory: NonNullable<Overview['memory']> }): JSX.Element {
  const { used_bytes: used, bound_bytes: bound, rss_bytes: rss } = memory
  return (
    <Figure
      name="Memory of points"
      value={bytes(used)}
      note={
        <>
          {bound === null ? 'no bound' : `of ${bytes(bound)}`}, resident {bytes(rss)}
          {bound !== null && <Meter part={used / bound} label="Memory used" />}
        </>
      }
    />
  )
}

const COLUMNS: readonly Column<OverviewIndex>[] = [
  {
    name: 'Index',
    cell: ({ name, dimension, metric, backend }) => (
      <>
        <a href={hrefOf('indexes', name)}>{name}</a>
        <div class="small quiet nowrap">
          {dimension} × {metric}
          {backend !== 'hnsw' && ` · ${backend}`}
        </div>
      </>
    ),
    by: ({ name }) => name,
  },
  { name: 'State', cell: (index) => <IndexState index={index} />, by: ({ state }) => state },
  {
    name: 'Live recall',
    cell: ({ recall }) => <Recall {...recall} />,
    by: ({ recall }) => recall.recall,
  },
  {
    name: 'Points',
    isNumber: true,
    cell: ({ points }) => count(points),
    by: ({ points }) => points,
  },
  {
    name: 'Searches/s',
    isNumber: true,
    cell: ({ searches }) => amount(searches.qps),
    by: ({ searches }) => searches.qps,
  },
  {
    name: 'p99',
    isNumber: true,
    cell: ({ searches }) => milliseconds(searches.p99_ms),
    by: ({ searches }) => searches.p99_ms,
  },
  {
    name: 'Memory',
    isNumber: true,
    isWide: true,
    cell: (index) => bytes(index.memory_bytes),
    by: (index) => index.memory_bytes,
  },
  { name: 'Bucket', isWide: true, cell: ({ bucket }) => bucket, by: ({ bucket }) => bucket },
]

function IndexState({ index }: { index: OverviewIndex }): JSX.Element {
  const { state, progress, reason, role } = index
  return (
    <>
      <State state={state} />
      {state === 'loading' && <div class="small quiet">{Math.round(100 * progress)} %</div>}
      {reason !== null && <div class="small quiet">{reason}</div>}
      {role === 'follower' && <div class="small quiet">follower</div>}
    </>
  )
}

function Indexes({ indexes }: { indexes: readonly OverviewIndex[] }): JSX.Element {
  const [wanted, setWanted] = useState('')
  if (indexes.length === 0) {
    return (
      <Card title="Indexes">
        <Empty title="There is no index yet." curl={CREATE}>
          Create one, and it shows here at once:
        </Empty>
      </Card>
    )
  }
  const found = indexes.filter(({ name }) => name.toLowerCase().includes(wanted.toLowerCase()))
  const filter = (
    <input
      class="filter"
      type="search"
      placeholder="Find by name"
      aria-label="Find an index by name"
      value={wanted}
      onInput={(event) => setWanted(event.currentTarget.value)}
    />
  )
  return (
    <Card title="Indexes" {...(indexes.length > 8 && { aside: filter })}>
      <Table
        label="Indexes"
        columns={COLUMNS}
        rows={found}
        keyOf={({ name }) => name}
        pageRows={PAGE_ROWS}
      />
      {found.length === 0 && <p class="quiet">No index has “{wanted}” in its name.</p>}
    </Card>
  )
}

const CORE_COLUMNS: readonly Column<Core>[] = [
  { name: 'Core', cell: ({ core }) => core },
  { name: 'State', cell: ({ state }) => <State state={state} /> },
  { name: 'Queue', isNumber: true, cell: ({ queue }) => count(queue) },
  { name: 'Resident', isNumber: true, cell: ({ rss_bytes }) => bytes(rss_bytes) },
  { name: 'Shards', isNumber: true, cell: ({ shards }) => count(shards) },
  { name: 'Restarts', isNumber: true, cell: ({ deaths }) => count(deaths) },
]

function Cores({ cores }: { cores: readonly Core[] }): JSX.Element {
  return (
    <Card title="Cores">
      <Table label="Cores" columns={CORE_COLUMNS} rows={cores} keyOf={({ core }) => core} />
    </Card>
  )
}

type BucketRow = NonNullable<Overview['buckets']>[number]

const BUCKET_COLUMNS: readonly Column<BucketRow>[] = [
  { name: 'Bucket', cell: ({ name }) => name },
  { name: 'Kind', cell: ({ backend, role }) => `${backend}, ${role}` },
  { name: 'Health', cell: ({ health }) => <State state={health} /> },
]

function Buckets({ buckets }: { buckets: readonly BucketRow[] }): JSX.Element {
  const more = <a href={hrefOf('buckets')}>All about buckets</a>
  return (
    <Card title="Buckets" aside={more}>
      <Table label="Buckets" columns={BUCKET_COLUMNS} rows={buckets} keyOf={({ name }) => name} />
    </Card>
  )
}
