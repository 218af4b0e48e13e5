/**
 * /vectors/profiles and /vectors/profile: models with the indexes that belong to them, the GPU slot, and
 * searches in the scope of a profile.
 *
 * Profiles concern the whole service: keys that are limited to name prefixes only search with them. The
 * `ETag` is the revision of a profile.
 */

import {
  Type,
  type FastifyPluginCallbackTypebox,
  type Static,
} from '@fastify/type-provider-typebox'
import type { Revision } from '../src/buckets/revisioned-document.ts'
import { checkTouch, mayTouch } from '../src/http/auth.ts'
import { badField, isObject } from '../src/http/body-field.ts'
import { etagOf, ifMatch } from '../src/http/conditional.ts'
import { textProblem } from '../src/domain/row-values.ts'
import { JSON_TYPE, Name, NoQuery, replies } from '../src/http/schemas.ts'
import { documentOnly } from '../src/http/validators.ts'
import { isName, type Profile, profileToJson } from '../src/profiles/profile.ts'
import type { Profiles } from '../src/profiles/profiles.ts'
import {
  ActivationJson,
  activationJson,
  DeactivationJson,
  ProfileBody,
  ProfileJson,
  ProfileList,
  SlotJson,
  slotJson,
  toHnsw,
} from './profile-schemas.ts'
import { SearchBody, SearchReply, searchAnswer, type SearchRoutesOptions } from './search.ts'

export interface ProfileRoutesOptions extends SearchRoutesOptions {
  readonly profiles: Profiles
}

const STRICT = { additionalProperties: false } as const
const TAGS = ['profiles']
const RESCUE = 'rescue'

const ProfileParams = Type.Object({ id: Name }, STRICT)

const ScopedBody = Type.Object(
  { ...SearchBody.properties, index: Name },
  { ...STRICT, description: 'A search as of an index, and the index.', required: ['index'] },
)

const LIST = {
  config: { role: 'read', wide: true },
  schema: {
    tags: TAGS,
    summary: 'List the profiles',
    querystring: NoQuery,
    response: replies({ 200: ProfileList }),
  },
} as const

const READ = {
  config: { role: 'read', wide: true },
  schema: {
    tags: TAGS,
    summary: 'A profile',
    params: ProfileParams,
    querystring: NoQuery,
    response: replies({ 200: ProfileJson }),
  },
} as const

const PUT = {
  config: { role: 'admin', wide: true },
  schema: {
    tags: TAGS,
    summary: 'Make or replace a profile',
    description:
      'Whole: what is left out has its default. Indexes that are bound need not exist. Changes ' +
      'nothing of the GPU slot, also where the profile is the active one, until it is activated.',
    params: ProfileParams,
    querystring: NoQuery,
    body: ProfileBody,
    response: replies({ 200: ProfileJson, 201: ProfileJson }),
  },
} as const

const REMOVE = {
  config: { role: 'admin', wide: true },
  schema: {
    tags: TAGS,
    summary: 'Remove a profile that does not hold the GPU slot',
    params: ProfileParams,
    querystring: NoQuery,
    response: replies({ 204: Type.Null() }),
  },
} as const

const ACTIVATE = {
  config: { role: 'admin', wide: true },
  schema: {
    tags: TAGS,
    summary: 'Bring the model of a profile into memory, after that of the profile before went',
    description:
      'A model that is in memory is left alone. Indexes that cannot be warmed up are listed in ' +
      '`failures`, and the profile is active all the same.',
    params: ProfileParams,
    querystring: NoQuery,
    response: replies({ 200: ActivationJson }),
  },
} as const

const DEACTIVATE = {
  config: { role: 'admin', wide: true },
  schema: {
    tags: TAGS,
    summary: 'Take the model of the active profile out of memory, and clear the GPU slot',
    params: ProfileParams,
    querystring: NoQuery,
    response: replies({ 200: DeactivationJson }),
  },
} as const

const ACTIVE = {
  config: { role: 'read', wide: true },
  schema: {
    tags: TAGS,
    summary: 'The GPU slot, held against what the model server says now',
    querystring: NoQuery,
    response: replies({ 200: SlotJson }),
  },
} as const

const SEARCH = {
  config: { role: 'read' },
  schema: {
    tags: TAGS,
    summary: 'Search an index that is bound to a profile',
    description: 'Another index: 403 `out_of_scope`, with those that are bound.',
    params: ProfileParams,
    querystring: NoQuery,
    body: documentOnly(ScopedBody),
    response: replies({ 200: Type.Unsafe<string>(SearchReply) }),
  },
} as const

