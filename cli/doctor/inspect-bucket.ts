/**
 * A whole bucket: every index, snapshot and dataset, and every document and journal by its own
 * checksums.
 */

import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { decodeBatch } from '../../src/buckets/batch-line.ts'
import { hasErrno } from '../../src/buckets/errno.ts'
import { TEMPORARY_FOLDER } from '../../src/buckets/object-key.ts'
import type { ObjectInfo } from '../../src/buckets/object-store.ts'
import { decodeRevision } from '../../src/buckets/revision-codec.ts'
import { indexNames, ownPrefixes } from '../../src/indexes/index-objects.ts'
import { tableFolder } from '../../src/indexes/open-lance.ts'
import { decodeLetter } from '../../src/ingest/dead-letter-codec.ts'
import { decodeEvalSet } from '../../src/journal/eval-codec.ts'
import { hasCode, VectordError } from '../../src/lib/errors.ts'
import { type BucketDiagnosis, type Finding, type IndexSummary, problemOf } from './finding.ts'
import { inspectCache } from './inspect-cache.ts'
import { inspectDatasets } from './inspect-datasets.ts'
import { inspectIndex } from './inspect-index.ts'
import { inspectSnapshots } from './inspect-snapshots.ts'
import type { TargetBucket } from './target.ts'

export interface InspectOptions {
  /** Only these indexes; null for all, and what belongs to none. */
  readonly indexes: readonly string[] | null
  /** Told of each step, with its count. */
  readonly onStep: (step: { readonly done: number; readonly total: number; note: string }) => void
}

/** Checks the bytes of one object. @throws what is wrong with them. */
type Check = (key: string, body: Uint8Array) => void | Promise<void>

/** Objects that carry a checksum of their own, by their keys. */
const CHECKS: readonly (readonly [RegExp, Check])[] = [
  [/^_.*\/\d{10}\.json$/, (key, body) => void decodeRevision(key, body)],
  [/^_.*\/batch_\d{16}(-[0-9a-f]{8})?\.jsonl$/, checkBatch],
  [/^_hnsw_evals\/[^/]+\.json$/, (key, body) => void decodeEvalSet(key, body)],
  [/^_indexes\/[^/]+\/dead\/[^/]+\.json$/, (key, body) => void decodeLetter(key, body)],
]

export async function inspectBucket(
  bucket: TargetBucket,
  { indexes, onStep }: InspectOptions,
): Promise<BucketDiagnosis> {
  const objects: ObjectInfo[] = []
  for await (const object of bucket.store.list('')) objects.push(object)
  const names = (await indexNames(bucket.store)).filter((name) => indexes?.includes(name) ?? true)
  const ownerOf = (key: string): string | null =>
    names.find((name) => prefixesOf(name).some((prefix) => key.startsWith(prefix))) ?? null
  const byOwner = Map.groupBy(objects, ({ key }) => ownerOf(key))
  if (indexes !== null) byOwner.delete(null)
  const wanted = [...byOwner].flatMap(([owner, own]) => own.map((object) => ({ owner, object })))
  const total = names.length + wanted.length
  const summaries: IndexSummary[] = []
  const findings: Finding[] = []
  for (const [done, name] of names.entries()) {
    onStep({ done, total, note: name })
    const own = byOwner.get(name) ?? []
    const inspected = await inspectIndex(bucket, name, own)
    summaries.push(inspected.summary)
    findings.push(...inspected.findings, ...(await inspectCache(bucket, name, own)))
  }
  for (const [i, { owner, object }] of wanted.entries()) {
    onStep({ done: names.length + i, total, note: object.key })
    findings.push(...(await inspectObject(bucket, object.key, owner)))
  }
  findings.push(...(await inspectSnapshots(bucket, objects, indexes)))
  if (indexes === null) {
    findings.push(...(await inspectDatasets(bucket, findings)), ...(await temporaryFiles(bucket)))
  }
  const bytes = wanted.reduce((sum, { object }) => sum + object.bytes, 0)
  return { uri: bucket.uri, objects: wanted.length, bytes, indexes: summaries, findings }
}

function prefixesOf(index: string): readonly string[] {
  return [...ownPrefixes(index), tableFolder(index)]
}

async function inspectObject(
  { store }: TargetBucket,
  key: string,
  index: string | null,
): Promise<Finding[]> {
  const check = CHECKS.find(([pattern]) => pattern.test(key))?.[1]
  if (check === undefined) return []
  try {
    await check(key, await store.get(key))
    return []
  } catch (error) {
    if (!hasCode(error, 'object_corrupt', 'format_too_new')) throw error
    const loss = `what ${key} says: restore it from a copy of the bucket`
    return [{ key, index, kind: 'damaged', problem: problemOf(error), loss, repair: null }]
  }
}

async function checkBatch(key: string, body: Uint8Array): Promise<void> {
  const codec = { toJson: () => ({}), fromJson: () => null }
  // The journal of storage failures takes lines of an older layout, which have no checksum.
  const takesUnsealed = key.startsWith('_storage_errors/')
  const { problems } = await decodeBatch(key, body, { codec, takesUnsealed })
  const [problem] = problems
  if (problem !== undefined) throw new VectordError(problem.code, problem.message)
}

/** What a server that was killed in the middle of a write has left. */
async function temporaryFiles({ folder }: TargetBucket): Promise<Finding[]> {
  if (folder === null) return []
  const names = await readdir(join(folder, TEMPORARY_FOLDER)).catch((error: unknown) => {
    if (hasErrno(error, 'ENOENT')) return []
    throw error
  })
  return names.map((name) => {
    const path = join(folder, TEMPORARY_FOLDER, name)
    const problem = 'a write that did not come to its end'
    const repair = { kind: 'unlink', path } as const
    return { key: path, index: null, kind: 'leftover', problem, loss: null, repair }
  })
}
