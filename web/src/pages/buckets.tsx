/** Buckets: their health, adding and removing them, and what failed in storage. */

import type { JSX } from 'preact'
import { useState } from 'preact/hooks'
import { call, get } from '../api/client.ts'
import type { Bucket, BucketHealth, Drops, StorageFailure } from '../api/types.ts'
import { bytes, count, milliseconds } from '../format.ts'
import { useLive } from '../live.ts'
import { Badge, Card, Empty, Facts, Fault, Loading, State, When } from '../ui/basics.tsx'
import { Dialog } from '../ui/dialog.tsx'
import { Table, type Column } from '../ui/table.tsx'
import { tell } from '../ui/toast.tsx'
import { AddBucketDialog } from './add-bucket.tsx'

const EVERY_MS = 5000
const PAGE_ROWS = 25

interface Row extends Bucket {
  readonly probe: BucketHealth | null
}

interface Buckets {
  readonly buckets: readonly Row[]
  readonly errors: readonly StorageFailure[]
  readonly drops: Drops
}

async function load(abort: AbortSignal): Promise<Buckets> {
  const { buckets } = await get<{ buckets: readonly Bucket[] }>('/storage/buckets', abort)
  const probed = await get<{ buckets: readonly BucketHealth[] }>('/storage/bucket-health', abort)
  const { errors } = await get<{ errors: readonly StorageFailure[] }>('/storage/errors', abort)
  const drops = await get<Drops>('/maintenance/drops', abort)
  const probeOf = (name: string): BucketHealth | null =>
    probed.buckets.find((probe) => probe.name === name) ?? null
  return { buckets: buckets.map((one) => ({ ...one, probe: probeOf(one.name) })), errors, drops }
}

export function BucketsPage(): JSX.Element {
  const { value, error, reload } = useLive('buckets', load, EVERY_MS)
  const [isAdding, setAdding] = useState(false)
  const [removed, setRemoved] = useState<Bucket | null>(null)
  return (
    <>
      <div class="row between">
        <h1 tabIndex={-1}>Buckets</h1>
        <button type="button" class="primary" onClick={() => setAdding(true)}>
          Add a bucket…
        </button>
      </div>
      <Fault error={error} what="The buckets could not be loaded." />
      {value === null && error === null && <Loading />}
      {value !== null && (
        <>
          <Card title="Where indexes live">
            <Table
              label="Buckets"
              columns={columnsOf(setRemoved)}
              rows={value.buckets}
              keyOf={({ name }) => name}
            />
          </Card>
          <DropsCard drops={value.drops} />
          <Errors errors={value.errors} />
        </>
      )}
      {isAdding && <AddBucketDialog onDone={reload} onClose={() => setAdding(false)} />}
      {removed !== null && (
        <RemoveDialog bucket={removed} onDone={reload} onClose={() => setRemoved(null)} />
      )}
    </>
  )
}

function columnsOf(onRemove: (bucket: Bucket) => void): readonly Column<Row>[] {
  return [
    {
      name: 'Bucket',
      cell: ({ name, role }) => (
        <>
          {name} {role !== 'extra' && <Badge tone="accent">{role}</Badge>}
        </>
      ),
    },
    { name: 'Place', cell: ({ uri }) => <code>{uri}</code> },
    {
      name: 'Health',
      cell: ({ health, probe }) => (
        <>
          <State state={health} />
          {typeof probe?.error === 'string' && <div class="small quiet">{probe.error}</div>}
        </>
      ),
    },
    {
      name: 'Answers in',
      isNumber: true,
      cell: ({ probe }) => milliseconds(probe?.latency_ms),
    },
    { name: 'Looked at', cell: ({ probe }) => <When at={probe?.checked_at} /> },
    {
      name: 'Several servers',
      cell: ({ conditional_writes: word }) => (word === 'verified' ? 'safe' : 'one writer only'),
    },
    {
      name: 'Action',
      cell: (bucket) =>
        bucket.protected ? null : (
          <button
            type="button"
            class="small danger"
            aria-label={`Remove bucket ${bucket.name}`}
            onClick={() => onRemove(bucket)}
          >
            Remove…
          </button>
        ),
    },
  ]
}

const ERROR_COLUMNS: readonly Column<StorageFailure>[] = [
  { name: 'When', cell: ({ at }) => <When at={at} /> },
  { name: 'Bucket', cell: ({ bucket }) => bucket },
  { name: 'What', cell: ({ operation }) => operation },
  { name: 'Code', cell: ({ code }) => <code>{code}</code> },
  {
    name: 'Message',
    cell: ({ message, key }) => (
      <>
        {message}
        {key !== null && <div class="small quiet mono">{key}</div>}
      </>
    ),
  },
]

function Errors({ errors }: { errors: readonly StorageFailure[] }): JSX.Element {
  return (
    <Card title="Failures of storage">
      {errors.length === 0 ? (
        <Empty title="No failure is on record." />
      ) : (
        <Table
          label="Failures of storage, newest first"
          columns={ERROR_COLUMNS}
          rows={errors}
          keyOf={(failure) => `${failure.at} ${failure.operation} ${failure.key ?? ''}`}
          pageRows={PAGE_ROWS}
        />
      )}
    </Card>
  )
}

function DropsCard({ drops }: { drops: Drops }): JSX.Element {
  const dropped = Object.values(drops.dropped)
  const [objects, size] = [
    dropped.reduce((sum, one) => sum + one.objects, 0),
    dropped.reduce((sum, one) => sum + one.bytes, 0),
  ]
  return (
    <Card title="Deleted in the background">
      <Facts
        isBroad
        facts={{
          Waiting: `${count(drops.waiting)} of at most ${count(drops.waiting_max)}`,
          'Held open by readers': count(drops.pins.length),
          'Failing, tried again': count(drops.failing.length),
          Deleted: `${count(objects)} objects, ${bytes(size)}, since the start`,
        }}
      />
      {drops.failing.map(({ key, error, attempts }) => (
        <p class="notice warn" key={key}>
          <code>{key}</code>: {error} ({count(attempts)} times)
        </p>
      ))}
    </Card>
  )
}

interface RemoveDialogProps {
  readonly bucket: Bucket
  readonly onDone: () => void
  readonly onClose: () => void
}

function RemoveDialog({ bucket: { name, uri }, onDone, onClose }: RemoveDialogProps): JSX.Element {
  const confirm = async (): Promise<void> => {
    await call('DELETE', `/storage/buckets/${encodeURIComponent(name)}`)
    tell(`Bucket ${name} is no longer registered.`)
    onDone()
  }
  return (
    <Dialog
      title={`Remove bucket ${name}?`}
      verb="Remove"
      isDanger
      onConfirm={confirm}
      onClose={onClose}
    >
      <p>
        It is no longer looked at; no object in <code>{uri}</code> is deleted. A bucket that holds
        indexes cannot be removed.
      </p>
    </Dialog>
  )
}
