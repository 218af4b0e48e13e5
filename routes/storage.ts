/**
 * /storage: buckets, their health, the objects in them, and the journal of storage failures.
 *
 * Everything here concerns the whole service, so keys that are limited to name prefixes have no
 * part in it. Credentials come in, best by reference (environment, profile, file), and never go out.
 */

import {
  Type,
  type FastifyPluginCallbackTypebox,
  type Static,
} from '@fastify/type-provider-typebox'
import { BucketParams, Name, NoQuery, Nullable, replies } from '../src/http/schemas.ts'
import { badField } from '../src/http/body-field.ts'
import { objectRoutes, type ObjectsApi } from './storage-objects.ts'

/** A bucket as clients may see it: without credentials, its URI redacted. */
export interface BucketView {
  readonly name: string
  readonly backend: 'local' | 's3'
  readonly uri: string
  readonly role: 'primary' | 'rescue' | 'extra'
  readonly isProtected: boolean
  readonly health: 'ok' | 'unreachable' | 'unknown'
  readonly conditionalWrites: 'verified' | 'single_writer'
}

export interface BucketHealth {
  readonly name: string
  readonly reachable: boolean
  /** Milliseconds of the last probe; null where it did not answer. */
  readonly latencyMs: number | null
  readonly error: string | null
  /** Milliseconds since the Unix epoch. */
  readonly checkedMs: number | null
}

export type CredentialsSource =
  | { readonly kind: 'environment' }
  | { readonly kind: 'profile'; readonly profile: string }
  | { readonly kind: 'file'; readonly path: string }
  | {
      readonly kind: 'inline'
      readonly accessKeyId: string
      readonly secretAccessKey: string
      readonly sessionToken?: string
    }

export type NewBucket =
  | { readonly name: string; readonly backend: 'local'; readonly root: string }
  | {
      readonly name: string
      readonly backend: 's3'
      readonly bucket: string
      readonly prefix: string
      readonly region: string
      readonly endpoint: string | null
      readonly credentials: CredentialsSource
    }

/** What these routes need of the bucket registry. */
export interface BucketsApi extends ObjectsApi {
  list(): readonly BucketView[]

  /** Probes and registers. @throws `bucket_exists`, `bucket_unreachable`, `bad_request`. */
  add(bucket: NewBucket, by: string): Promise<BucketView>

  /** Deletes no object. @throws `bucket_not_found`, `bucket_protected`, `bucket_in_use`. */
  remove(name: string, by: string): Promise<void>

  health(): Promise<readonly BucketHealth[]>
}

export interface StorageFailure {
  /** Milliseconds since the Unix epoch. */
  readonly atMs: number
  readonly bucket: string
  readonly operation: string
  readonly key: string | null
  readonly code: string
  readonly message: string
}

/** The journal of storage failures. */
export interface StorageErrorsApi {
  /** Newest first. */
  list(limit: number): Promise<readonly StorageFailure[]>
  /** Writes what waits in memory. @returns how many entries. */
  flush(): Promise<number>
  /** Merges batches. @returns how many there were. */
  compact(): Promise<number>
}

export interface StorageRoutesOptions {
  readonly buckets: BucketsApi
  readonly errors: StorageErrorsApi
}

const STRICT = { additionalProperties: false } as const
const TAGS = ['storage']
const ERRORS_LISTED_MAX = 1000

const BucketJson = Type.Object(
  {
    name: Name,
    backend: Type.Enum(['local', 's3']),
    uri: Type.String(),
    role: Type.Enum(['primary', 'rescue', 'extra']),
    protected: Type.Boolean(),
    health: Type.Enum(['ok', 'unreachable', 'unknown']),
    conditional_writes: Type.Enum(['verified', 'single_writer']),
  },
  STRICT,
)

const Line = Type.String({ minLength: 1, maxLength: 1024 })

