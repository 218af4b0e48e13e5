/**
 * /vectors/indexes/{index}/snapshots: backups of an index, and new indexes of them.
 *
 * A snapshot outlives its index: reading, copying and restoring one asks its bucket, not the index.
 */

import {
  Type,
  type FastifyPluginCallbackTypebox,
  type Static,
} from '@fastify/type-provider-typebox'
import type { preValidationHookHandler } from 'fastify'
import { checkTouch } from '../src/http/auth.ts'
import { errorBody } from '../src/http/error-reply.ts'
import { findIndex } from '../src/http/index-access.ts'
import { IndexParams, replies, started, StartedJson, WaitQuery } from '../src/http/schemas.ts'
import type { Indexes } from '../src/indexes/index-api.ts'
import { indexExists } from '../src/indexes/index-refusals.ts'
import type { Operations } from '../src/services/operations.ts'
import type { ShelfList } from '../src/snapshots/snapshot-shelf.ts'
import type { SnapshotPlace, Snapshots } from '../src/snapshots/snapshots.ts'
import { indexJson } from './index-answers.ts'
import {
  BucketQuery,
  BucketWaitQuery,
  CopyBody,
  ListQuery,
  MakeBody,
  RestoreBody,
  RestoredJson,
  snapshotJson,
  SnapshotJson,
  SnapshotList,
  SnapshotParams,
  SnapshotReportJson,
} from './snapshot-schemas.ts'

export interface SnapshotRoutesOptions {
  readonly indexes: Indexes
  readonly operations: Operations
  readonly snapshots: Snapshots
}

const TAGS = ['snapshots']
/** Where snapshots of an index are looked for that is gone. */
const PRIMARY = 'primary'

/** Nothing has to be said. */
const emptyBody: preValidationHookHandler = (request, _reply, done) => {
  request.body ??= {}
  done()
}

const MAKE = {
  config: { role: 'write', idempotencyKey: true },
  preValidation: emptyBody,
  schema: {
    tags: TAGS,
    summary: 'Make a snapshot of an index',
    description: 'Writes go on; every write that was acknowledged before is in it.',
    params: IndexParams,
    querystring: WaitQuery,
    body: MakeBody,
    response: replies({ 200: SnapshotJson, 202: StartedJson }),
  },
} as const

const LIST = {
  config: { role: 'read' },
  schema: {
    tags: TAGS,
    summary: 'Snapshots of an index, newest first, also where it is gone',
    params: IndexParams,
    querystring: ListQuery,
    response: replies({ 200: SnapshotList }),
  },
} as const

const READ = {
  config: { role: 'read' },
  schema: {
    tags: TAGS,
    summary: 'A snapshot',
    params: SnapshotParams,
    querystring: BucketQuery,
    response: replies({ 200: SnapshotJson }),
  },
} as const

const RESTORE = {
  config: { role: 'admin', idempotencyKey: true },
  schema: {
    tags: TAGS,
    summary: 'Make a new index of a snapshot',
    description: 'It exists whole or not at all, and goes on with the lsn of the snapshot.',
    params: SnapshotParams,
    querystring: BucketWaitQuery,
    body: RestoreBody,
    response: replies({ 200: RestoredJson, 202: StartedJson }),
  },
} as const

const COPY = {
  config: { role: 'admin' },
  schema: {
    tags: TAGS,
    summary: 'Copy a snapshot to another bucket, under the same id',
    params: SnapshotParams,
    querystring: BucketWaitQuery,
    body: CopyBody,
    response: replies({ 200: SnapshotJson, 202: StartedJson }),
  },
} as const

const VERIFY = {
  config: { role: 'write' },
  schema: {
    tags: TAGS,
    summary: 'Compare every file of a snapshot with its checksum',
    params: SnapshotParams,
    querystring: BucketWaitQuery,
    response: replies({ 200: SnapshotReportJson, 202: StartedJson }),
  },
} as const

const REMOVE = {
  config: { role: 'admin' },
  schema: {
    tags: TAGS,
    summary: 'Remove a snapshot',
    params: SnapshotParams,
    querystring: BucketQuery,
    response: replies({ 204: Type.Null() }),
  },
} as const

export const snapshotRoutes: FastifyPluginCallbackTypebox<SnapshotRoutesOptions> = (
  app,
  options,
  done,
) => {
  const { indexes, operations, snapshots } = options
  const making = operations.ofKind<Static<typeof SnapshotJson>>('snapshot')

  app.post('/vectors/indexes/:index/snapshots', MAKE, async (request, reply) => {
    const { index } = request.params
    const home = findIndex(indexes, request, index).info.bucket
    const { note = null, bucket = home } = request.body
    snapshots.checkMake(index, bucket)
    const wish = { bucket, note, by: request.caller.name }
    const operation = making.start(
      index,
      async (control) => snapshotJson(await snapshots.make(index, wish, control), bucket),
      JSON.stringify(wish),
    )
    if (request.query.wait) return operation.result()
    return reply.code(202).send(started(reply, operation.id))
  })

  app.get('/vectors/indexes/:index/snapshots', LIST, async (request) => {
    const { index } = request.params
    const { limit, cursor } = request.query
    const bucket = bucketOf(indexes, index, request.query.bucket)
    const page = { before: cursor ?? null, limit }
    return listJson(await snapshots.list(index, bucket, page), bucket)
  })

  oneSnapshot(app, options, () => undefined)
  restores(app, options, () => undefined)
  copies(app, options, () => undefined)
  done()
}

