/**
 * /vectors/agent: the autotune agent, its status and switches, and what it may do with an index.
 *
 * The `ETag` of settings is their revision, "0" where an index has none of its own. Changes need the
 * role `admin`; who may not touch an index does not see it.
 */

import { Type, type FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { mayTouch } from '../src/http/auth.ts'
import { etagOf, ifMatch } from '../src/http/conditional.ts'
import { findIndex, type IndexRoutesOptions } from '../src/http/index-access.ts'
import { IndexParams, NoQuery, replies } from '../src/http/schemas.ts'
import type { DecisionLog } from '../src/journal/decision-log.ts'
import type { Agent } from '../src/services/agent.ts'
import type { StoredSettings } from '../src/services/agent-documents.ts'
import type { AgentProposals } from '../src/services/agent-proposals.ts'
import { agentSettingsJson, explainJson, statusJson } from '../src/services/agent-view.ts'
import {
  AgentNote,
  ExplainJson,
  ProposalJson,
  SettingsBody,
  settingsChange,
  SettingsJson,
  StatusJson,
} from './agent-schemas.ts'

export interface AgentRoutesOptions extends Pick<IndexRoutesOptions, 'indexes'> {
  readonly agent: Agent
  readonly proposals: AgentProposals
  readonly decisions: Pick<DecisionLog, 'list'>
}

const STRICT = { additionalProperties: false } as const
const TAGS = ['agent']

const NoteQuery = Type.Object({ note: Type.Optional(AgentNote) }, STRICT)

const StatusReply = replies({ 200: Type.Unsafe<object>(StatusJson) })
const SettingsReply = replies({ 200: Type.Unsafe<object>(SettingsJson) })

const STATUS = {
  config: { role: 'read' },
  schema: {
    tags: TAGS,
    summary: 'What the agent does, for each index what it may and what holds it back',
    querystring: NoQuery,
    response: StatusReply,
  },
} as const

const START = {
  config: { role: 'admin', wide: true },
  schema: {
    tags: TAGS,
    summary: 'Let the agent work, until the server ends',
    querystring: NoQuery,
    response: StatusReply,
  },
} as const

const STOP = {
  config: { role: 'admin', wide: true },
  schema: {
    tags: TAGS,
    summary: 'Stop the agent of every index, after the trial under way',
    description: 'A configuration that was promoted lately stays watched, and may be rolled back.',
    querystring: NoQuery,
    response: StatusReply,
  },
} as const

const READ = {
  config: { role: 'read' },
  schema: {
    tags: TAGS,
    summary: 'What the agent may do with an index',
    params: IndexParams,
    querystring: NoQuery,
    response: SettingsReply,
  },
} as const

const PUT = {
  config: { role: 'admin' },
  schema: {
    tags: TAGS,
    summary: 'Change what the agent may do with an index',
    params: IndexParams,
    querystring: NoQuery,
    body: SettingsBody,
    response: SettingsReply,
  },
} as const

const ENQUEUE = {
  config: { role: 'admin' },
  schema: {
    tags: TAGS,
    summary: 'Ask the agent to tune an index soon',
    params: IndexParams,
    querystring: NoQuery,
    response: replies({ 202: Type.Unsafe<object>(StatusJson) }),
  },
} as const

const turn = (summary: string) =>
  ({
    config: { role: 'admin' },
    schema: {
      ...{ tags: TAGS, summary },
      params: IndexParams,
      querystring: NoteQuery,
      response: SettingsReply,
    },
  }) as const

const PAUSE = turn('Stop the agent of one index, after the trial under way')
const RESUME = turn('Let the agent of one index go on')

const PROPOSE = {
  config: { role: 'admin' },
  schema: {
    tags: TAGS,
    summary: 'The next configuration and why; unless it is a dry run, its trial begins',
    params: IndexParams,
    querystring: Type.Object(
      { dry_run: Type.Boolean({ default: true }), note: Type.Optional(AgentNote) },
      STRICT,
    ),
    response: replies({
      200: Type.Unsafe<object>(ProposalJson),
      202: Type.Unsafe<object>(ProposalJson),
    }),
  },
} as const

const EXPLAIN = {
  config: { role: 'read' },
  schema: {
    tags: TAGS,
    summary: 'Why the current configuration, what comes next, and what holds it back',
    params: IndexParams,
    querystring: NoQuery,
    response: replies({ 200: Type.Unsafe<object>(ExplainJson) }),
  },
} as const

export const agentRoutes: FastifyPluginCallbackTypebox<AgentRoutesOptions> = (
  app,
  options,
  done,
) => {
  serverRoutes(app, options, () => undefined)
  settingsRoutes(app, options, () => undefined)
  decisionRoutes(app, options, () => undefined)
  done()
}

const serverRoutes: FastifyPluginCallbackTypebox<AgentRoutesOptions> = (app, options, done) => {
  const { agent, indexes } = options
  const status = (request: FastifyRequest): object =>
    statusJson(agent, (index) => mayTouch(request.caller, index))

  app.get('/vectors/agent/status', STATUS, (request) => status(request))

  app.post('/vectors/agent/start', START, (request) => {
    agent.start()
    return status(request)
  })

  app.post('/vectors/agent/stop', STOP, async (request) => {
    await agent.stop()
    return status(request)
  })

  app.post('/vectors/agent/enqueue/:index', ENQUEUE, async (request, reply) => {
    const { index } = request.params
    findIndex(indexes, request, index)
    await agent.enqueue(index, 'requested')
    return reply.code(202).send(status(request))
  })
  done()
}

const settingsRoutes: FastifyPluginCallbackTypebox<AgentRoutesOptions> = (app, options, done) => {
  const { agent, indexes } = options

  app.get('/vectors/agent/:index', READ, async (request, reply) => {
    const { index } = request.params
    findIndex(indexes, request, index)
    return shown(reply, index, await agent.parts.documents.settings(index))
  })

  app.put('/vectors/agent/:index', PUT, async (request, reply) => {
    const { index } = request.params
    findIndex(indexes, request, index)
    const { note = null, clear_halt: clearHalt = false } = request.body
    const asked = { by: request.caller.name, note, ifRevision: ifMatch(request), clearHalt }
    const stored = await agent.change(index, settingsChange(request.body), asked)
    return shown(reply, index, stored)
  })

  for (const [word, route] of Object.entries({ pause: PAUSE, resume: RESUME })) {
    app.post(`/vectors/agent/${word}/:index`, route, async (request, reply) => {
      const { index } = request.params
      findIndex(indexes, request, index)
      const note = request.query.note ?? word
      const asked = { by: request.caller.name, note, ifRevision: ifMatch(request) }
      const change = { paused: word === 'pause' }
      return shown(reply, index, await agent.change(index, change, { ...asked, clearHalt: false }))
    })
  }
  done()
}

const decisionRoutes: FastifyPluginCallbackTypebox<AgentRoutesOptions> = (app, options, done) => {
  const { agent, decisions, indexes, proposals } = options

  app.post('/vectors/agent/propose/:index', PROPOSE, async (request, reply) => {
    const { index } = request.params
    findIndex(indexes, request, index)
    const { dry_run: dryRun, note = null } = request.query
    const asked = { by: request.caller.name, note, dryRun }
    const { json, operationId } = await proposals.propose(index, asked)
    if (operationId !== null) reply.code(202).header('location', `/operations/${operationId}`)
    return { ...json, operation_id: operationId }
  })

  app.get('/vectors/agent/explain/:index', EXPLAIN, async (request) => {
    const { index } = request.params
    findIndex(indexes, request, index)
    return explainJson(await agent.seat(index), agent.parts, decisions)
  })
  done()
}

function shown(reply: FastifyReply, index: string, stored: StoredSettings): object {
  reply.header('etag', etagOf(stored.revision))
  return agentSettingsJson(index, stored)
}
