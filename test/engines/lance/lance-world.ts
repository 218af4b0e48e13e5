/**
 * Lance tables for tests: an engine of this process over a local bucket that goes away afterwards.
 */

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import type { LanceRows, LanceSearch, LanceTableSpec } from '../../../src/domain/lance-table.ts'
import type { Metric } from '../../../src/domain/metric.ts'
import type { BucketSpec } from '../../../src/domain/shard-spec.ts'
import type { LanceDataset } from '../../../src/engines/lance/lance-dataset.ts'
import { LanceEngine } from '../../../src/engines/lance/lance-engine.ts'

export const ALL = { metadata: true, text: true, vector: true }
export const NONE = { metadata: false, text: false, vector: false }

const CACHES = { indexBytes: 64 * 1024 * 1024, metadataBytes: 16 * 1024 * 1024 }

/** An engine as a process that was just started has it. */
export function newEngine(): LanceEngine {
  return new LanceEngine(CACHES)
}

export async function localBucket(test: TestContext): Promise<BucketSpec & { backend: 'local' }> {
  // LanceDB takes a place as a URL or a path: signs that mean something in URLs must not count.
  const root = await mkdtemp(join(tmpdir(), 'vectord lance %20#?-'))
  test.after(() => rm(root, { recursive: true }))
  return { backend: 'local', root }
}

export function specOf(
  bucket: BucketSpec,
  {
    index = 'points',
    dimension = 2,
    metric = 'l2',
  }: { readonly index?: string; readonly dimension?: number; readonly metric?: Metric } = {},
): LanceTableSpec {
  return { index, dimension, metric, bucket }
}

/** An empty table of an engine of its own. */
export async function localTable(
  test: TestContext,
  options: { index?: string; dimension?: number; metric?: Metric } = {},
): Promise<{ readonly table: LanceDataset; readonly spec: LanceTableSpec }> {
  const spec = specOf(await localBucket(test), options)
  const table = newEngine().table(spec)
  await table.create()
  return { table, spec }
}

/** Rows with these ids; vectors count up from the number of the row unless they are given. */
export function rowsOf(
  ids: readonly string[],
  {
    dimension = 2,
    vectors = counted(ids.length, dimension),
    metadata = ids.map(() => null),
    texts = ids.map(() => null),
  }: Partial<LanceRows> & { readonly dimension?: number } = {},
): LanceRows {
  return { ids, vectors, metadata, texts }
}

function counted(rows: number, dimension: number): Float32Array {
  return Float32Array.from({ length: rows * dimension }, (_, i) => Math.floor(i / dimension))
}

export function searchOf(
  vector: Float32Array,
  { k = 10, ...others }: Partial<LanceSearch> = {},
): LanceSearch {
  return {
    ...{ vector, k, exact: false, filter: null, include: NONE, asOf: null },
    ...{ nprobes: null, refineFactor: null, ef: null },
    ...others,
  }
}

export async function allIds(table: LanceDataset, filter: string | null = null): Promise<string[]> {
  const page = { after: null, limit: 100_000, filter, include: NONE, asOf: null }
  const { points } = await table.scroll(page)
  return points.map(({ id }) => id)
}
