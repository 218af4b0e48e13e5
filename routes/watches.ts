/**
 * /ingest/watches: prefixes of buckets whose files are ingested as they come, each once.
 *
 * They concern the whole service, as ingests do. The `ETag` is the revision of a watch.
 */

import {
  Type,
  type FastifyPluginCallbackTypebox,
  type Static,
} from '@fastify/type-provider-typebox'
import { etagOf, ifMatch } from '../src/http/conditional.ts'
import { errorBody } from '../src/http/error-reply.ts'
import { FailedPart, Name, NoQuery, Nullable, replies } from '../src/http/schemas.ts'
import {
  INTERVAL_SECS_BOUNDS,
  INTERVAL_SECS_DEFAULT,
  PREFIX_CHARS_MAX,
  watchToJson,
  type Watch,
} from '../src/ingest/watch.ts'
import type { WatchView, Watches } from '../src/services/watches.ts'
import { checkTargets, Format, IndexBody, Targets, toIndexTarget } from './ingest-schemas.ts'

export interface WatchRoutesOptions {
  readonly watches: Watches
}

const STRICT = { additionalProperties: false } as const
const TAGS = ['ingest']
const PRIMARY = 'primary'
const READERS = { role: 'read', wide: true } as const
const ADMINS = { role: 'admin', wide: true } as const

const Params = Type.Object({ name: Name }, STRICT)
const Count = Type.Integer({ minimum: 0 })
const ErrorJson = FailedPart.properties.error

const IntervalSecs = Type.Integer({
  minimum: INTERVAL_SECS_BOUNDS[0],
  maximum: INTERVAL_SECS_BOUNDS[1],
  default: INTERVAL_SECS_DEFAULT,
  description: 'Between two looks. A file is taken when two looks have found it alike.',
})

const WatchBody = Type.Object(
  {
    bucket: Type.Unsafe<string>({ ...Name, default: PRIMARY }),
    prefix: Type.String({
      maxLength: PREFIX_CHARS_MAX,
      description: 'What begins with "_" is of the service itself and cannot be watched.',
    }),
    format: Type.Optional(Nullable(Format)),
    interval_secs: IntervalSecs,
    ...Targets,
  },
  { ...STRICT, required: ['prefix'] },
)

const FailureJson = Type.Object(
  {
    key: Type.String(),
    bytes: Count,
    modified_at: Type.String(),
    attempts: Count,
    error: Type.Object({ code: Type.String(), message: Type.String() }, STRICT),
    failed_at: Type.String(),
    retry_at: Nullable(
      Type.String({ description: 'Null where it is tried again on request alone.' }),
    ),
  },
  STRICT,
)

const WatchJson = Type.Object(
  {
    name: Name,
    bucket: Name,
    prefix: Type.String(),
    format: Nullable(Format),
    interval_secs: IntervalSecs,
    dataset: Nullable(Name),
    index: Nullable(IndexBody),
    revision: Count,
    changed_at: Type.String(),
    changed_by: Type.String(),
    looked_at: Nullable(Type.String()),
    error: Nullable(ErrorJson),
    current: Nullable(Type.String({ description: 'The file that is being ingested.' })),
    files: Type.Object(
      {
        done: Count,
        failed: Count,
        given_up: Type.Integer({ minimum: 0, description: 'Of the failed: not tried any more.' }),
        growing: Type.Integer({ minimum: 0, description: 'Seen once, or still being written.' }),
        ignored: Type.Integer({ minimum: 0, description: 'Their endings say no format.' }),
        cut: Type.Boolean({ description: 'There are more than ingest.watch_files_max.' }),
      },
      STRICT,
    ),
    failures: Type.Array(FailureJson, { description: 'The last 100.' }),
  },
  { ...STRICT, description: '`error` says why the last look failed or could not go on.' },
)

const WatchList = Type.Object(
  {
    watches: Type.Array(WatchJson),
    errors: Type.Array(Type.Object({ name: Name, error: ErrorJson }, STRICT)),
  },
  STRICT,
)

const LIST = {
  config: READERS,
  schema: {
    tags: TAGS,
    summary: 'List the watched prefixes',
    querystring: NoQuery,
    response: replies({ 200: WatchList }),
  },
} as const

