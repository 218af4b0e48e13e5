/**
 * One index in a bucket: its document, its checkpoints with every part and graph, its log.
 */

import type { ObjectInfo } from '../../src/buckets/object-store.ts'
import { hasCode } from '../../src/lib/errors.ts'
import type { CheckpointContent, StoredFile } from '../../src/domain/checkpoint.ts'
import { metaDocument, type IndexMeta } from '../../src/indexes/index-meta.ts'
import { tableFolder } from '../../src/indexes/open-lance.ts'
import { CheckpointStore, type FoundCheckpoint } from '../../src/log/checkpoint-store.ts'
import { type CheckpointSummary, type Finding, type IndexSummary, problemOf } from './finding.ts'
import { type InspectedLog, inspectLog } from './inspect-log.ts'
import type { TargetBucket } from './target.ts'

export interface InspectedIndex {
  readonly summary: IndexSummary
  readonly findings: readonly Finding[]
}

/** What an index of the backend lance has none of, and of one that is unknown is unknown. */
const NOTHING = {
  checkpoints: [],
  log: { objects: 0, bytes: 0, records: 0, firstLsn: 0, lastLsn: 0 },
} as const

/** @param objects those of the bucket that belong to the index. */
export async function inspectIndex(
  bucket: TargetBucket,
  name: string,
  objects: readonly ObjectInfo[],
): Promise<InspectedIndex> {
  const sums = {
    objects: objects.length,
    bytes: objects.reduce((sum, { bytes }) => sum + bytes, 0),
  }
  const meta = await readMeta(bucket, name)
  if (meta === null) {
    const unknown = { backend: null, state: null, dimension: null, metric: null }
    return { summary: { name, ...unknown, ...sums, ...NOTHING }, findings: [] }
  }
  const { incarnation, backend, state, dimension, metric } = meta
  const known = { name, backend, state, dimension, metric, ...sums }
  if (backend === 'lance') {
    return { summary: { ...known, ...NOTHING }, findings: tableFaults(meta, objects) }
  }
  const store = new CheckpointStore({
    ...{ store: bucket.store, index: name, incarnation },
    nowMs: () => 0,
  })
  const found = await store.found()
  const files = new Files(bucket, name)
  const graphs: Finding[] = []
  const broken = new Map<number, Finding[]>()
  for (const checkpoint of found) {
    const faults = await manifestFaults(name, checkpoint, files)
    broken.set(checkpoint.lsn, faults.parts)
    graphs.push(...faults.graphs)
  }
  const checkpoints = found.map((one) => summaryOf(one, broken.get(one.lsn)?.length === 0))
  const checkpointLsn = checkpoints.find(({ whole }) => whole)?.lsn ?? 0
  const { folder } = bucket
  const log = await inspectLog({
    ...{ index: name, incarnation, store: bucket.store, folder, checkpointLsn },
  })
  const parts = [...broken].flatMap(([lsn, faults]) =>
    faults.map((fault) => ({ ...fault, loss: lossOf(fault, lsn, { checkpoints, log }) })),
  )
  return {
    summary: { ...known, checkpoints, log: log.summary },
    findings: [...once(parts), ...once(graphs), ...log.findings],
  }
}

/** The files of a table are Lance's own: of them it is known alone that there must be a version. */
function tableFaults({ name, state }: IndexMeta, objects: readonly ObjectInfo[]): Finding[] {
  const key = `${tableFolder(name)}_versions/`
  const isThere = objects.some((one) => one.key.startsWith(key) && one.key.endsWith('.manifest'))
  if (isThere || state !== 'active') return []
  const problem = 'no version of the table is there'
  const loss = `every point of "${name}"`
  return [{ key, index: name, kind: 'missing', problem, loss, repair: null }]
}

/** The newest document that can be read; what cannot is found among the documents. */
async function readMeta({ store }: TargetBucket, name: string): Promise<IndexMeta | null> {
  for await (const past of metaDocument(store, name).history()) {
    if (past.kind === 'document') return past.document
    if (past.kind === 'removed') return null
  }
  return null
}

interface ManifestFaults {
  readonly parts: Finding[]
  readonly graphs: Finding[]
}

