/**
 * /vectors/hnsw: promote, roll back, roll forward, pin; what is promoted, and the audit of it.
 *
 * The `ETag` is the revision of the promotions of one index, "0" before the first. Replies hold the
 * document as it is stored.
 */

import {
  Type,
  type FastifyPluginCallbackTypebox,
  type Static,
} from '@fastify/type-provider-typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { HNSW_BOUNDS } from '../src/domain/hnsw-config.ts'
import { mayTouch } from '../src/http/auth.ts'
import { etagOf, ifMatch } from '../src/http/conditional.ts'
import { findIndex } from '../src/http/index-access.ts'
import { Name, NoQuery, replies } from '../src/http/schemas.ts'
import type { Indexes } from '../src/indexes/index-api.ts'
import { VectordError } from '../src/lib/errors.ts'
import { promotionToJson } from '../src/promotions/promotion-codec.ts'
import {
  neverPromoted,
  type PromotionDocument,
  type Rebuild,
} from '../src/promotions/promotion-document.ts'
import type { PromotionRegistry } from '../src/promotions/promotion-registry.ts'
import type {
  ConfigChangeOutcome,
  ConfigChangeRequest,
  ConfigChanges,
} from '../src/services/config-changes.ts'
import {
  auditEntryJson,
  AuditJson,
  ChangedJson,
  Note,
  PinnedBody,
  PromotedJson,
  PromotedListJson,
  RebuildWord,
  Word,
} from './promotion-schemas.ts'

export interface PromotionRoutesOptions {
  readonly indexes: Indexes
  readonly promotions: PromotionRegistry
  readonly changes: ConfigChanges
}

const STRICT = { additionalProperties: false } as const
const TAGS = ['promotions']
const PAGE_DEFAULT = 100
const PAGE_MAX = 1000
const [EF_MIN, EF_MAX] = HNSW_BOUNDS.efSearch
const CURSOR = /^[1-9]\d{0,9}$/

const IndexParams = Type.Object({ index: Name }, STRICT)

const PROMOTE = {
  config: { role: 'admin', idempotencyKey: true },
  schema: {
    tags: TAGS,
    summary: 'Promote the configuration of a trial',
    description: 'Never refused for its recall; `warnings` say what to think of.',
    params: Type.Object({ index: Name, trial_id: Word }, STRICT),
    querystring: Type.Object(
      {
        ...{ promoted_by: Type.Optional(Word), note: Type.Optional(Note), rebuild: RebuildWord },
        ef: Type.Optional(
          Type.Integer({
            ...{ minimum: EF_MIN, maximum: EF_MAX },
            description: 'Of searches; left out, the one that the trial has solved for.',
          }),
        ),
      },
      STRICT,
    ),
    response: replies({ 200: ChangedJson }),
  },
} as const

const STEP_QUERY = Type.Object({ note: Type.Optional(Note), rebuild: RebuildWord }, STRICT)

const ROLLBACK = {
  config: { role: 'admin', idempotencyKey: true },
  schema: {
    tags: TAGS,
    summary: 'Go back to the configuration before; without one, to that of the creation',
    params: IndexParams,
    querystring: STEP_QUERY,
    response: replies({ 200: ChangedJson }),
  },
} as const

const ROLL_FORWARD = {
  config: { role: 'admin', idempotencyKey: true },
  schema: {
    tags: TAGS,
    summary: 'Take the last rollback back',
    params: IndexParams,
    querystring: STEP_QUERY,
    response: replies({ 200: ChangedJson }),
  },
} as const

const PIN = {
  config: { role: 'admin' },
  schema: {
    tags: TAGS,
    summary: 'Keep the agent from replacing the current configuration, or let it again',
    params: IndexParams,
    querystring: NoQuery,
    body: PinnedBody,
    response: replies({ 200: PromotedJson }),
  },
} as const

const READ = {
  config: { role: 'read' },
  schema: {
    tags: TAGS,
    summary: 'What is promoted for an index, and what was before',
    params: IndexParams,
    querystring: NoQuery,
    response: replies({ 200: PromotedJson }),
  },
} as const

const LIST = {
  config: { role: 'read' },
  schema: {
    tags: TAGS,
    summary: 'What is promoted in any bucket, by name of the index',
    querystring: NoQuery,
    response: replies({ 200: PromotedListJson }),
  },
} as const

const AUDIT = {
  config: { role: 'read' },
  schema: {
    tags: TAGS,
    summary: 'Every change of the promotions of an index, newest first',
    params: IndexParams,
    querystring: Type.Object(
      {
        limit: Type.Integer({ minimum: 1, maximum: PAGE_MAX, default: PAGE_DEFAULT }),
        cursor: Type.Optional(Type.String({ minLength: 1, maxLength: 64 })),
      },
      STRICT,
    ),
    response: replies({ 200: AuditJson }),
  },
} as const

