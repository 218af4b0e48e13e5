/**
 * GET /vectors/hnsw/trials/{index}/points: every measured point of the trials of an index, in columns.
 *
 * For charts: thousands of trials with their curves are a tenth of what the journal itself is as
 * JSON. Put together by hand, and answered 304 while nothing is new.
 */

import { setImmediate as nextTurn } from 'node:timers/promises'
import { Type, type FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import { findIndex, type IndexRoutesOptions } from '../src/http/index-access.ts'
import { IndexParams, JSON_TYPE, NoQuery, Nullable, replies } from '../src/http/schemas.ts'
import type { Trial } from '../src/domain/trial.ts'
import type { TrialJournal } from '../src/journal/trial-journal.ts'

export interface TrialPointRoutesOptions extends Pick<IndexRoutesOptions, 'indexes'> {
  readonly trials: Pick<TrialJournal, 'list'>
}

const STRICT = { additionalProperties: false } as const
/** More than a journal keeps. */
const TRIALS_MAX = 10_000

const column = (description: string) => Type.Array(Type.Number(), { description })

const PointsJson = Type.Object(
  {
    fingerprint: Nullable(Type.String({ description: 'Of the data; null: nothing was measured.' })),
    measured: Type.Integer({ description: 'Trials on this data that have points.' }),
    total: Type.Integer({ description: 'Trials in the journal, of any data and state.' }),
    trials: Type.Object(
      {
        trial_id: Type.Array(Type.String()),
        ...{
          seq: column('By number'),
          m: column('Links'),
          ef_construction: column('Of the build'),
        },
      },
      { ...STRICT, description: 'Columns of one row a trial, oldest first.' },
    ),
    points: Type.Object(
      {
        trial: column('Row of its trial'),
        ...{ ef: column('Of the search'), recall: column('Mean'), recall_lcb: column('Bound') },
        cpu_us: column('CPU time of a query'),
      },
      { ...STRICT, description: 'Columns of one row a measured ef.' },
    ),
  },
  STRICT,
)

const POINTS = {
  config: { role: 'read' },
  schema: {
    tags: ['tuning'],
    summary: 'Recall against cost of all trials on the newest data, in columns',
    params: IndexParams,
    querystring: NoQuery,
    response: { ...replies({ 200: Type.Unsafe<string>(PointsJson) }), 304: Type.Null() },
  },
} as const

export const trialPointRoutes: FastifyPluginCallbackTypebox<TrialPointRoutesOptions> = (
  app,
  { indexes, trials },
  done,
) => {
  app.get('/vectors/hnsw/trials/:index/points', POINTS, async (request, reply) => {
    const { index } = request.params
    findIndex(indexes, request, index)
    const page = await trials.list(index, { limit: TRIALS_MAX, after: null })
    const etag = etagOf(page.trials)
    reply.header('etag', etag)
    if (request.headers['if-none-match'] === etag) return reply.code(304).send(null)
    // Sorting a long journal has held the event loop for a few milliseconds already.
    await nextTurn()
    return reply.type(JSON_TYPE).send(pointsJson(page.trials))
  })
  done()
}

/** What changes with each trial that begins or ends; weak: the bytes may differ. */
function etagOf(trials: readonly Trial[]): string {
  const running = trials.filter(({ state }) => state === 'running').length
  return `W/"${trials.length}-${trials[0]?.trialId ?? ''}-${running}"`
}

/** @param newestFirst as the journal lists them. */
function pointsJson(newestFirst: readonly Trial[]): string {
  const done = newestFirst.filter(({ state, curve }) => state === 'completed' && curve.length > 0)
  const fingerprint = done[0]?.epoch.fingerprint ?? null
  const shown = done.filter(({ epoch }) => epoch.fingerprint === fingerprint).reverse()
  return JSON.stringify({
    ...{ fingerprint, measured: shown.length, total: newestFirst.length },
    trials: {
      trial_id: shown.map(({ trialId }) => trialId),
      seq: shown.map(({ seq }) => seq),
      m: shown.map(({ config }) => config.m),
      ef_construction: shown.map(({ config }) => config.efConstruction),
    },
    points: columnsOf(shown),
  })
}

/** One loop: there may be tens of thousands. */
function columnsOf(trials: readonly Trial[]): Readonly<Record<string, readonly number[]>> {
  const trial: number[] = []
  const [ef, recall, bound, cost]: [number[], number[], number[], number[]] = [[], [], [], []]
  for (const [row, { curve }] of trials.entries()) {
    for (const point of curve) {
      trial.push(row)
      ef.push(point.ef)
      recall.push(rounded(point.recall, 1e5))
      bound.push(rounded(point.recallLcb, 1e5))
      cost.push(rounded(point.cpuUs, 10))
    }
  }
  return { trial, ef, recall, recall_lcb: bound, cpu_us: cost }
}

function rounded(value: number, parts: number): number {
  return Math.round(value * parts) / parts
}
