/**
 * What an index takes in its bucket, object by object: a listing, and what each object is for.
 *
 *     live        the newest checkpoint and its published graph, the log after it, documents, journals
 *     superseded  older checkpoints, graphs kept for going back, log before the newest checkpoint, the
 *                 cache of graphs: it may go, by its retention
 *     orphaned    nothing names it: it is being written just now, or a crash left it and a sweep takes it
 *
 * The sums are those of the listing, whatever happens meanwhile. Eval sets are not counted: they have
 * names of their own.
 */

import type { ObjectInfo, ObjectStore } from '../buckets/object-store.ts'
import type { CheckpointContent } from '../domain/checkpoint.ts'
import { CheckpointStore } from '../log/checkpoint-store.ts'
import { LOG_HEADER_BYTES } from '../log/log-header.ts'
import type { GraphCache } from './graph-cache.ts'
import { indexFolder, ownPrefixes } from './index-objects.ts'
import type { ServedIndex } from './served-index.ts'

export const OBJECT_CLASSES = ['live', 'superseded', 'orphaned'] as const
export type ObjectClass = (typeof OBJECT_CLASSES)[number]

export interface ObjectSum {
  readonly objects: number
  readonly bytes: number
}

export interface StorageReport {
  readonly bucket: string
  readonly total: ObjectSum
  readonly classes: Readonly<Record<ObjectClass, ObjectSum>>
  /** By folder, such as `parts`, `log` or `_hnsw_trials`; those that hold something. */
  readonly folders: readonly {
    readonly folder: string
    readonly classes: Readonly<Record<ObjectClass, ObjectSum>>
  }[]
}

export interface StorageReportsOptions {
  /** @throws {VectordError} `index_not_found`. */
  readonly served: (index: string) => ServedIndex
  readonly store: (bucket: string) => ObjectStore
  readonly graphs: GraphCache
}

/** What the objects of an index are told apart by. */
interface Known {
  readonly index: string
  /** Newest first. */
  readonly checkpoints: readonly {
    readonly lsn: number
    readonly content: CheckpointContent | null
  }[]
  readonly liveLsn: number
  readonly liveFiles: ReadonlySet<string>
  readonly namedFiles: ReadonlySet<string>
  readonly cachedFiles: ReadonlySet<string>
  /** Name of the first log object that is needed; null: all of them may be. */
  readonly logStart: string | null
}

export class StorageReports {
  readonly #options: StorageReportsOptions

  constructor(options: StorageReportsOptions) {
    this.#options = options
  }

  /** @throws {VectordError} `index_not_found`, and what the bucket throws. */
  async of(name: string): Promise<StorageReport> {
    const { served, store, graphs } = this.#options
    const index = served(name)
    const { bucket } = index.meta
    const objects: ObjectInfo[] = []
    for (const prefix of ownPrefixes(name)) {
      for await (const object of store(bucket).list(prefix)) objects.push(object)
    }
    const known = await knownOf(index, store(bucket), graphs)
    return report(
      bucket,
      objects.map((object) => ({ ...object, ...classified(object, known) })),
    )
  }
}

async function knownOf(
  { meta, storage }: ServedIndex,
  store: ObjectStore,
  graphs: GraphCache,
): Promise<Known> {
  const { name: index, incarnation } = meta
  const manifests = new CheckpointStore({ store, index, incarnation, nowMs: () => 0 })
  const checkpoints = (await manifests.found()).map((found) => ({
    lsn: found.lsn,
    content: 'content' in found ? found.content : null,
  }))
  const live =
    checkpoints.find(({ lsn }) => lsn === storage?.checkpointLsn) ??
    checkpoints.find(({ content }) => content !== null)
  return {
    ...{ index, checkpoints, liveLsn: live?.lsn ?? 0 },
    liveFiles: new Set(live === undefined ? [] : filesOf(live.content, 'published')),
    namedFiles: new Set(checkpoints.flatMap(({ content }) => filesOf(content, 'all'))),
    cachedFiles: new Set(await graphs.describedFiles(index)),
    logStart: (await storage?.log.startOf(live?.lsn ?? 0)) ?? null,
  }
}

function filesOf(content: CheckpointContent | null, graphs: 'published' | 'all'): string[] {
  if (content === null) return []
  const wanted = content.graphs.filter(({ published }) => graphs === 'all' || published)
  return [
    ...content.parts.map(({ key }) => key),
    ...wanted.flatMap(({ graph, labels }) => [graph.key, labels.key]),
  ]
}

function classified(
  object: ObjectInfo,
  known: Known,
): { readonly folder: string; readonly class: ObjectClass } {
  const own = indexFolder(known.index)
  if (object.key.startsWith(own)) {
    const path = object.key.slice(own.length)
    const folder = path.split('/')[0] ?? ''
    return { folder, class: classInIndex(object, path, known) }
  }
  const folder = object.key.split('/')[0] ?? ''
  return { folder, class: classOutside(object, folder, known) }
}

function classInIndex(object: ObjectInfo, path: string, known: Known): ObjectClass {
  if (/^(parts|graphs)\//.test(path)) {
    if (known.liveFiles.has(object.key)) return 'live'
    return known.namedFiles.has(object.key) ? 'superseded' : 'orphaned'
  }
  const lsn = /^checkpoints\/(\d{20})\/manifest\.json$/.exec(path)?.[1]
  if (lsn !== undefined) return Number(lsn) === known.liveLsn ? 'live' : 'superseded'
  const log = /^log\/(\d{20}\.(?:log|group))$/.exec(path)?.[1]
  if (log !== undefined) return classOfLog(object, log, known)
  return /^(meta|owner|live_ef)\/\d{10}\.json$/.test(path) ? 'live' : 'orphaned'
}

function classOfLog({ bytes }: ObjectInfo, name: string, { logStart }: Known): ObjectClass {
  // Fences keep writers of the past out for as long as they are there.
  const isFence = bytes === LOG_HEADER_BYTES && name.endsWith('.group')
  return isFence || logStart === null || name >= logStart ? 'live' : 'superseded'
}

function classOutside({ key }: ObjectInfo, folder: string, known: Known): ObjectClass {
  if (folder === '_hnsw_graphs') return known.cachedFiles.has(key) ? 'superseded' : 'orphaned'
  return /\/(\d{10}\.json|batch_\d{16}(-[0-9a-f]{8})?\.jsonl)$|^[^/]+\/[^/]+\.json$/.test(key)
    ? 'live'
    : 'orphaned'
}

type Classified = ObjectInfo & { readonly folder: string; readonly class: ObjectClass }

function report(bucket: string, objects: readonly Classified[]): StorageReport {
  const names = [...new Set(objects.map(({ folder }) => folder))].sort()
  return {
    bucket,
    total: sumOf(objects),
    classes: byClass(objects),
    folders: names.map((folder) => ({
      folder,
      classes: byClass(objects.filter((object) => object.folder === folder)),
    })),
  }
}

function byClass(objects: readonly Classified[]): Readonly<Record<ObjectClass, ObjectSum>> {
  const of = (wanted: ObjectClass): ObjectSum =>
    sumOf(objects.filter((object) => object.class === wanted))
  return { live: of('live'), superseded: of('superseded'), orphaned: of('orphaned') }
}

function sumOf(objects: readonly ObjectInfo[]): ObjectSum {
  return { objects: objects.length, bytes: objects.reduce((sum, { bytes }) => sum + bytes, 0) }
}
