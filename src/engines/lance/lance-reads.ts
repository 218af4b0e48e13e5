/**
 * The reads of a Lance table, of one version of it or the newest.
 *
 * LanceDB runs each on threads of its own; only the columns that are asked for are read.
 */

import type { Query, Table, VectorQuery } from '@lancedb/lancedb'
import type { RecordBatch } from 'apache-arrow'
import type {
  LanceAnswer,
  LanceIndexKind,
  LancePage,
  LanceScroll,
  LanceSearch,
} from '../../domain/lance-table.ts'
import type { Metric } from '../../domain/metric.ts'
import type { Include, StoredPoint } from '../../domain/search.ts'
import { VectordError } from '../../lib/errors.ts'
import { seededRandom } from '../../lib/seeded-random.ts'
import { filterSql, quoted } from './filter-sql.ts'
import { DISTANCE_TYPES } from './index-plan.ts'
import { columnsOf, DISTANCE_COLUMN, hitsOf, idsOf, pointsOf, vectorsOf } from './lance-points.ts'
import { ID_COLUMN, VECTOR_COLUMN } from './lance-schema.ts'

/** Ids that are named; so many are enough to say that something is wrong. */
const REPEATED_MAX = 10

export interface ReadView {
  readonly table: Table
  /** The answer knows every write up to this one. */
  readonly version: number
  readonly dimension: number
  readonly metric: Metric
  /** Of the vectors; null where there is none. */
  readonly vectorIndex: LanceIndexKind | null
  /** Milliseconds since the Unix epoch, or Infinity. */
  readonly deadlineMs: number
}

export async function search(view: ReadView, asked: LanceSearch): Promise<LanceAnswer> {
  const startedMs = performance.now()
  checkVector(view, asked.vector)
  const sql = filterSql(asked.filter)
  const index = asked.exact ? null : view.vectorIndex
  const isFiltered = asked.filter !== null
  const path = index === null ? 'exact' : isFiltered ? 'ivf_filtered' : 'ivf'
  const hits = asked.k === 0 ? [] : hitsOf(await batchesOf(view, nearest(view, asked, sql)))
  const tookUs = Math.round((performance.now() - startedMs) * 1000)
  return { hits, path, version: view.version, tookUs }
}

function nearest(view: ReadView, asked: LanceSearch, sql: string | null): VectorQuery {
  const query = view.table
    .query()
    .nearestTo(asked.vector)
    .column(VECTOR_COLUMN)
    .distanceType(DISTANCE_TYPES[view.metric])
    .limit(asked.k)
    .select([...columnsOf(asked.include), DISTANCE_COLUMN])
  if (sql !== null) query.where(sql)
  if (asked.exact || view.vectorIndex === null) return query.bypassVectorIndex()
  return tuned(query, view.vectorIndex, asked)
}

function tuned(query: VectorQuery, kind: LanceIndexKind, asked: LanceSearch): VectorQuery {
  const { k, nprobes, refineFactor, ef, filter } = asked
  if (nprobes !== null) {
    if (filter === null) query.nprobes(nprobes)
    // Where a filter leaves too few in the nearest partitions, it looks into the others as well.
    else query.minimumNprobes(nprobes).maximumNprobes(0)
  }
  if (refineFactor !== null) query.refineFactor(refineFactor)
  // LanceDB refuses fewer candidates than it is to refine.
  if (ef !== null && kind === 'ivf_hnsw_sq') query.ef(Math.max(ef, k * (refineFactor ?? 1)))
  return query
}

export async function fetchPoints(
  view: ReadView,
  ids: readonly string[],
  include: Include,
): Promise<(StoredPoint | null)[]> {
  if (ids.length === 0) return []
  const found = new Map<string, StoredPoint>()
  for (const point of await pointsWith(view, ids, include)) found.set(point.id, point)
  return ids.map((id) => found.get(id) ?? null)
}

/** In any order. */
async function pointsWith(
  view: ReadView,
  ids: readonly string[],
  include: Include,
): Promise<StoredPoint[]> {
  const query = view.table.query().where(idsSql(ids)).select(columnsOf(include))
  return pointsOf(await batchesOf(view, query))
}

