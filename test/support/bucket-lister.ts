/**
 * Says which objects of a bucket nothing accounts for, and which are missing that something names.
 *
 *     every key ─▶ of a live index? ─▶ named, or still needed? ─▶ accounted for
 *                       │ no                  │ no
 *                       ╰────▶ leaked ◀───────╯
 *
 * An oracle of its own: it reads the bucket as it lies there, with no server and none of the code
 * that deletes. Parts of a checkpoint that is being written are leaked until its manifest is there,
 * so it is asked when nothing runs, or when what ran has come to rest.
 */

import type { ObjectInfo, ObjectStore } from '../../src/buckets/object-store.ts'
import { decodeManifest } from '../../src/log/checkpoint-manifest.ts'
import type { CheckpointContent, StoredFile } from '../../src/domain/checkpoint.ts'
import { decodeGroupHeader, LOG_HEADER_BYTES } from '../../src/log/log-header.ts'

export interface ListerOptions {
  readonly store: ObjectStore
  /** Names of the indexes that live in this bucket. */
  readonly indexes: readonly string[]
  /** Checkpoints that are kept, `checkpoint.keep`. Default 2. */
  readonly keep?: number
  /** Further keys that are accounted for. */
  readonly alsoKnown?: readonly RegExp[]
}

export interface BucketFindings {
  /** Keys that nothing accounts for, each with the reason: `{key} ({why})`. */
  readonly leaked: readonly string[]
  /** Keys that a kept manifest or a described graph names and that are not there whole. */
  readonly missing: readonly string[]
}

/** Of every document: numbered revisions. Those of what was removed stay, so that it stays removed. */
const REVISION = /\/\d{10}\.json$/
/** Of the whole bucket, or named by people. */
const SHARED = [/^_buckets\//, /^_storage_errors\//, /^_hnsw_evals\/[^/]+\.json$/]
/** Journals and documents of one index, whose name is the second part. */
const OF_INDEX = [
  /^_hnsw_(?:trials|decisions)\/([^/]+)\/batch_\d{16}(?:-[0-9a-f]{8})?\.jsonl$/,
  /^_hnsw_promotions\/([^/]+)\.json$/,
  /^_hnsw_(?:promotions|agent|agent_state)\/([^/]+)\/\d{10}\.json$/,
  /^_indexes\/([^/]+)\/(?:meta|owner|live_ef)\/\d{10}\.json$/,
]

interface Bucket extends ListerOptions {
  readonly objects: ReadonlyMap<string, ObjectInfo>
  readonly keep: number
}

export async function inspectBucket(options: ListerOptions): Promise<BucketFindings> {
  const objects = new Map<string, ObjectInfo>()
  for await (const object of options.store.list('')) objects.set(object.key, object)
  const bucket = { keep: 2, ...options, objects }
  const known = new Set<string>()
  const missing = new Set<string>()
  for (const index of options.indexes) {
    const named = [
      ...(await checkpointFiles(bucket, index, known)),
      ...(await cachedGraphs(bucket, index, known)),
    ]
    for (const { key, bytes } of named) {
      known.add(key)
      if (objects.get(key)?.bytes !== bytes) missing.add(key)
    }
  }
  const leaked = [...objects.keys()].flatMap((key) => {
    if (known.has(key) || options.alsoKnown?.some((pattern) => pattern.test(key))) return []
    const why = whyLeaked(key, options.indexes)
    return why === null ? [] : [`${key} (${why})`]
  })
  return { leaked, missing: [...missing] }
}

function whyLeaked(key: string, indexes: readonly string[]): string | null {
  if (SHARED.some((pattern) => pattern.test(key))) return null
  const of = OF_INDEX.map((pattern) => pattern.exec(key)?.[1]).find((name) => name !== undefined)
  if (of === undefined) return 'nothing names it'
  return indexes.includes(of) || REVISION.test(key) ? null : `there is no index "${of}"`
}

/** Adds the kept manifests and the log after the oldest. @returns what the manifests name. */
async function checkpointFiles(
  bucket: Bucket,
  index: string,
  known: Set<string>,
): Promise<StoredFile[]> {
  const folder = `_indexes/${index}/`
  const keys = keysUnder(bucket, `${folder}checkpoints/`).filter((key) =>
    /\/\d{20}\/manifest\.json$/.test(key),
  )
  const kept = keys.slice(-bucket.keep)
  const contents: CheckpointContent[] = []
  for (const key of kept) {
    known.add(key)
    contents.push(decodeManifest(key, await bucket.store.get(key)).content)
  }
  // With fewer checkpoints than are to be kept the oldest way back is the log from its start.
  const oldest = kept.length < bucket.keep ? 0 : (contents[0]?.lsn ?? 0)
  for (const key of neededSegments(bucket, `${folder}log/`, oldest)) known.add(key)
  for (const key of await neededGroups(bucket, `${folder}log/`, oldest)) known.add(key)
  return contents.flatMap(({ parts, graphs }) => [
    ...parts,
    ...graphs.flatMap(({ graph, labels }) => [graph, labels]),
  ])
}

/** Segments up to the one before the first that starts after `oldest` hold nothing that is needed. */
function neededSegments(bucket: Bucket, folder: string, oldest: number): string[] {
  const keys = keysUnder(bucket, folder).filter((key) => /\/\d{20}\.log$/.test(key))
  const firstLsn = (key: string): number => Number(key.slice(-24, -4))
  return keys.filter((_, i) => {
    const next = keys[i + 1]
    return next === undefined || firstLsn(next) > oldest + 1
  })
}

/** Fences stay; of the other groups those from the last that starts at or before `oldest` on. */
async function neededGroups(bucket: Bucket, folder: string, oldest: number): Promise<string[]> {
  const keys = keysUnder(bucket, folder).filter((key) => /\/\d{20}\.group$/.test(key))
  let from = 0
  for (const [i, key] of keys.entries()) {
    const header = decodeGroupHeader(key, Buffer.from(await bucket.store.get(key)))
    if (header.previousLsn <= oldest) from = i
  }
  const isFence = (key: string): boolean => bucket.objects.get(key)?.bytes === LOG_HEADER_BYTES
  return keys.filter((key, i) => i >= from || isFence(key))
}

/** Adds the descriptions of the cached graphs. @returns the files that they name. */
async function cachedGraphs(
  bucket: Bucket,
  index: string,
  known: Set<string>,
): Promise<StoredFile[]> {
  const files: StoredFile[] = []
  for (const key of keysUnder(bucket, `_hnsw_graphs/${index}/`)) {
    if (!/\/[0-9a-f]{32}\.json$/.test(key)) continue
    known.add(key)
    const { graphs } = JSON.parse(Buffer.from(await bucket.store.get(key)).toString()) as {
      graphs: readonly { graph: StoredFile; labels: StoredFile }[]
    }
    files.push(...graphs.flatMap(({ graph, labels }) => [graph, labels]))
  }
  return files
}

function keysUnder({ objects }: Bucket, prefix: string): string[] {
  return [...objects.keys()].filter((key) => key.startsWith(prefix))
}