const oneSnapshot: FastifyPluginCallbackTypebox<SnapshotRoutesOptions> = (
  app,
  { indexes, snapshots },
  done,
) => {
  app.get('/vectors/indexes/:index/snapshots/:id', READ, async (request) => {
    const place = placeOf(indexes, request)
    return snapshotJson(await snapshots.get(place), place.bucket)
  })

  app.delete('/vectors/indexes/:index/snapshots/:id', REMOVE, async (request, reply) => {
    await snapshots.remove(placeOf(indexes, request))
    return reply.code(204).send(null)
  })
  done()
}

const restores: FastifyPluginCallbackTypebox<SnapshotRoutesOptions> = (
  app,
  { indexes, operations, snapshots },
  done,
) => {
  const restoring = operations.ofKind<Static<typeof RestoredJson>>('snapshot_restore')

  app.post('/vectors/indexes/:index/snapshots/:id/restore', RESTORE, async (request, reply) => {
    const place = placeOf(indexes, request)
    const { name, bucket = place.bucket } = request.body
    checkTouch(request.caller, name)
    if (indexes.has(name)) throw indexExists(name)
    snapshots.checkTarget(bucket)
    await snapshots.get(place)
    const wish = { name, bucket, by: request.caller.name }
    // An operation of the new index: that of the snapshot may be gone, or go meanwhile.
    const operation = restoring.start(
      name,
      async (control) => {
        const { index, snapshot, leftOut } = await snapshots.restore(place, wish, control)
        return {
          index: indexJson(index.info),
          snapshot: snapshotJson(snapshot, place.bucket),
          left_out: [...leftOut],
        }
      },
      JSON.stringify([place, wish]),
    )
    if (request.query.wait) return operation.result()
    return reply.code(202).send(started(reply, operation.id))
  })

  done()
}

const copies: FastifyPluginCallbackTypebox<SnapshotRoutesOptions> = (
  app,
  { indexes, operations, snapshots },
  done,
) => {
  const copying = operations.ofKind<Static<typeof SnapshotJson>>('snapshot_copy')
  const verifying = operations.ofKind<Static<typeof SnapshotReportJson>>('snapshot_verify')

  app.post('/vectors/indexes/:index/snapshots/:id/copy', COPY, async (request, reply) => {
    const place = placeOf(indexes, request)
    const { bucket } = request.body
    snapshots.checkTarget(bucket)
    await snapshots.get(place)
    const operation = copying.start(
      place.index,
      async (control) => snapshotJson(await snapshots.copy(place, bucket, control), bucket),
      JSON.stringify([place, bucket]),
    )
    if (request.query.wait) return operation.result()
    return reply.code(202).send(started(reply, operation.id))
  })

  app.post('/vectors/indexes/:index/snapshots/:id/verify', VERIFY, async (request, reply) => {
    const place = placeOf(indexes, request)
    await snapshots.get(place)
    const operation = verifying.start(
      place.index,
      async (control) => {
        const { files, bytes, faults } = await snapshots.verify(place, control)
        return { clean: faults.length === 0, files, bytes, faults: [...faults] }
      },
      JSON.stringify(place),
    )
    if (request.query.wait) return operation.result()
    return reply.code(202).send(started(reply, operation.id))
  })
  done()
}

function placeOf(
  indexes: Indexes,
  request: {
    readonly params: Static<typeof SnapshotParams>
    readonly query: Static<typeof BucketQuery>
  },
): SnapshotPlace {
  const { index, id } = request.params
  return { index, id, bucket: bucketOf(indexes, index, request.query.bucket) }
}

/** An index that is there has its snapshots at its home, unless told otherwise. */
function bucketOf(indexes: Indexes, index: string, asked: string | undefined): string {
  if (asked !== undefined) return asked
  return indexes.has(index) ? indexes.get(index).info.bucket : PRIMARY
}

function listJson(
  { snapshots, faults, next }: ShelfList,
  bucket: string,
): Static<typeof SnapshotList> {
  return {
    snapshots: snapshots.map((snapshot) => snapshotJson(snapshot, bucket)),
    errors: faults.map(({ id, fault }) => {
      const { code, message, retryable, details } = errorBody(fault)
      return { id, error: { code, message, retryable, details: { ...details } } }
    }),
    next_cursor: next,
  }
}