/** A page at a time: first its ids, by a scan of that column, then what else is asked for. */
export async function scroll(view: ReadView, asked: LanceScroll): Promise<LancePage> {
  const { limit, include } = asked
  let { after } = asked
  for (;;) {
    const ids = await idsAfter(view, after, asked)
    const done = ids.length <= limit
    const page = ids.slice(0, limit)
    // What was deleted between the two questions is not there any more.
    const found = await fetchPoints(view, page, include)
    const points = found.filter((point) => point !== null)
    // A page without a point would say that there is nothing after it.
    if (points.length > 0 || done) return { points, done, version: view.version }
    after = page.at(-1) ?? after
  }
}

/** One more than a page holds, where there are so many. */
async function idsAfter(
  view: ReadView,
  after: string | null,
  { filter, limit }: LanceScroll,
): Promise<string[]> {
  const sql = filterSql(filter)
  const conditions = [
    ...(after === null ? [] : [`id > ${quoted(after)}`]),
    ...(sql === null ? [] : [sql]),
  ]
  const query = view.table
    .query()
    .select([ID_COLUMN])
    .limit(limit + 1)
  query.orderBy({ columnName: ID_COLUMN, ascending: true })
  if (conditions.length > 0) query.where(conditions.join(' AND '))
  return idsOf(await batchesOf(view, query))
}

export async function count(view: ReadView, filter: string | null): Promise<number> {
  const sql = filterSql(filter)
  return sql === null ? view.table.countRows() : view.table.countRows(sql)
}

/** Ids of which there are several rows, some of them: all ids pass in their order. */
export async function repeated(view: ReadView): Promise<string[]> {
  const query = view.table.query().select([ID_COLUMN])
  query.orderBy({ columnName: ID_COLUMN, ascending: true })
  const found = new Set<string>()
  let last: string | null = null
  for await (const batch of query) {
    for (const id of idsOf([batch])) {
      if (id === last) found.add(id)
      last = id
    }
    if (found.size >= REPEATED_MAX) break
    if (Date.now() > view.deadlineMs) throw late()
  }
  return [...found]
}

/** Of a view that is pinned to its version: rows are told by their places. */
export async function sample(
  view: ReadView,
  rows: number,
  seed: number,
): Promise<{ readonly ids: readonly string[]; readonly vectors: Float32Array }> {
  const places = chosenPlaces(await view.table.countRows(), rows, seed)
  if (places.length === 0) return { ids: [], vectors: new Float32Array(0) }
  const query = view.table.takeOffsets(places).select([ID_COLUMN, VECTOR_COLUMN])
  const batches = await batchesOf(view, query)
  return { ids: idsOf(batches), vectors: vectorsOf(batches, view.dimension) }
}

/** One place at random in each of equal stretches, ascending. */
function chosenPlaces(rows: number, wanted: number, seed: number): number[] {
  const random = seededRandom(seed)
  const chosen = Math.min(rows, wanted)
  const stretch = rows / chosen
  return Array.from({ length: chosen }, (_, i) => {
    const from = Math.ceil(i * stretch)
    const end = Math.ceil((i + 1) * stretch)
    return from + Math.floor(random() * (end - from))
  })
}

/** The predicate of rows with these ids; never of none. */
export function idsSql(ids: readonly string[]): string {
  return `id IN (${[...new Set(ids)].map(quoted).join(',')})`
}

async function batchesOf(
  { deadlineMs }: ReadView,
  query: Pick<Query, 'toArrow'>,
): Promise<readonly RecordBatch[]> {
  const leftMs = deadlineMs - Date.now()
  if (leftMs <= 0) throw late()
  const isBound = leftMs < Infinity
  const table = await query.toArrow(isBound ? { timeoutMs: Math.ceil(leftMs) } : {})
  return table.batches
}

function checkVector({ dimension }: ReadView, vector: Float32Array): void {
  if (vector.length !== dimension) {
    const text = `The vector has ${vector.length} numbers and not ${dimension}.`
    throw new VectordError('vector_dimension_mismatch', text)
  }
  if (!vector.every(Number.isFinite)) {
    throw new VectordError('invalid_vector', 'The vector holds what is not a finite number.')
  }
}

function late(): VectordError {
  const text = 'The deadline passed before the Lance table was asked.'
  return new VectordError('deadline_exceeded', text, { retryAfterS: 1 })
}