export const profileRoutes: FastifyPluginCallbackTypebox<ProfileRoutesOptions> = (
  app,
  options,
  done,
) => {
  documentRoutes(app, options, () => undefined)
  slotRoutes(app, options, () => undefined)
  scopedRoutes(app, options, () => undefined)
  done()
}

const documentRoutes: FastifyPluginCallbackTypebox<ProfileRoutesOptions> = (app, options, done) => {
  const { profiles } = options

  app.get('/vectors/profiles', LIST, async () => {
    const { profiles: found, faults } = await profiles.store.list()
    return {
      profiles: found.map(profileJson),
      errors: faults.map(({ id, error: { code, message } }) => ({ id, code, message })),
    }
  })

  app.get('/vectors/profiles/:id', READ, async (request, reply) => {
    const found = await profiles.store.get(request.params.id)
    reply.header('etag', etagOf(found.revision))
    return profileJson(found)
  })

  app.put('/vectors/profiles/:id', PUT, async (request, reply) => {
    const wanted = toProfile(request.params.id, request.body)
    const author = { by: request.caller.name, ifRevision: ifMatch(request) }
    const { stored, isNew } = await profiles.store.put(wanted, author)
    reply.header('etag', etagOf(stored.revision))
    return reply.code(isNew ? 201 : 200).send(profileJson(stored))
  })

  app.delete('/vectors/profiles/:id', REMOVE, async (request, reply) => {
    const author = { by: request.caller.name, ifRevision: ifMatch(request) }
    await profiles.remove(request.params.id, author)
    return reply.code(204).send(null)
  })
  done()
}

const slotRoutes: FastifyPluginCallbackTypebox<ProfileRoutesOptions> = (app, options, done) => {
  const { profiles } = options

  app.post('/vectors/profile/:id/activate', ACTIVATE, async (request) =>
    activationJson(await profiles.activate(request.params.id, request.caller.name)),
  )

  app.post('/vectors/profile/:id/deactivate', DEACTIVATE, async (request) => {
    const { id } = request.params
    const { revision, unloaded } = await profiles.deactivate(id, request.caller.name)
    return { state: 'empty' as const, profile: id, unloaded: [...unloaded], revision }
  })

  app.get('/vectors/profile/active', ACTIVE, async () => slotJson(await profiles.active()))
  done()
}

const scopedRoutes: FastifyPluginCallbackTypebox<ProfileRoutesOptions> = (app, options, done) => {
  const { profiles } = options
  const answer = searchAnswer(options)

  app.post('/vectors/profile/:id/search', SEARCH, async (request, reply) => {
    const { index, search } = splitScoped(request.body)
    const { caller } = request
    checkTouch(caller, index)
    await profiles.checkScope(request.params.id, index, (name) => mayTouch(caller, name))
    const found = await answer(request, { index, search })
    reply.header('x-vectord-lsn', found.lsn).header('content-type', JSON_TYPE)
    return reply.send(found.json)
  })
  done()
}

/** The body is parsed by hand, as that of every search. */
function splitScoped(body: unknown): { readonly index: string; readonly search: object } {
  if (!isObject(body)) throw badField('', 'must be an object')
  const { index, ...search } = body as { readonly index?: unknown }
  if (index === undefined) throw badField('index', 'is missing')
  if (!isName(index)) throw badField('index', 'must be the name of an index')
  return { index, search }
}

function toProfile(id: string, body: Static<typeof ProfileBody>): Profile {
  if (body.id !== undefined && body.id !== id) throw badField('id', 'must be that of the path')
  if (body.bucket === RESCUE) throw badField('bucket', 'must not be the rescue bucket')
  const { model, description, bound_indexes: boundIndexes, hnsw, backend } = body
  const problem = textProblem(description)
  if (problem !== null) throw badField('description', problem.text)
  return {
    ...{ id, model, description, boundIndexes, backend },
    hnsw: hnsw === null ? null : toHnsw(hnsw),
    ...{ embedModel: body.embed_model, bucket: body.bucket },
  }
}

function profileJson(found: Revision<Profile>): Static<typeof ProfileJson> {
  const { document, revision, author, writtenMs } = found
  return {
    ...profileToJson(document),
    ...{ revision, changed_by: author, changed_at: new Date(writtenMs).toISOString() },
  }
}
