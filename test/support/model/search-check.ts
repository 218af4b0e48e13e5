/**
 * Compares the answer of a search with what a comparison of everything gives.
 *
 * Exact searches have to agree in each rank, up to the order of equal distances. Of a walk over a
 * graph each hit has to be live, wanted and right, and there have to be as many as can be; how near
 * they are is counted, and judged over many.
 */

import assert from 'node:assert/strict'
import type { ModelIndex, Neighbour } from './model-index.ts'
import type { JsonObject, ModelPoint } from './model-point.ts'
import type { RecallTally } from './model-run.ts'
import { isClose, plainScore } from './plain-distance.ts'

export interface Hit {
  readonly id: string
  readonly score: number
  readonly distance: number
  readonly version: number
  readonly metadata?: JsonObject | null
  readonly text?: string | null
  readonly vector?: readonly number[] | null
}

export interface SearchAnswer {
  readonly results: readonly Hit[]
  readonly path: 'exact' | 'graph' | 'graph_filtered'
  readonly ef_used: number
  readonly generation: number
  readonly config_source: string
  readonly exhausted: boolean
  readonly lsn: number
}

export interface Asked {
  readonly vector: Float32Array
  readonly k: number
  readonly ef?: number
  readonly filter: JsonObject | null
  /** Left out of the answer: the point that is searched by. */
  readonly self: string | null
  readonly exact: boolean
  readonly include: readonly string[]
  /** What is searched instead of the live points. */
  readonly among?: readonly ModelPoint[]
}

export function checkSearch(
  answer: SearchAnswer,
  index: ModelIndex,
  asked: Asked,
  recall: RecallTally,
): void {
  assert.ok('results' in answer, JSON.stringify(answer))
  const all = index.nearest(asked.vector, asked)
  const expected = all.slice(0, asked.k)
  const { results, path } = answer
  assert.equal(results.length, expected.length, 'as many hits as there can be')
  assert.equal(answer.exhausted, all.length < asked.k)
  assert.equal(answer.config_source, index.promotions.source)
  assert.equal(answer.lsn, index.lsn, 'the search saw every write')
  assert.equal(new Set(results.map(({ id }) => id)).size, results.length, 'no hit comes twice')
  const byId = new Map(all.map((neighbour) => [neighbour.point.id, neighbour]))
  for (const [rank, hit] of results.entries()) {
    const neighbour = byId.get(hit.id)
    assert.ok(neighbour !== undefined, `${hit.id} is live and matches`)
    checkHit(hit, neighbour, index, asked)
    const before = results[rank - 1]?.distance ?? -Infinity
    assert.ok(before <= hit.distance, 'the nearest come first')
  }
  if (path === 'exact') {
    assert.equal(answer.ef_used, 0)
    assert.ok(
      results.every(({ distance }, rank) => isClose(distance, expected[rank]?.distance ?? NaN)),
      `distances ${inTurn(results)} instead of ${inTurn(expected)}`,
    )
    return
  }
  assert.ok(!asked.exact, 'what was to be exact walked a graph')
  assert.equal(path, asked.filter === null ? 'graph' : 'graph_filtered')
  assert.ok(answer.ef_used >= Math.max(asked.k > all.length ? 1 : asked.k, asked.ef ?? 1))
  const worst = expected.at(-1)?.distance ?? -Infinity
  recall.wanted += expected.length
  recall.found += results.filter(
    ({ distance }) => distance <= worst || isClose(distance, worst),
  ).length
}

function checkHit(hit: Hit, neighbour: Neighbour, index: ModelIndex, { include }: Asked): void {
  const { point } = neighbour
  assert.equal(hit.version, point.version)
  assert.ok(isClose(hit.distance, neighbour.distance), `distance ${hit.distance} of ${hit.id}`)
  const score = plainScore(index.settings.metric, neighbour.distance)
  assert.ok(isClose(hit.score, score), `score ${hit.score} of ${hit.id}`)
  const { metadata, text, vector } = point
  const wanted = {
    ...(include.includes('metadata') && { metadata }),
    ...(include.includes('text') && { text }),
    ...(include.includes('vector') && { vector: [...vector] }),
  }
  const { id: _id, score: _score, distance: _distance, version: _version, ...payload } = hit
  assert.deepEqual(payload, wanted)
}

function inTurn(all: readonly { readonly distance: number }[]): string {
  return all.map(({ distance }) => distance).join(', ')
}
