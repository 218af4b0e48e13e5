/**
 * /storage/buckets/{name}/objects: plain object I/O.
 *
 * Keys under `_` hold vectord's own state: to be read by admins, and written by nobody from here.
 * Bodies are opaque bytes both ways; a browser is told to download them and run nothing.
 */

import { Type, type FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { installRawBodies, RawBody } from '../src/http/body-parsers.ts'
import { BucketParams, Name, NoQuery, Nullable, replies } from '../src/http/schemas.ts'
import { VectordError } from '../src/lib/errors.ts'

interface ObjectEntry {
  readonly key: string
  readonly bytes: number
  readonly modifiedMs: number
}

/** What these routes need of the bucket registry. `rescueUsed`: the home bucket had failed. */
export interface ObjectsApi {
  /** @throws `bucket_not_found`, whose details list the names; `object_not_found`. */
  readObject(
    bucket: string,
    key: string,
  ): Promise<{ readonly body: Uint8Array; readonly rescueUsed: boolean }>
  writeObject(bucket: string, key: string, body: Uint8Array): Promise<void>
  deleteObject(bucket: string, key: string): Promise<void>
  /** At most `limit` objects after `startAfter`, in byte order of their keys. */
  listObjects(
    bucket: string,
    options: {
      readonly prefix: string
      readonly startAfter: string | null
      readonly limit: number
    },
  ): Promise<{ readonly objects: readonly ObjectEntry[]; readonly rescueUsed: boolean }>
}

export interface ObjectRoutesOptions {
  readonly objects: ObjectsApi
}

const STRICT = { additionalProperties: false } as const
const TAGS = ['storage']
const PAGE_DEFAULT = 100
const PAGE_MAX = 1000

const ObjectParams = Type.Object(
  { name: Name, '*': Type.String({ minLength: 1, description: 'The key.' }) },
  STRICT,
)

const ListQuery = Type.Object(
  {
    prefix: Type.String({ default: '', maxLength: 512 }),
    limit: Type.Integer({ minimum: 1, maximum: PAGE_MAX, default: PAGE_DEFAULT }),
    cursor: Type.Optional(Type.String({ minLength: 1, maxLength: 1024 })),
  },
  STRICT,
)

const ListJson = Type.Object(
  {
    objects: Type.Array(
      Type.Object(
        { key: Type.String(), bytes: Type.Integer(), modified_at: Type.String() },
        STRICT,
      ),
    ),
    next_cursor: Nullable(Type.String()),
  },
  STRICT,
)

const Stored = Type.Object({ key: Type.String(), bytes: Type.Integer() }, STRICT)
const Bytes = Type.Unsafe<Uint8Array>(Type.String({ format: 'binary' }))

const LIST = {
  config: { role: 'read', wide: true },
  schema: {
    tags: TAGS,
    summary: 'List objects in byte order of their keys',
    params: BucketParams,
    querystring: ListQuery,
    response: replies({ 200: ListJson }),
  },
} as const

const READ = {
  config: { role: 'read', wide: true },
  schema: {
    tags: TAGS,
    summary: 'Read an object',
    params: ObjectParams,
    querystring: NoQuery,
    produces: ['application/octet-stream'],
    response: replies({ 200: Bytes }),
  },
} as const

const WRITE = {
  config: { role: 'write', wide: true },
  schema: {
    tags: TAGS,
    summary: 'Write an object, replacing any other',
    consumes: ['application/octet-stream'],
    params: ObjectParams,
    querystring: NoQuery,
    response: replies({ 200: Stored }),
  },
} as const

const DELETE = {
  config: { role: 'write', wide: true },
  schema: {
    tags: TAGS,
    summary: 'Delete an object; an absent one is no error',
    params: ObjectParams,
    querystring: NoQuery,
    response: replies({ 204: Type.Null() }),
  },
} as const

export const objectRoutes: FastifyPluginCallbackTypebox<ObjectRoutesOptions> = (
  app,
  options,
  done,
) => {
  installRawBodies(app)
  reads(app, options, () => undefined)
  writes(app, options, () => undefined)
  done()
}

const reads: FastifyPluginCallbackTypebox<ObjectRoutesOptions> = (app, { objects }, done) => {
  app.get('/storage/buckets/:name/objects', LIST, async (request, reply) => {
    const { prefix, limit, cursor } = request.query
    const startAfter = cursor === undefined ? null : fromKeyCursor(cursor)
    const page = await objects.listObjects(request.params.name, { prefix, startAfter, limit })
    const last = page.objects.length < limit ? undefined : page.objects.at(-1)
    if (page.rescueUsed) markRescue(reply)
    return {
      objects: page.objects.map(({ key, bytes, modifiedMs }) => ({
        ...{ key, bytes },
        modified_at: new Date(modifiedMs).toISOString(),
      })),
      next_cursor: last === undefined ? null : Buffer.from(last.key).toString('base64url'),
    }
  })

  app.get('/storage/buckets/:name/objects/*', READ, async (request, reply) => {
    const { name, '*': key } = request.params
    if (isOwn(key)) needAdmin(request)
    const { body, rescueUsed } = await objects.readObject(name, key)
    if (rescueUsed) markRescue(reply)
    return reply
      .headers({
        'content-type': 'application/octet-stream',
        'content-disposition': 'attachment',
        'content-security-policy': "default-src 'none'; sandbox",
      })
      .send(body)
  })
  done()
}

const writes: FastifyPluginCallbackTypebox<ObjectRoutesOptions> = (app, { objects }, done) => {
  app.put('/storage/buckets/:name/objects/*', WRITE, async (request) => {
    const { name, '*': key } = request.params
    refuseOwn(key)
    const body = request.body instanceof RawBody ? request.body.bytes : new Uint8Array(0)
    await objects.writeObject(name, key, body)
    return { key, bytes: body.length }
  })

  app.delete('/storage/buckets/:name/objects/*', DELETE, async (request, reply) => {
    const { name, '*': key } = request.params
    refuseOwn(key)
    await objects.deleteObject(name, key)
    return reply.code(204).send(null)
  })
  done()
}

function isOwn(key: string): boolean {
  return key.startsWith('_')
}

function needAdmin(request: FastifyRequest): void {
  if (request.caller.role === 'admin') return
  throw new VectordError('forbidden', 'Objects under "_" are for keys with the role admin.')
}

function refuseOwn(key: string): void {
  if (!isOwn(key)) return
  throw new VectordError('forbidden', 'Objects under "_" are kept by vectord and read-only here.')
}

function markRescue(reply: FastifyReply): void {
  reply.header('x-lakehouse-rescue-used', '1')
}

/** @throws {VectordError} `invalid_cursor`. */
function fromKeyCursor(cursor: string): string {
  const key = Buffer.from(cursor, 'base64url').toString('utf8')
  if (key !== '' && Buffer.from(key).toString('base64url') === cursor) return key
  throw new VectordError('invalid_cursor', 'The cursor is not one of ours: start from none.')
}
