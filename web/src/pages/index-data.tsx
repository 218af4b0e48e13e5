/** What an index consists of: generations, its stream, texts on their way, objects in its bucket. */

import type { ComponentChildren, JSX } from 'preact'
import { ApiError, get } from '../api/client.ts'
import type { Generations } from '../api/tuning-types.ts'
import type { IndexInfo, IndexStorage, ProjectionStatus, StreamStatus, Sum } from '../api/types.ts'
import { amount, bytes, count, duration, milliseconds, percent } from '../format.ts'
import { useLive } from '../live.ts'
import { Card, Empty, Facts, Fault, Loading, State, When } from '../ui/basics.tsx'
import { Config } from '../ui/config-diff.tsx'
import { Table, type Column } from '../ui/table.tsx'
import { WorkButtons } from './work-buttons.tsx'

const EVERY_MS = 4000
/** Listing a bucket costs requests: not each time. */
const STORAGE_EVERY_MS = 60_000

interface Parts {
  readonly generations: Generations | null
  readonly stream: StreamStatus | null
  readonly projection: ProjectionStatus | null
}

interface IndexDataProps {
  readonly info: IndexInfo
  readonly onChanged: () => void
}

export function IndexData({ info, onChanged }: IndexDataProps): JSX.Element {
  const { name, stats } = info
  const at = `/vectors/indexes/${encodeURIComponent(name)}`
  const hasStream = info.stream !== null && info.stream !== undefined
  const hasEmbedder = info.embedder !== null && info.embedder !== undefined
  const { value, error } = useLive<Parts>(
    `data ${name}`,
    async (abort) => ({
      generations:
        info.backend === 'hnsw' ? await get<Generations>(`${at}/generations`, abort) : null,
      stream: hasStream ? await unlessAbsent(get<StreamStatus>(`${at}/stream`, abort)) : null,
      projection: hasEmbedder ? await projectionOf(name, abort) : null,
    }),
    EVERY_MS,
  )
  return (
    <>
      <Fault error={error} what="Not everything could be loaded." />
      <Card title="Points" aside={<WorkButtons info={info} onStarted={onChanged} />}>
        <Facts
          isBroad
          facts={{
            Live: count(info.points),
            'Outside the graph': ofStats(stats?.delta_points),
            'Dead rows': ofStats(stats?.dead_rows),
            'Older versions kept': ofStats(stats?.kept_versions),
            'Into the graph': stats?.insert_rate ? `${amount(stats.insert_rate)} points/s` : null,
            'Dead share': percent(info.compaction?.ratio),
            'Last compaction': <When at={info.compaction?.last_at} />,
            Log: `${bytes(info.log_bytes)} since the checkpoint at lsn ${count(info.checkpoint_lsn)}`,
          }}
        />
      </Card>
      {value === null && error === null && <Loading />}
      {value?.generations !== null && value?.generations !== undefined && (
        <GenerationsCard generations={value.generations} />
      )}
      <div class="grid three">
        <StreamCard stream={value?.stream ?? null} name={name} />
        <ProjectionCard projection={value?.projection ?? null} hasEmbedder={hasEmbedder} />
        <StorageCard name={name} />
      </div>
    </>
  )
}

function ofStats(value: number | undefined): ComponentChildren {
  return value === undefined ? null : count(value)
}

/** Null for what this service or this index does not have. */
async function unlessAbsent<T>(found: Promise<T>): Promise<T | null> {
  try {
    return await found
  } catch (error) {
    if (error instanceof ApiError && error.status < 500) return null
    throw error
  }
}

async function projectionOf(name: string, abort: AbortSignal): Promise<ProjectionStatus | null> {
  const path = '/vectors/projection'
  const { indexes } = await get<{ indexes: readonly ProjectionStatus[] }>(path, abort)
  return indexes.find(({ index }) => index === name) ?? null
}

type Generation = Generations['generations'][number]