const READ = {
  config: READERS,
  schema: {
    tags: TAGS,
    summary: 'A watched prefix, and what became of its files',
    params: Params,
    querystring: NoQuery,
    response: replies({ 200: WatchJson }),
  },
} as const

const PUT = {
  config: ADMINS,
  schema: {
    tags: TAGS,
    summary: 'Watch a prefix, or change how',
    description:
      'Whole: what is left out has its default. Files that were taken stay taken: delete the watch ' +
      'first to take them again.',
    params: Params,
    querystring: NoQuery,
    body: WatchBody,
    response: replies({ 200: WatchJson, 201: WatchJson }),
  },
} as const

const REMOVE = {
  config: ADMINS,
  schema: {
    tags: TAGS,
    summary: 'Watch a prefix no longer, and forget which files were taken',
    params: Params,
    querystring: NoQuery,
    response: replies({ 204: Type.Null() }),
  },
} as const

const RETRY = {
  config: ADMINS,
  schema: {
    tags: TAGS,
    summary: 'Try all failed files of a watched prefix again, soon',
    params: Params,
    querystring: NoQuery,
    response: replies({ 202: Type.Object({ retried: Count }, STRICT) }),
  },
} as const

export const watchRoutes: FastifyPluginCallbackTypebox<WatchRoutesOptions> = (
  app,
  { watches },
  done,
) => {
  app.get('/ingest/watches', LIST, async () => {
    const { watches: found, faults } = await watches.list()
    const errors = faults.map(({ name, error }) => ({ name, error: errorJson(error) }))
    return { watches: found.map(watchJson), errors }
  })

  app.get('/ingest/watches/:name', READ, async (request, reply) => {
    const view = await watches.get(request.params.name)
    return reply.header('etag', etagOf(view.stored.revision)).send(watchJson(view))
  })

  app.put('/ingest/watches/:name', PUT, async (request, reply) => {
    const watch = toWatch(request.params.name, request.body)
    const author = { by: request.caller.name, ifRevision: ifMatch(request) }
    const { view, isNew } = await watches.put(watch, author)
    reply.code(isNew ? 201 : 200).header('etag', etagOf(view.stored.revision))
    return reply.send(watchJson(view))
  })

  app.delete('/ingest/watches/:name', REMOVE, async (request, reply) => {
    const author = { by: request.caller.name, ifRevision: ifMatch(request) }
    await watches.remove(request.params.name, author)
    return reply.code(204).send(null)
  })

  app.post('/ingest/watches/:name/retry', RETRY, async (request, reply) => {
    const retried = await watches.retry(request.params.name)
    return reply.code(202).send({ retried })
  })
  done()
}

function toWatch(name: string, body: Static<typeof WatchBody>): Watch {
  const { bucket, prefix, format = null, interval_secs: intervalSecs, dataset = null } = body
  const index = toIndexTarget(body.index)
  checkTargets(dataset, index)
  return { name, bucket, prefix, format, intervalSecs, dataset, index }
}

function watchJson(view: WatchView): Static<typeof WatchJson> {
  const { stored, scan, current, done, failed, givenUp, failures } = view
  const { document, revision, writtenMs, author } = stored
  return {
    ...watchToJson(document),
    ...{ revision, changed_at: timeOf(writtenMs), changed_by: author },
    looked_at: scan.endedMs === null ? null : timeOf(scan.endedMs),
    error: scan.error === null ? null : errorJson(scan.error),
    current,
    files: {
      ...{ done, failed, given_up: givenUp, growing: scan.growing },
      ...{ ignored: scan.ignored, cut: scan.isCut },
    },
    failures: failures.map(({ key, bytes, modifiedMs, attempts, error, endedMs, retryMs }) => ({
      ...{ key, bytes, attempts, modified_at: timeOf(modifiedMs), failed_at: timeOf(endedMs) },
      error: { code: error?.code ?? '', message: error?.message ?? '' },
      retry_at: retryMs === null ? null : timeOf(retryMs),
    })),
  }
}

function errorJson(error: Parameters<typeof errorBody>[0]): Static<typeof ErrorJson> {
  const { code, message, retryable, details } = errorBody(error)
  return { code, message, retryable, details: { ...details } }
}

function timeOf(ms: number): string {
  return new Date(ms).toISOString()
}
