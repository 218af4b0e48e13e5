/**
 * Queries with their exact neighbours for measuring the recall of a Lance index, and one measurement.
 *
 * All of it is about one version of the table, so that writes meanwhile change nothing. Queries are
 * noisy rows, as eval sets have them; the row itself is left out of what is to be found.
 */

import { countHits } from '../domain/recall-sample.ts'
import type { LanceSearchSettings, LanceTable } from '../domain/lance-table.ts'
import type { Metric } from '../domain/metric.ts'
import { atLengthOf, NOISE_NEIGHBOURS, noisyQuery } from '../domain/noisy-query.ts'
import type { Hit } from '../domain/search.ts'
import { estimateRecall, type RecallEstimate } from '../journal/recall-bound.ts'
import { splitmix32 } from '../lib/splitmix32.ts'

/** As far from a row as a new point would lie. */
const NOISE = 1
const NOTHING = { metadata: false, vector: false, text: false }
const VECTORS = { metadata: false, vector: true, text: false }

export interface LanceQuestion {
  readonly vector: Float32Array
  /** The row that it was made from. */
  readonly selfId: string
  /** Distances of the exact neighbours, nearest first; with the ids of all of them. */
  readonly distances: readonly number[]
  readonly ids: ReadonlySet<string>
}

export interface LanceScale {
  readonly table: LanceTable
  readonly metric: Metric
  readonly k: number
  /** Of the table. */
  readonly version: number
  readonly signal: AbortSignal
}

export interface LanceMeasured extends RecallEstimate {
  readonly settings: LanceSearchSettings
  /** Microseconds of half of the searches at the most, in the Lance core. */
  readonly tookUsP50: number
}

/** @returns fewer than `count` only where the table has fewer rows. */
export async function lanceQuestions(
  scale: LanceScale,
  { count, seed }: { readonly count: number; readonly seed: number },
  onProgress: (done: number, total: number) => void,
): Promise<LanceQuestion[]> {
  const { ids, vectors } = await scale.table.sample(count, seed)
  const random = splitmix32(seed)
  const dimension = vectors.length / Math.max(1, ids.length)
  const questions: LanceQuestion[] = []
  for (const [i, selfId] of ids.entries()) {
    scale.signal.throwIfAborted()
    onProgress(i, ids.length)
    const row = vectors.slice(i * dimension, (i + 1) * dimension)
    const near = await neighboursOf(scale, row, selfId)
    const vector = noisyQuery(row, { near, share: NOISE, random })
    const hits = await exactHits(scale, vector, selfId)
    // A table of one row has nothing to be found.
    if (hits.length === 0) continue
    const distances = hits.map(({ distance }) => distance)
    questions.push({ vector, selfId, distances, ids: new Set(hits.map(({ id }) => id)) })
  }
  return questions
}

/** Recall and time of searches with `settings`; needs one question at least. */
export async function measureLance(
  scale: LanceScale,
  questions: readonly LanceQuestion[],
  settings: LanceSearchSettings,
): Promise<LanceMeasured> {
  const { table, k, version, signal } = scale
  const hits = new Uint16Array(questions.length)
  const tookUs = new Float64Array(questions.length)
  for (const [i, question] of questions.entries()) {
    signal.throwIfAborted()
    const answer = await table.search({
      ...{ vector: question.vector, k: k + 1, exact: false, filter: null, include: NOTHING },
      ...{ asOf: version, ...settings },
    })
    const found = answer.hits.filter(({ id }) => id !== question.selfId).slice(0, k)
    hits[i] = hitsOf(found, question, settings)
    tookUs[i] = answer.tookUs
  }
  const expected = Math.max(...questions.map(({ distances }) => distances.length))
  const estimate = estimateRecall({ hits, k: expected })
  return { ...estimate, settings, tookUsP50: tookUs.sort()[Math.floor(tookUs.length / 2)] ?? 0 }
}

/** Only distances that were refined are exact, and tell ties; others are compared by their ids. */
function hitsOf(
  found: readonly Hit[],
  { distances, ids }: LanceQuestion,
  { refineFactor }: LanceSearchSettings,
): number {
  if (refineFactor === null) return found.filter(({ id }) => ids.has(id)).length
  return countHits(
    found.map(({ distance }) => distance),
    distances,
  )
}

async function exactHits(
  { table, k, version }: LanceScale,
  vector: Float32Array,
  selfId: string,
): Promise<readonly Hit[]> {
  const { hits } = await table.search({
    ...{ vector, k: k + 1, exact: true, filter: null, include: NOTHING, asOf: version },
    ...{ nprobes: null, refineFactor: null, ef: null },
  })
  return hits.filter(({ id }) => id !== selfId).slice(0, k)
}

async function neighboursOf(
  { table, metric, version }: LanceScale,
  row: Float32Array,
  selfId: string,
): Promise<Float32Array[]> {
  const { hits } = await table.search({
    ...{ vector: row, k: NOISE_NEIGHBOURS + 1, exact: true, filter: null, include: VECTORS },
    ...{ asOf: version, nprobes: null, refineFactor: null, ef: null },
  })
  const near = hits.flatMap(({ id, vector }) => (id === selfId || vector === null ? [] : [vector]))
  const some = near.slice(0, NOISE_NEIGHBOURS)
  return metric === 'cosine' ? some.map((vector) => atLengthOf(row, vector)) : some
}