const CredentialsBody = Type.Object(
  {
    profile: Type.Optional(Line),
    file: Type.Optional(Line),
    access_key_id: Type.Optional(Line),
    secret_access_key: Type.Optional(Line),
    session_token: Type.Optional(Type.String({ minLength: 1, maxLength: 8192 })),
  },
  {
    ...STRICT,
    description:
      'A profile of the AWS files, a JSON file of mode 0600, or the keys themselves, which are ' +
      'then kept in such a file. None: what the environment of the process has.',
  },
)

const AddBody = Type.Object(
  {
    name: Name,
    backend: Type.Enum(['local', 's3']),
    root: Type.Optional(Line),
    bucket: Type.Optional(Type.String({ minLength: 3, maxLength: 63 })),
    prefix: Type.Optional(Type.String({ maxLength: 512, pattern: '^$|/$' })),
    region: Type.Optional(Type.String({ minLength: 1, maxLength: 64 })),
    endpoint: Type.Optional(
      Nullable(Type.String({ pattern: '^https?://[^@]+$', maxLength: 1024 })),
    ),
    credentials: Type.Optional(CredentialsBody),
  },
  { ...STRICT, description: 'local takes root; s3 takes bucket, prefix, region and endpoint.' },
)

const HealthJson = Type.Object(
  {
    buckets: Type.Array(
      Type.Object(
        {
          name: Name,
          reachable: Type.Boolean(),
          latency_ms: Nullable(Type.Number()),
          error: Nullable(Type.String()),
          checked_at: Nullable(Type.String()),
        },
        STRICT,
      ),
    ),
  },
  STRICT,
)

const ErrorsJson = Type.Object(
  {
    errors: Type.Array(
      Type.Object(
        {
          at: Type.String(),
          bucket: Type.String(),
          operation: Type.String(),
          key: Nullable(Type.String()),
          code: Type.String(),
          message: Type.String(),
        },
        STRICT,
      ),
    ),
  },
  STRICT,
)

const ErrorsQuery = Type.Object(
  { limit: Type.Integer({ minimum: 1, maximum: ERRORS_LISTED_MAX, default: 100 }) },
  STRICT,
)

const LIST = {
  config: { role: 'read', wide: true },
  schema: {
    tags: TAGS,
    summary: 'List the buckets',
    querystring: NoQuery,
    response: replies({ 200: Type.Object({ buckets: Type.Array(BucketJson) }, STRICT) }),
  },
} as const

const ADD = {
  config: { role: 'admin', wide: true, idempotencyKey: true },
  schema: {
    tags: TAGS,
    summary: 'Probe and register a bucket',
    querystring: NoQuery,
    body: AddBody,
    response: replies({ 201: BucketJson }),
  },
} as const

const REMOVE = {
  config: { role: 'admin', wide: true },
  schema: {
    tags: TAGS,
    summary: 'Unregister a bucket; no object is deleted',
    params: BucketParams,
    querystring: NoQuery,
    response: replies({ 204: Type.Null() }),
  },
} as const

const HEALTH = {
  config: { role: 'read', wide: true },
  schema: {
    tags: TAGS,
    summary: 'Reachability and latency of each bucket',
    querystring: NoQuery,
    response: replies({ 200: HealthJson }),
  },
} as const

const ERRORS = {
  config: { role: 'read', wide: true },
  schema: {
    tags: TAGS,
    summary: 'Failures of storage, newest first',
    querystring: ErrorsQuery,
    response: replies({ 200: ErrorsJson }),
  },
} as const

export const storageRoutes: FastifyPluginCallbackTypebox<StorageRoutesOptions> = (
  app,
  options,
  done,
) => {
  bucketRoutes(app, options, () => undefined)
  errorRoutes(app, options, () => undefined)
  void app.register(objectRoutes, { objects: options.buckets })
  done()
}

