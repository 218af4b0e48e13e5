/**
 * /maintenance/drops and /vectors/indexes/{index}/storage: what is deleted in the background, and what
 * an index takes in its bucket.
 */

import {
  Type,
  type FastifyPluginCallbackTypebox,
  type Static,
} from '@fastify/type-provider-typebox'
import { findIndex } from '../src/http/index-access.ts'
import { IndexParams, Name, NoQuery, replies } from '../src/http/schemas.ts'
import type { Indexes } from '../src/indexes/index-api.ts'
import type { StorageReport } from '../src/indexes/storage-report.ts'

type OfKinds<T> = Readonly<Record<string, T>>

interface Sum {
  readonly objects: number
  readonly bytes: number
}

/** What these routes need of the drop worker. */
export interface DropsApi {
  readonly status: {
    readonly waiting: number
    readonly waitingMax: number
    readonly senders: number
    readonly pending: OfKinds<number>
    readonly failing: readonly {
      readonly kind: string
      readonly key: string
      readonly attempts: number
      readonly message: string
      readonly atMs: number
    }[]
    readonly pins: readonly {
      readonly kind: string
      readonly key: string
      readonly version: number
      readonly readers: number
    }[]
    readonly dropped: OfKinds<Sum>
  }

  /** Of one index, since the start. */
  droppedOf(index: string): OfKinds<Sum>
}

export interface DropRoutesOptions {
  readonly indexes: Indexes
  readonly drops: DropsApi
  readonly reports: { of(index: string): Promise<StorageReport> }
}

const STRICT = { additionalProperties: false } as const
const TAGS = ['maintenance']
const Count = Type.Integer({ minimum: 0 })
const SumJson = Type.Object({ objects: Count, bytes: Count }, STRICT)
const ByKind = (value: typeof Count | typeof SumJson, description: string) =>
  Type.Record(Type.String(), value, { description })

const DroppedJson = ByKind(SumJson, 'What was deleted since the start of the server, by kind.')

const ClassesJson = {
  live: SumJson,
  superseded: SumJson,
  orphaned: SumJson,
}

const DropsJson = Type.Object(
  {
    waiting: Count,
    waiting_max: Count,
    senders: Type.Integer({ minimum: 0, description: 'Who waits for room in the queue.' }),
    pending: ByKind(Count, 'Things with old versions to drop, whatever they wait for.'),
    failing: Type.Array(
      Type.Object(
        {
          kind: Type.String(),
          key: Type.String(),
          attempts: Count,
          error: Type.String(),
          at: Type.String(),
        },
        STRICT,
      ),
      { description: 'What failed the last time, and is tried again.' },
    ),
    pins: Type.Array(
      Type.Object(
        { kind: Type.String(), key: Type.String(), version: Count, readers: Count },
        STRICT,
      ),
      { description: 'What readers have open: it is not dropped now.' },
    ),
    dropped: DroppedJson,
  },
  STRICT,
)

const StorageJson = Type.Object(
  {
    name: Name,
    bucket: Name,
    total: SumJson,
    ...ClassesJson,
    folders: Type.Array(Type.Object({ folder: Type.String(), ...ClassesJson }, STRICT)),
    dropped: DroppedJson,
  },
  STRICT,
)

const DROPS = {
  config: { role: 'read', wide: true },
  schema: {
    tags: TAGS,
    summary: 'What waits to be deleted in the background, what failed, what was deleted',
    querystring: NoQuery,
    response: replies({ 200: DropsJson }),
  },
} as const

const STORAGE = {
  config: { role: 'read' },
  schema: {
    tags: TAGS,
    summary: 'Objects and bytes of an index in its bucket, and what they are for',
    description:
      'Lists the bucket. Live: needed now. Superseded: older checkpoints, graphs kept for going ' +
      'back or cached, log before the newest checkpoint. Orphaned: being written, or left by a crash.',
    params: IndexParams,
    querystring: NoQuery,
    response: replies({ 200: StorageJson }),
  },
} as const

export const dropRoutes: FastifyPluginCallbackTypebox<DropRoutesOptions> = (
  app,
  { indexes, drops, reports },
  done,
) => {
  app.get('/maintenance/drops', DROPS, () => dropsJson(drops.status))

  app.get('/vectors/indexes/:index/storage', STORAGE, async (request) => {
    const { index } = request.params
    findIndex(indexes, request, index)
    const { bucket, total, classes, folders } = await reports.of(index)
    return {
      ...{ name: index, bucket, total, ...classes },
      folders: folders.map((folder) => ({ folder: folder.folder, ...folder.classes })),
      dropped: { ...drops.droppedOf(index) },
    }
  })
  done()
}

function dropsJson(status: DropsApi['status']): Static<typeof DropsJson> {
  const { waiting, waitingMax, senders, pending, failing, pins, dropped } = status
  return {
    ...{ waiting, waiting_max: waitingMax, senders, pending: { ...pending } },
    failing: failing.map(({ kind, key, attempts, message, atMs }) => ({
      ...{ kind, key, attempts, error: message, at: new Date(atMs).toISOString() },
    })),
    pins: pins.map((pin) => ({ ...pin })),
    dropped: { ...dropped },
  }
}