async function manifestFaults(
  index: string,
  found: FoundCheckpoint,
  files: Files,
): Promise<ManifestFaults> {
  if ('fault' in found) {
    const key = `_indexes/${index}/checkpoints/${String(found.lsn).padStart(20, '0')}/manifest.json`
    const problem = found.fault.message
    const finding = { key, index, kind: 'damaged', problem, loss: null, repair: null } as const
    return { parts: [finding], graphs: [] }
  }
  const { content } = found
  const parts: Finding[] = []
  for (const part of content.parts) parts.push(...(await files.check(part, null)))
  const graphs: Finding[] = []
  for (const { graph, labels } of content.graphs) {
    const pair = [graph.key, labels.key]
    const both = [...(await files.check(graph, pair)), ...(await files.check(labels, pair))]
    graphs.push(...(isGone(both) ? both.slice(0, 1).map(toBeBuilt) : both))
  }
  return { parts, graphs }
}

/** True for a graph that is not there at all: nobody reads half of it by mistake. */
function isGone(faults: readonly Finding[]): boolean {
  return faults.length === 2 && faults.every(({ kind }) => kind === 'missing')
}

function toBeBuilt(fault: Finding): Finding {
  const problem = 'the graph is not there: the service builds it when it starts'
  return { ...fault, kind: 'leftover', problem, repair: null }
}

/** Checks files against what a manifest says of them, each once: manifests share them. */
export class Files {
  readonly #bucket: TargetBucket
  readonly #index: string | null
  readonly #checked = new Map<string, Finding[]>()

  /** @param index null where they belong to none. */
  constructor(bucket: TargetBucket, index: string | null) {
    this.#bucket = bucket
    this.#index = index
  }

  /** @param derived what goes together where the file can be made anew; null where it cannot. */
  async check(file: StoredFile, derived: readonly string[] | null): Promise<readonly Finding[]> {
    const known = this.#checked.get(file.key)
    if (known !== undefined) return known
    const found = await this.#look(file, derived)
    this.#checked.set(file.key, found)
    return found
  }

  async #look({ key, bytes, sha256 }: StoredFile, derived: readonly string[] | null) {
    const base = {
      ...{ key, index: this.#index, loss: null },
      repair: derived === null ? null : ({ kind: 'delete', keys: derived } as const),
    }
    try {
      const hash = await this.#bucket.hash(key)
      if (hash.bytes === bytes && hash.sha256 === sha256) return []
      const problem =
        hash.bytes === bytes ? 'its bytes do not match its checksum' : `it has ${hash.bytes} bytes`
      return [{ ...base, kind: 'damaged', problem } as const]
    } catch (error) {
      if (hasCode(error, 'object_not_found')) {
        return [{ ...base, kind: 'missing', problem: 'it is not there' } as const]
      }
      if (!hasCode(error, 'object_corrupt')) throw error
      return [{ ...base, kind: 'damaged', problem: problemOf(error) } as const]
    }
  }
}

function summaryOf(found: FoundCheckpoint, whole: boolean): CheckpointSummary {
  if ('fault' in found) return { lsn: found.lsn, whole: false, parts: 0, graphs: 0, rows: 0 }
  const { lsn, content } = found
  const { parts, graphs } = content
  return { lsn, whole, parts: parts.length, graphs: graphs.length, rows: rowsOf(content) }
}

function rowsOf({ parts }: CheckpointContent): number {
  const points = parts.filter(({ kind }) => kind === 'points')
  return points.reduce((sum, { rows, deadRows }) => sum + rows - deadRows, 0)
}

/** Null where an older checkpoint and the log after it, or the log alone, hold the same. */
function lossOf(
  { key }: Finding,
  lsn: number,
  known: { readonly checkpoints: readonly CheckpointSummary[]; readonly log: InspectedLog },
): string | null {
  const { summary, findings } = known.log
  const older = known.checkpoints.find((one) => one.whole && one.lsn !== lsn)?.lsn ?? 0
  const isWhole = !findings.some(({ kind }) => kind !== 'leftover')
  const reaches = summary.records > 0 && summary.firstLsn <= older + 1 && summary.lastLsn >= lsn
  if ((isWhole && reaches) || older >= lsn) return null
  return `what ${key.split('/').at(-1) ?? key} holds: restore it from a copy of the bucket`
}

/** Manifests share parts: one finding for each. */
function once(findings: readonly Finding[]): Finding[] {
  return [...new Map(findings.map((finding) => [finding.key, finding])).values()]
}