const bucketRoutes: FastifyPluginCallbackTypebox<StorageRoutesOptions> = (app, options, done) => {
  const { buckets } = options

  app.get('/storage/buckets', LIST, () => ({ buckets: buckets.list().map(bucketJson) }))

  app.post('/storage/buckets', ADD, async (request, reply) => {
    const added = await buckets.add(toBucket(request.body), request.caller.name)
    return reply.code(201).send(bucketJson(added))
  })

  app.delete('/storage/buckets/:name', REMOVE, async (request, reply) => {
    await buckets.remove(request.params.name, request.caller.name)
    return reply.code(204).send(null)
  })

  app.get('/storage/bucket-health', HEALTH, async () => ({
    buckets: (await buckets.health()).map(healthJson),
  }))
  done()
}

const errorRoutes: FastifyPluginCallbackTypebox<StorageRoutesOptions> = (app, options, done) => {
  const { errors } = options

  app.get('/storage/errors', ERRORS, async (request) => {
    const failures = await errors.list(request.query.limit)
    return {
      errors: failures.map(({ atMs, bucket, operation, key, code, message }) => ({
        at: new Date(atMs).toISOString(),
        ...{ bucket, operation, key, code, message },
      })),
    }
  })

  for (const verb of ['flush', 'compact'] as const) {
    app.post(
      `/storage/errors/${verb}`,
      {
        config: { role: 'admin', wide: true },
        schema: {
          tags: TAGS,
          summary: verb === 'flush' ? 'Write waiting failures' : 'Merge the journal of failures',
          querystring: NoQuery,
          response: replies({
            200: Type.Object(
              { [verb === 'flush' ? 'entries' : 'batches']: Type.Integer() },
              STRICT,
            ),
          }),
        },
      },
      async () =>
        verb === 'flush' ? { entries: await errors.flush() } : { batches: await errors.compact() },
    )
  }
  done()
}

function toBucket(body: Static<typeof AddBody>): NewBucket {
  const { name, backend, root, ...s3 } = body
  if (backend === 'local') {
    refuseForeign(s3, backend)
    if (root === undefined) throw badField('root', 'is missing')
    return { name, backend, root }
  }
  refuseForeign({ root }, backend)
  const { bucket, prefix = '', region = 'us-east-1', endpoint = null, credentials = {} } = s3
  if (bucket === undefined) throw badField('bucket', 'is missing')
  const source = credentialsSource(credentials)
  return { ...{ name, backend, bucket, prefix, region, endpoint }, credentials: source }
}

function refuseForeign(fields: Readonly<Record<string, unknown>>, backend: string): void {
  for (const [field, value] of Object.entries(fields)) {
    if (value !== undefined) throw badField(field, `does not belong to the backend ${backend}`)
  }
}

function credentialsSource(body: Static<typeof CredentialsBody>): CredentialsSource {
  const { profile, file, ...keys } = body
  const { access_key_id: id, secret_access_key: secret, session_token: token } = keys
  const hasKeys = Object.keys(keys).length > 0
  if (Number(profile !== undefined) + Number(file !== undefined) + Number(hasKeys) > 1) {
    throw badField('credentials', 'must name one source')
  }
  if (profile !== undefined) return { kind: 'profile', profile }
  if (file !== undefined) return { kind: 'file', path: file }
  if (!hasKeys) return { kind: 'environment' }
  if (id === undefined) throw badField('credentials.access_key_id', 'is missing')
  if (secret === undefined) throw badField('credentials.secret_access_key', 'is missing')
  const session = token === undefined ? {} : { sessionToken: token }
  return { kind: 'inline', accessKeyId: id, secretAccessKey: secret, ...session }
}

function bucketJson(bucket: BucketView): Static<typeof BucketJson> {
  const { name, backend, uri, role, isProtected, health, conditionalWrites } = bucket
  return {
    ...{ name, backend, uri, role, protected: isProtected, health },
    conditional_writes: conditionalWrites,
  }
}

function healthJson(
  bucket: BucketHealth,
): Static<(typeof HealthJson)['properties']['buckets']>[number] {
  const { name, reachable, latencyMs, error, checkedMs } = bucket
  const checkedAt = checkedMs === null ? null : new Date(checkedMs).toISOString()
  return { name, reachable, latency_ms: latencyMs, error, checked_at: checkedAt }
}
