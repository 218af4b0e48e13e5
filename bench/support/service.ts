/**
 * What every benchmark does with a server before it measures: an index, rows, an empty delta.
 */

import type { GraphConfig } from './baseline.ts'
import type { Split } from './glove.ts'
import type { TruthRef } from './ground-truth.ts'
import { IngestLoad, type IngestAnswer, type IngestCall } from './ingest-load.ts'
import { base64Vector } from './json-vector.ts'
import { progress } from './report.ts'
import { SearchLoad, type CheckedRun } from './search-load.ts'
import type { BenchServer } from './server.ts'
import { rowOf, type Vectors } from './vectors.ts'

export const GRAPH: GraphConfig = { m: 16, efConstruction: 200, seed: 100 }
export const K = 10
/** Chosen before any result was seen; the smallest that reaches `RECALL_MIN` is taken. */
export const EF_LADDER = [16, 24, 32, 48, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 512]
export const RECALL_MIN = 0.95

/** A new index that takes writes. */
export async function createIndex(
  server: BenchServer,
  name: string,
  dimension: number,
): Promise<void> {
  const hnsw = { m: GRAPH.m, ef_construction: GRAPH.efConstruction, seed: GRAPH.seed }
  await server.answersAfterMs('GET', '/readyz')
  await server.call('POST', '/vectors/indexes', { name, dimension, metric: 'cosine', hnsw })
  // A new index is opened by its core after the answer; unready until then.
  await server.answersAfterMs('GET', '/readyz')
}

export interface Filled extends IngestAnswer {
  /** Milliseconds from the first request until no row waited for the graph. */
  readonly indexedMs: number
}

/** Sends rows in batches of 500 and waits until all of them are in the graph. */
export async function fill(
  server: BenchServer,
  index: string,
  base: Vectors,
  options: Partial<Omit<IngestCall, 'url' | 'index' | 'vectors'>> = {},
): Promise<Filled> {
  const load = new IngestLoad()
  try {
    const { batch = 500, writers = 1, form = 'columns', ranks = null, firstId = 0 } = options
    const call = { url: server.url, index, vectors: base.ref, firstId, batch, writers, form, ranks }
    const answer = await load.run(call)
    const acknowledged = performance.now()
    await server.indexed(index, firstId + base.rows)
    const indexedMs = answer.wallMs + performance.now() - acknowledged
    progress(
      `${index}: ${answer.points} points acknowledged in ${(answer.wallMs / 1000).toFixed(1)} s, ` +
        `in the graph after ${(indexedMs / 1000).toFixed(1)} s`,
    )
    return { ...answer, indexedMs }
  } finally {
    await load.close()
  }
}

export interface SearchOnce {
  readonly split: Split
  readonly truth: TruthRef
  readonly ef: number | null
  readonly filters?: readonly object[]
  /** Positions of the queries; all where absent. */
  readonly only?: readonly number[]
}

/** Every query once from one client: latency and recall. */
export async function searchOnce(
  server: BenchServer,
  index: string,
  { split, truth, ef, filters = [], only }: SearchOnce,
): Promise<CheckedRun> {
  const load = new SearchLoad()
  try {
    await load.setup({
      ...{ url: server.url, index, queries: split.queries.ref, truth, k: K, ef, form: 'json' },
      ...{ filters, ...(only !== undefined && { only }) },
    })
    return await load.run({ clients: 1, requests: only?.length ?? split.queries.rows })
  } finally {
    await load.close()
  }
}

/** The body of one search, as `BenchServer` sends it while it waits for a server. */
export function searchBody(split: Split, ef: number | null): object {
  return { vector: base64Vector(rowOf(split.queries, 0)), k: K, ...(ef !== null && { ef }) }
}
