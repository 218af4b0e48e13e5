/**
 * How routes reach indexes: lookup with helpful absence, deadlines, and what is read so often that
 * it is kept.
 */

import type { FastifyRequest } from 'fastify'
import type { Metric } from '../domain/metric.ts'
import type { Include } from '../domain/search.ts'
import type { Indexes, ManagedIndex } from '../indexes/index-api.ts'
import { hasCode, VectordError } from '../lib/errors.ts'
import { mayTouch } from './auth.ts'
import type { HttpLimits } from './limits.ts'
import type { Metrics } from './metrics.ts'
import { nearNames } from './nearest.ts'

/** What the plugins of indexes, points, search and maintenance are given. */
export interface IndexRoutesOptions {
  readonly indexes: Indexes
  readonly limits: HttpLimits
  readonly metrics: Metrics
  readonly nowMs: () => number
}

/**
 * The index `name`. Where there is none, the error names near ones that the caller may know of.
 *
 * @throws {VectordError} `index_not_found`.
 */
export function findIndex(indexes: Indexes, request: FastifyRequest, name: string): ManagedIndex {
  try {
    return indexes.get(name)
  } catch (error) {
    if (!hasCode(error, 'index_not_found')) throw error
    throw notFound(indexes, request, name)
  }
}

function notFound(indexes: Indexes, request: FastifyRequest, name: string): VectordError {
  const visible = indexes
    .list()
    .map((index) => index.info.name)
    .filter((known) => mayTouch(request.caller, known))
  const near = nearNames(name, visible)
  const hint = near[0] === undefined ? '' : ` Did you mean "${near[0]}"?`
  return new VectordError('index_not_found', `There is no index "${name}".${hint}`, {
    details: { index: name, near },
  })
}

interface Shape {
  readonly dimension: number
  readonly metric: Metric
}

const shapes = new WeakMap<ManagedIndex, Shape>()

/** Dimension and metric, which never change; `info` is put together anew at each call. */
export function shapeOf(index: ManagedIndex): Shape {
  const known = shapes.get(index)
  if (known !== undefined) return known
  const { dimension, metric } = index.info
  const shape = { dimension, metric }
  shapes.set(index, shape)
  return shape
}

/**
 * Milliseconds since the epoch at which a request runs out of time.
 *
 * @throws {VectordError} `limit_exceeded` where it asks for more than the service gives.
 */
export function deadlineOf(
  { limits, nowMs }: Pick<IndexRoutesOptions, 'limits' | 'nowMs'>,
  askedMs: number | undefined,
): number {
  const max = limits.deadlineMaxMs
  if (askedMs !== undefined && askedMs > max) {
    throw new VectordError('limit_exceeded', `deadline_ms must be at most ${max}.`, {
      details: { limit: 'deadline_ms', max },
    })
  }
  return nowMs() + (askedMs ?? limits.requestDeadlineMs)
}

/** `include` of a query string; its schema has checked the names. */
export function includeOf(list: string | undefined): Include {
  const names = (list ?? 'metadata').split(',')
  return {
    metadata: names.includes('metadata'),
    vector: names.includes('vector'),
    text: names.includes('text'),
  }
}
