/**
 * Reads that are asked of every shard of an index, and put together.
 */

import type { RecallSample, SampledHits, SampleRequest } from '../domain/recall-sample.ts'
import type {
  Include,
  ShardAnswer,
  ShardQuery,
  StoredPoint,
  VersionsPage,
  VersionsRequest,
} from '../domain/search.ts'
import { notEmbedded } from '../domain/pending-text.ts'
import { shardOf } from '../domain/shard-spec.ts'
import { VectordError } from '../lib/errors.ts'
import { invariant } from '../lib/invariant.ts'
import { searchKeywords } from './keyword-reads.ts'
import { mergeAnswers } from './scatter.ts'
import type { ShardClient } from './shard-client.ts'

type Shards = readonly ShardClient[]

interface Bounds {
  readonly deadlineMs: number
}

/** @throws {VectordError} `point_not_found` for a search by an id that is not there. */
export async function searchShards(
  shards: Shards,
  query: ShardQuery,
  bounds: Bounds,
): Promise<ShardAnswer> {
  const { target } = query
  if ('keywords' in target) return searchKeywords(shards, query, { ...bounds, ...target })
  const [only] = shards
  if (shards.length === 1 && only !== undefined) return only.search(query, bounds)
  if ('id' in target) return searchById(shards, query, target.id, bounds)
  const answers = await Promise.all(shards.map((shard) => shard.search(query, bounds)))
  return mergeAnswers(answers, query.k)
}

/** The points of `ids` in their order; null where there is none. */
export async function fetchFromShards(
  shards: Shards,
  ids: readonly string[],
  include: Include,
  bounds: Bounds,
): Promise<readonly (StoredPoint | null)[]> {
  const points = new Array<StoredPoint | null>(ids.length).fill(null)
  await Promise.all(
    shards.map(async (shard, number) => {
      const places = ids.flatMap((id, place) =>
        shardOf(id, shards.length) === number ? [place] : [],
      )
      if (places.length === 0) return
      const own = places.map((place) => ids[place] ?? '')
      const found = await shard.fetch(own, include, bounds)
      for (const [i, place] of places.entries()) points[place] = found[i] ?? null
    }),
  )
  return points
}

export async function versionsFromShards(
  shards: Shards,
  request: VersionsRequest,
  bounds: Bounds,
): Promise<VersionsPage> {
  const shard = shards[shardOf(request.id, shards.length)]
  invariant(shard !== undefined, 'an id belongs to a shard')
  return shard.versions(request, bounds)
}

/** Work that nobody waits for: it yields to other requests and is refused first. */
export async function sampleShards(
  shards: Shards,
  request: SampleRequest,
  { deadlineMs }: Bounds,
): Promise<RecallSample> {
  const samples = await Promise.all(
    shards.map((shard) => shard.sample(request, { deadlineMs, background: true })),
  )
  const [first] = samples
  invariant(first !== undefined, 'an index has a shard')
  if (samples.length === 1) return first
  const { k } = request.query
  return {
    truth: nearestOf(
      samples.map(({ truth }) => truth),
      k,
    ),
    probes: first.probes.map((probe, i) => {
      const found = samples.flatMap(({ probes }) => probes[i] ?? [])
      const cpuUs = found.reduce((sum, one) => sum + one.cpuUs, 0)
      return { ...probe, ...nearestOf(found, k), cpuUs }
    }),
    generation: Math.min(...samples.map(({ generation }) => generation)),
    lsn: Math.min(...samples.map(({ lsn }) => lsn)),
    livePoints: samples.reduce((sum, { livePoints }) => sum + livePoints, 0),
    matching: samples.reduce((sum, { matching }) => sum + matching, 0),
    workUs: samples.reduce((sum, { workUs }) => sum + workUs, 0),
  }
}

async function searchById(
  shards: Shards,
  query: ShardQuery,
  id: string,
  bounds: Bounds,
): Promise<ShardAnswer> {
  const point = await pointOf(shards, id, query.asOf, bounds)
  if (point === null) {
    throw new VectordError('point_not_found', `There is no point with the id of the query.`)
  }
  const { vector } = point
  if (vector === null) throw notEmbedded()
  // One more than asked for, since the point itself is the nearest and is left out.
  const asked = { ...query, target: { vector }, k: query.k + 1 }
  const answers = await Promise.all(shards.map((shard) => shard.search(asked, bounds)))
  const merged = mergeAnswers(answers, asked.k)
  const hits = merged.hits.filter((hit) => hit.id !== id).slice(0, query.k)
  return { ...merged, hits, exhausted: hits.length < query.k }
}

async function pointOf(
  shards: Shards,
  id: string,
  asOf: number | undefined,
  bounds: Bounds,
): Promise<StoredPoint | null> {
  const include = { metadata: false, vector: true, text: false }
  if (asOf === undefined) {
    const [point] = await fetchFromShards(shards, [id], include, bounds)
    return point ?? null
  }
  const request = { id, include, before: null, limit: 1, only: { asOf } }
  const { versions } = await versionsFromShards(shards, request, bounds)
  return versions[0] ?? null
}

function nearestOf(all: readonly SampledHits[], k: number): SampledHits {
  const hits = all
    .flatMap(({ ids, distances }) => ids.map((id, i) => ({ id, distance: distances[i] ?? 0 })))
    .sort((a, b) => a.distance - b.distance)
    .slice(0, k)
  return { ids: hits.map(({ id }) => id), distances: hits.map(({ distance }) => distance) }
}