export const promotionRoutes: FastifyPluginCallbackTypebox<PromotionRoutesOptions> = (
  app,
  options,
  done,
) => {
  changeRoutes(app, options, () => undefined)
  readRoutes(app, options, () => undefined)
  done()
}

const changeRoutes: FastifyPluginCallbackTypebox<PromotionRoutesOptions> = (app, options, done) => {
  const { indexes, promotions, changes } = options

  app.post('/vectors/hnsw/promote/:index/:trial_id', PROMOTE, async (request, reply) => {
    const { index, trial_id: trialId } = request.params
    findIndex(indexes, request, index)
    const asked = askedOf(request, request.query)
    const { promoted_by: promotedBy = asked.by, ef } = request.query
    const wish = { ...asked, promotedBy, ...(ef !== undefined && { ef }) }
    return changed(reply, await changes.promote(index, trialId, wish))
  })

  app.post('/vectors/hnsw/rollback/:index', ROLLBACK, async (request, reply) => {
    const { index } = request.params
    findIndex(indexes, request, index)
    return changed(reply, await changes.rollback(index, askedOf(request, request.query)))
  })

  app.post('/vectors/hnsw/rollforward/:index', ROLL_FORWARD, async (request, reply) => {
    const { index } = request.params
    findIndex(indexes, request, index)
    return changed(reply, await changes.rollForward(index, askedOf(request, request.query)))
  })

  app.put('/vectors/hnsw/promoted/:index/pin', PIN, async (request, reply) => {
    const { index } = request.params
    const { pinned, note } = request.body
    findIndex(indexes, request, index)
    const asked = askedOf(request, { ...(note !== undefined && { note }), rebuild: 'lazy' })
    const { revision, document } = await promotions.pin(index, pinned, asked)
    reply.header('etag', etagOf(revision))
    return documentJson(document ?? neverPromoted(index), revision)
  })
  done()
}

const readRoutes: FastifyPluginCallbackTypebox<PromotionRoutesOptions> = (app, options, done) => {
  const { indexes, promotions } = options

  app.get('/vectors/hnsw/promoted/:index', READ, async (request, reply) => {
    const { index } = request.params
    findIndex(indexes, request, index)
    const { revision, document } = await promotions.read(index)
    reply.header('etag', etagOf(revision))
    return documentJson(document ?? neverPromoted(index), revision)
  })

  app.get('/vectors/hnsw/promoted', LIST, async (request) => {
    const isVisible = (name: string | null): boolean =>
      name === null || mayTouch(request.caller, name)
    const found = await promotions.list()
    return {
      promoted: found.promotions
        .filter(({ document }) => isVisible(document.indexName))
        .map(({ bucket, inHome, revision, document }) => ({
          ...documentJson(document, revision),
          ...{ bucket, in_home: inHome },
        })),
      errors: found.faults
        .filter(({ indexName }) => isVisible(indexName))
        .map(({ bucket, indexName, error: { code, message } }) => ({
          ...{ bucket, index_name: indexName, code, message },
        })),
    }
  })

  app.get('/vectors/hnsw/promoted/:index/audit', AUDIT, async (request) => {
    const { index } = request.params
    const { limit, cursor } = request.query
    findIndex(indexes, request, index)
    const before = cursor === undefined ? null : fromRevisionCursor(cursor)
    const { entries, next } = await promotions.audit(index, { before, limit })
    const nextCursor = next === null ? null : Buffer.from(String(next)).toString('base64url')
    return { entries: entries.map(auditEntryJson), next_cursor: nextCursor }
  })
  done()
}

function askedOf(
  request: FastifyRequest,
  query: { readonly note?: string; readonly rebuild: Rebuild },
): ConfigChangeRequest {
  const { note = null, rebuild } = query
  return { by: request.caller.name, note, rebuild, ifRevision: ifMatch(request) }
}

function changed(reply: FastifyReply, outcome: ConfigChangeOutcome): Static<typeof ChangedJson> {
  reply.header('etag', etagOf(outcome.revision))
  return changedJson(outcome)
}

/** What a change of the promoted configuration answers. */
export function changedJson(outcome: ConfigChangeOutcome): Static<typeof ChangedJson> {
  const { document, revision, warnings, operationId } = outcome
  return {
    ...documentJson(document, revision),
    ...{ warnings: [...warnings], operation_id: operationId },
  }
}

function documentJson(document: PromotionDocument, revision: number): Static<typeof PromotedJson> {
  const { history, redo, ...rest } = promotionToJson(document)
  return { ...rest, history: [...history], redo: [...redo], revision }
}

/** @throws {VectordError} `invalid_cursor`. */
function fromRevisionCursor(cursor: string): number {
  const text = Buffer.from(cursor, 'base64url').toString('latin1')
  if (CURSOR.test(text) && Buffer.from(text).toString('base64url') === cursor) return Number(text)
  throw new VectordError('invalid_cursor', 'The cursor is not one of ours: start from none.')
}
