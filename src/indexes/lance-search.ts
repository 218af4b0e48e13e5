/**
 * A search of a Lance table as searches of every index are answered.
 *
 * Through an index of the vectors a table may find fewer than k of the rows that match, where the
 * lists that are looked into hold no more. Such a search is made again row by row: fewer than k then
 * means that there are not more.
 */

import type { LanceAnswer, LanceSearchSettings, LanceTable } from '../domain/lance-table.ts'
import type { LanceSettings } from '../domain/lance-settings.ts'
import type { NeighbourTarget, ShardAnswer, ShardQuery } from '../domain/search.ts'
import { VectordError } from '../lib/errors.ts'

export interface LanceQuery extends ShardQuery {
  readonly target: NeighbourTarget
}

const VECTOR_ONLY = { metadata: false, vector: true, text: false }

/** @throws {VectordError} `point_not_found` for a search by an id that is not there. */
export async function searchTable(
  table: LanceTable,
  query: LanceQuery,
  { settings, deadlineMs }: { readonly settings: LanceSettings; readonly deadlineMs: number },
): Promise<ShardAnswer> {
  const { target, k } = query
  const bounds = { deadlineMs }
  const leftOut = 'id' in target ? target.id : null
  const vector = 'id' in target ? await vectorOf(table, query, target.id, bounds) : target.vector
  const wanted = leftOut === null ? k : k + 1
  const tuned = tunedFor(wanted, settings, query.ef)
  const base = {
    ...{ vector, k: wanted, filter: query.filter, include: query.include },
    asOf: query.asOf ?? null,
    // What a version of the past looked like to its index is no question worth asking.
    exact: query.exact || query.asOf !== undefined,
  }
  let answer = await table.search({ ...base, ...tuned }, bounds)
  if (answer.path !== 'exact' && answer.hits.length < wanted) {
    answer = await table.search({ ...base, ...tuned, exact: true }, bounds)
  }
  return answered(answer, { query, leftOut, efUsed: tuned.ef ?? 0 })
}

/** The settings of a search for `k` hits: an ef below the candidates that are refined finds fewer. */
function tunedFor(
  k: number,
  { indexKind, nprobes, refineFactor, ef }: LanceSettings,
  asked: number | null,
): LanceSearchSettings {
  if (indexKind !== 'ivf_hnsw_sq') return { nprobes, refineFactor, ef: null }
  const wanted = asked ?? ef
  return {
    ...{ nprobes, refineFactor },
    ef: wanted === null ? null : Math.max(wanted, k * (refineFactor ?? 1)),
  }
}

async function vectorOf(
  table: LanceTable,
  { asOf }: ShardQuery,
  id: string,
  bounds: { readonly deadlineMs: number },
): Promise<Float32Array> {
  const { points } = await table.fetch([id], VECTOR_ONLY, asOf ?? null, bounds)
  const vector = points[0]?.vector ?? null
  if (vector !== null) return vector
  throw new VectordError('point_not_found', 'There is no point with the id to search by.')
}

function answered(
  { hits: found, path, version }: LanceAnswer,
  {
    query,
    leftOut,
    efUsed,
  }: { readonly query: ShardQuery; readonly leftOut: string | null; readonly efUsed: number },
): ShardAnswer {
  const hits = found.filter(({ id }) => id !== leftOut).slice(0, query.k)
  return {
    ...{ hits, path, generation: version, lsn: version },
    efUsed: path === 'exact' ? 0 : efUsed,
    exhausted: hits.length < query.k,
    ...(query.asOf !== undefined && { completeFrom: 0 }),
  }
}
