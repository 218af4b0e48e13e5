/**
 * The shapes of `routes/snapshots.ts`.
 */

import { Type, type Static } from '@fastify/type-provider-typebox'
import { METRICS } from '../src/domain/metric.ts'
import { FailedPart, Lsn, Name, Nullable, PAGE_DEFAULT } from '../src/http/schemas.ts'
import { TIME_ID_PATTERN } from '../src/lib/time-id.ts'
import { bytesOf } from '../src/snapshots/snapshot-codec.ts'
import { filesOf, type Snapshot } from '../src/snapshots/snapshot.ts'
import { IndexJson } from './index-answers.ts'

const STRICT = { additionalProperties: false } as const
const NOTE_CHARS_MAX = 1024
const PAGE_MAX = 1000
const Count = Type.Integer({ minimum: 0 })
const Id = Type.String({ pattern: TIME_ID_PATTERN, description: 'Younger ones sort behind.' })

const Wait = Type.Boolean({ default: false, description: 'Answer when it is done.' })
const Bucket = Type.Optional(
  Type.String({
    ...Name,
    description: 'Where the snapshot is: the home of the index by default, or the primary bucket.',
  }),
)

export const SnapshotParams = Type.Object({ index: Name, id: Id }, STRICT)

export const BucketQuery = Type.Object({ bucket: Bucket }, STRICT)

export const BucketWaitQuery = Type.Object({ bucket: Bucket, wait: Wait }, STRICT)

export const ListQuery = Type.Object(
  {
    bucket: Bucket,
    limit: Type.Integer({ minimum: 1, maximum: PAGE_MAX, default: PAGE_DEFAULT }),
    cursor: Type.Optional(Id),
  },
  STRICT,
)

export const MakeBody = Type.Object(
  {
    note: Type.Optional(Type.String({ minLength: 1, maxLength: NOTE_CHARS_MAX })),
    bucket: Type.Optional(
      Type.String({ ...Name, description: 'Where to put it: the home of the index by default.' }),
    ),
  },
  STRICT,
)

export const RestoreBody = Type.Object(
  {
    name: Type.String({ ...Name, description: 'Of the new index.' }),
    bucket: Type.Optional(
      Type.String({ ...Name, description: 'Its home: the bucket of the snapshot by default.' }),
    ),
  },
  STRICT,
)

export const CopyBody = Type.Object({ bucket: Name }, STRICT)

export const SnapshotJson = Type.Object(
  {
    id: Id,
    index: Name,
    bucket: Name,
    created_at: Type.String(),
    created_by: Type.String(),
    note: Nullable(Type.String()),
    lsn: Lsn,
    points: Count,
    files: Count,
    bytes: Count,
    dimension: Count,
    metric: Type.Enum([...METRICS]),
    shards: Count,
    embedder: Nullable(Type.String()),
    promoted_trial_id: Nullable(Type.String({ description: 'Of the configuration in force.' })),
  },
  STRICT,
)

export const SnapshotList = Type.Object(
  {
    snapshots: Type.Array(SnapshotJson, { description: 'Newest first.' }),
    errors: Type.Array(Type.Object({ id: Id, error: FailedPart.properties.error }, STRICT), {
      description: 'Snapshots whose document cannot be read.',
    }),
    next_cursor: Nullable(Id),
  },
  STRICT,
)

export const RestoredJson = Type.Object(
  {
    index: IndexJson,
    snapshot: SnapshotJson,
    left_out: Type.Array(Type.String(), {
      description: 'Keys of damaged graph files; these graphs are built again.',
    }),
  },
  STRICT,
)

export const SnapshotReportJson = Type.Object(
  {
    clean: Type.Boolean(),
    files: Count,
    bytes: Count,
    faults: Type.Array(Type.Object({ key: Type.String(), problem: Type.String() }, STRICT)),
  },
  STRICT,
)

export function snapshotJson(snapshot: Snapshot, bucket: string): Static<typeof SnapshotJson> {
  const { id, createdMs, createdBy, note, meta, lsn, points, promoted } = snapshot
  return {
    ...{ id, index: meta.name, bucket },
    created_at: new Date(createdMs).toISOString(),
    created_by: createdBy,
    ...{ note, lsn, points },
    files: filesOf(snapshot).length,
    bytes: bytesOf(snapshot),
    ...{ dimension: meta.dimension, metric: meta.metric, shards: meta.shards },
    embedder: meta.embedder?.name ?? null,
    promoted_trial_id: promoted?.trialId ?? null,
  }
}