const GENERATION_COLUMNS: readonly Column<Generation>[] = [
  { name: 'Generation', cell: ({ generation }) => generation },
  { name: 'State', cell: ({ state }) => <State state={state} /> },
  { name: 'Configuration', cell: ({ config }) => <Config config={config} /> },
  { name: 'Elements', isNumber: true, cell: ({ elements }) => count(elements) },
  { name: 'Dead', isNumber: true, cell: ({ tombstones }) => count(tombstones) },
  { name: 'In the delta', isNumber: true, cell: (row) => count(row.delta_points) },
]

function GenerationsCard({ generations }: { generations: Generations }): JSX.Element {
  return (
    <Card title="Generations" aside={<span class="small quiet">{generations.config_source}</span>}>
      <Table
        label="Generations"
        columns={GENERATION_COLUMNS}
        rows={generations.generations}
        keyOf={({ generation, state }) => `${generation} ${state}`}
        isChosen={({ generation }) => generation === generations.published}
      />
    </Card>
  )
}

function StreamCard({ stream, name }: { stream: StreamStatus | null; name: string }): JSX.Element {
  if (stream === null) {
    const curl = `curl -X PATCH ${location.origin}/vectors/indexes/${name} \\
  -H 'content-type: application/json' -d '{"stream":{}}'`
    return (
      <Card title="Stream">
        <Empty title="The index takes no stream." curl={curl}>
          Turn it on, then POST points to …/stream:
        </Empty>
      </Card>
    )
  }
  const { totals } = stream
  const { buffer_size: size } = stream.settings
  return (
    <Card title="Stream" aside={<State state={stream.state} />}>
      <Facts
        facts={{
          Buffered: `${count(stream.buffered_points)} of ${count(size)} points`,
          'Not applied yet': count(stream.unapplied_points),
          'Oldest in the buffer': milliseconds(stream.oldest_ms),
          'Requests that wait': count(stream.waiting_requests),
          'Drain rate': stream.drain_rate === null ? null : `${amount(stream.drain_rate)} points/s`,
          'Dead letters': count(stream.dead_letters),
          Accepted: `${count(totals['accepted'])}, refused ${count(totals['refused'])}, failed ${count(totals['failed'])}`,
          'Last error': stream.last_error?.message,
        }}
      />
    </Card>
  )
}

interface ProjectionCardProps {
  readonly projection: ProjectionStatus | null
  readonly hasEmbedder: boolean
}

function ProjectionCard({ projection, hasEmbedder }: ProjectionCardProps): JSX.Element {
  if (projection === null) {
    return (
      <Card title="Texts to vectors">
        <Empty title={hasEmbedder ? 'Its state is not known here.' : 'The index has no embedder.'}>
          With one, points of text get their vectors by themselves.
        </Empty>
      </Card>
    )
  }
  const { pending, embedder } = projection
  return (
    <Card title="Texts to vectors" aside={<State state={projection.state} />}>
      <Facts
        facts={{
          Embedder: `${embedder.name}, ${embedder.model}`,
          Waiting:
            pending === null
              ? 'not known'
              : `${count(pending.writes)} new, ${count(pending.backfill)} older`,
          'Oldest new text': duration(projection.freshness_s),
          Speed: `${amount(projection.texts_per_s)} texts/s`,
          Failed: count(projection.failed),
          'Last error': projection.last_error?.message,
        }}
      />
    </Card>
  )
}

const sum = ({ objects, bytes: size }: Sum): string => `${bytes(size)} in ${count(objects)} objects`

function StorageCard({ name }: { name: string }): JSX.Element {
  const { value, error } = useLive<IndexStorage>(
    `storage ${name}`,
    (abort) => get(`/vectors/indexes/${encodeURIComponent(name)}/storage`, abort),
    STORAGE_EVERY_MS,
  )
  const dropped = Object.values(value?.dropped ?? {})
  return (
    <Card title="In the bucket">
      <Fault error={error} what="The bucket could not be listed." />
      {value === null ? (
        error === null && <Loading />
      ) : (
        <Facts
          facts={{
            Bucket: value.bucket,
            Needed: sum(value.live),
            'Kept to go back': sum(value.superseded),
            'To be swept': sum(value.orphaned),
            Dropped: `${bytes(dropped.reduce((all, one) => all + one.bytes, 0))} since the start`,
          }}
        />
      )}
    </Card>
  )
}
