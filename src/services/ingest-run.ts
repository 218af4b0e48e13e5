/**
 * One ingest from its slot to what it published.
 *
 *     slot ─▶ file at hand ─▶ process: parts ─▶ staged in the bucket      ─▶ dataset, one revision, last
 *                                    ╰ points ─▶ written to the index
 *
 * What fails before the last step leaves the dataset as it was; parts that are in the bucket by then
 * are deleted, after a crash by a sweep. Points that were written stay: the same rows bring the same points again.
 */

import { mkdir, rm } from 'node:fs/promises'
import { basename, join } from 'node:path'
import type { ObjectStore } from '../buckets/object-store.ts'
import type { Revision } from '../buckets/revisioned-document.ts'
import type { DatasetStore } from '../datasets/dataset-store.ts'
import {
  columnsInUse,
  type Dataset,
  type DatasetPart,
  type Lineage,
  type Watermark,
} from '../datasets/dataset.ts'
import type { Cell } from '../domain/table.ts'
import type { Indexes, ManagedIndex } from '../indexes/index-api.ts'
import { IndexFiller } from '../ingest/index-filler.ts'
import type { IngestSource, IngestSummary, PointsJob, WrittenPart } from '../ingest/ingest-job.ts'
import { runIngestProcess, type IngestBounds } from '../ingest/ingest-process.ts'
import type { DatasetTarget, IngestRequest, RequestSource } from '../ingest/ingest-request.ts'
import { tooLarge } from '../ingest/spool.ts'
import { redactDsn } from '../ingest/sql/dsn.ts'
import type { IndexTarget } from '../ingest/watch.ts'
import { identityOf } from '../ingest/watched-files.ts'
import { abortable } from '../lib/abortable.ts'
import { VectordError } from '../lib/errors.ts'
import type { OperationControl } from './operation.ts'

/**
 * Points of one write: few enough that encoding them does not hold the front, and enough that each
 * is worth its sync.
 */
const POINTS_MAX = 1000

export interface IngestWorld {
  readonly indexes: Indexes
  /** @throws {VectordError} `bucket_not_found`, `bucket_unreachable`. */
  readonly bucket: (name: string) => ObjectStore
  readonly datasets: (bucket: string) => DatasetStore
  readonly bounds: IngestBounds
  readonly limits: {
    readonly rowsMax: number
    readonly idBytesMax: number
    readonly metadataBytesMax: number
    readonly fileBytesMax: number
  }
  readonly nowMs: () => number
}

export interface IngestOutcome {
  readonly summary: IngestSummary
  /** The dataset as it is now; null where there is none. */
  readonly dataset: Revision<Dataset> | null
  readonly parts: readonly DatasetPart[]
  readonly lineage: Lineage
  /** The dataset had the file already: nothing was done. */
  readonly isRepeated: boolean
}

export class IngestRun {
  readonly #world: IngestWorld
  readonly #request: IngestRequest
  readonly #control: OperationControl
  readonly #folder: string
  readonly #startedMs: number
  readonly #parts: DatasetPart[] = []
  #rows = 0

  /** @param folder an empty one; whoever made it removes it. */
  constructor(
    world: IngestWorld,
    request: IngestRequest,
    { control, folder }: { readonly control: OperationControl; readonly folder: string },
  ) {
    this.#world = world
    this.#request = request
    this.#control = control
    this.#folder = folder
    this.#startedMs = world.nowMs()
  }

  get rows(): number {
    return this.#rows
  }

  /** @throws {VectordError} what any of the steps fails with; the reason of the signal. */
  async run(): Promise<IngestOutcome> {
    const { dataset: target, index, bucket } = this.#request
    const before = target === null ? null : await this.#world.datasets(bucket).read(target.name)
    const repeated = before === null ? null : this.#repeated(before)
    if (repeated !== null) return repeated
    const filled = index === null ? null : this.#world.indexes.get(index.name)
    const summary = await this.#unlessFailed(async () => {
      const read = await this.#read(await this.#source(before), { filled, before })
      await this.#checkUnchanged()
      this.#control.signal.throwIfAborted()
      return read
    })
    this.#progress(summary.rows, summary.rows)
    const lineage = this.#lineage(summary)
    if (target === null) return this.#outcome(summary, { dataset: null, lineage })
    const dataset = await this.#publish(target, { before, summary, lineage })
    return this.#outcome(summary, { dataset, lineage })
  }

  /** What failed before it was published leaves no part behind. */
  async #unlessFailed<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (error) {
      if (this.#parts.length > 0) {
        await this.#world.datasets(this.#request.bucket).unstage(this.#parts)
      }
      throw error
    }
  }

  async #read(
    source: IngestSource,
    {
      filled,
      before,
    }: { readonly filled: ManagedIndex | null; readonly before: Revision<Dataset> | null },
  ): Promise<IngestSummary> {
    const { index, dataset } = this.#request
    const { indexes, nowMs, bounds } = this.#world
    const { signal } = this.#control
    const filler = new IndexFiller({ index: () => indexes.get(index?.name ?? ''), signal, nowMs })
    this.#progress(0, null)
    return runIngestProcess({
      job: {
        source,
        partsFolder: dataset === null ? null : this.#folder,
        appendTo: dataset?.mode === 'append' ? columnsInUse(before?.document ?? null) : null,
        points: index === null || filled === null ? null : this.#pointsJob(index, filled),
      },
      ...{ bounds, signal },
      handlers: {
        onPoints: (batch) => filler.write(batch),
        onPart: (part) => this.#stage(part),
        onProgress: (rows, total) => {
          this.#progress(rows, total)
        },
      },
    })
  }

  /** Where the rows come from, as the process can open it. */
  async #source(before: Revision<Dataset> | null): Promise<IngestSource> {
    const { source, batchRows } = this.#request
    if (source.kind === 'sql') {
      const after = this.#after(before)
      return { kind: 'sql', dsn: source.dsn, query: { ...source.query, after, batchRows } }
    }
    const { format } = source
    if (source.kind === 'upload') return { kind: 'file', path: source.path, format, batchRows }
    return { kind: 'file', path: await this.#fetch(source), format, batchRows }
  }

  async #fetch(source: Extract<RequestSource, { kind: 'object' }>): Promise<string> {
    this.#control.progress('fetching')
    const { signal } = this.#control
    const store = this.#world.bucket(source.bucket)
    const { bytes } = await store.head(source.key)
    const { fileBytesMax } = this.#world.limits
    if (bytes > fileBytesMax) throw tooLarge(fileBytesMax)
    await this.#checkUnchanged()
    // Under its own name, which is what a fault names.
    const folder = join(this.#folder, 'source')
    await mkdir(folder)
    const path = join(folder, basename(source.key))
    await abortable(store.getFile(source.key, path), signal)
    return path
  }

  /**
   * Whether the file is still the one that the request names: under its name the rows of another one
   * would be taken, and again under their own. A list tells the time as the look did that found it.
   */
  async #checkUnchanged(): Promise<void> {
    const { source } = this.#request
    if (source.kind !== 'object' || source.identity === null) return
    const { bucket, key, identity } = source
    for await (const file of this.#world.bucket(bucket).list(key)) {
      // One that is gone by now nobody takes again.
      if (file.key !== key || identityOf(file) === identity) return
      throw new VectordError('revision_mismatch', `The file "${key}" was changed meanwhile.`, {
        details: { bucket, key },
      })
    }
  }

  /** Behind which value of the key it goes on. */
  #after(before: Revision<Dataset> | null): Cell {
    const { source, dataset } = this.#request
    if (dataset?.resume !== true || source.kind !== 'sql') return null
    const watermark = before?.document.watermark ?? null
    if (watermark === null) return null
    if (watermark.column === source.query.key) return watermark.value
    const message = `The watermark of the dataset is of the column "${watermark.column}".`
    throw new VectordError('bad_request', message, {
      details: { field: 'key', watermark_column: watermark.column },
    })
  }

  #pointsJob({ mapping, onBadRow }: IndexTarget, { info, takesTexts }: ManagedIndex): PointsJob {
    const { rowsMax, idBytesMax, metadataBytesMax } = this.#world.limits
    if (mapping.vectorColumn === null && !takesTexts) {
      const message = `Index "${info.name}" makes no vectors of texts: name a "vector_column".`
      throw new VectordError('not_configured', message, { details: { index: info.name } })
    }
    const { dimension, metric } = info
    return {
      ...{ mapping, onBadRow },
      rules: {
        ...{ dimension, metric, takesTexts, idBytesMax, metadataBytesMax },
        rowsMax: Math.min(rowsMax, POINTS_MAX),
      },
    }
  }

  async #stage({ path, ...written }: WrittenPart): Promise<void> {
    const { dataset, bucket } = this.#request
    const part = await this.#world.datasets(bucket).stagePart(dataset?.name ?? '', path, written)
    await rm(path, { force: true })
    const source = this.#identity
    this.#parts.push(source === null ? part : { ...part, source })
  }

  /** Of a file that the dataset takes once. */
  get #identity(): string | null {
    const { source } = this.#request
    return source.kind === 'object' ? source.identity : null
  }

  /** The one step that is seen; nothing where an append brought no row. */
  async #publish(
    target: DatasetTarget,
    done: {
      readonly before: Revision<Dataset> | null
      readonly summary: IngestSummary
      readonly lineage: Lineage
    },
  ): Promise<Revision<Dataset>> {
    const { before, summary, lineage } = done
    const { columns, pii, rows } = summary
    if (rows === 0 && target.mode === 'append' && before !== null) return before
    this.#control.progress('publishing')
    return this.#world.datasets(this.#request.bucket).publish(
      target.name,
      {
        mode: target.mode,
        columns: columns.map((column, at) => ({ ...column, pii: pii[at] ?? [] })),
        parts: this.#parts,
        watermark: this.#watermark(summary),
        lineage,
      },
      { expected: this.#isBound(target) ? (before?.revision ?? null) : 'any', by: 'ingest' },
    )
  }

  /** True where what was read depends on the revision that was there before. */
  #isBound({ resume }: DatasetTarget): boolean {
    return resume || this.#identity !== null
  }

  /** Null leaves an append the one that is there. */
  #watermark({ lastKey }: IngestSummary): Watermark | null {
    const { source } = this.#request
    const column = source.kind === 'sql' ? source.query.key : null
    return column === null || lastKey === null ? null : { column, value: lastKey }
  }

  /** What the dataset says of the file, where it has it already. */
  #repeated(before: Revision<Dataset>): IngestOutcome | null {
    const identity = this.#identity
    if (identity === null) return null
    const { columns, parts, lineage: past } = before.document
    const own = parts.filter(({ source }) => source === identity)
    const told = past.find((entry) => entry.queryOrTable === identity)
    if (told === undefined && own.length === 0) return null
    // Lineage forgets; parts name their file as long as they are there.
    const lineage = told ?? this.#lineage({ rows: own.reduce((sum, { rows }) => sum + rows, 0) })
    const pii = columns.map((column) => column.pii)
    const none = { count: 0, rows: [] }
    const summary = { columns, pii, rows: lineage.rows, lastKey: null, points: 0, refusals: none }
    return { summary, dataset: before, parts: [], lineage, isRepeated: true }
  }

  #lineage({ rows }: Pick<IngestSummary, 'rows'>): Lineage {
    const { source, dataset } = this.#request
    return {
      ...originOf(source),
      ...{ rows, mode: dataset?.mode ?? 'append' },
      ...{ startedMs: this.#startedMs, finishedMs: this.#world.nowMs() },
    }
  }

  #outcome(
    summary: IngestSummary,
    { dataset, lineage }: Pick<IngestOutcome, 'dataset' | 'lineage'>,
  ): IngestOutcome {
    return { summary, dataset, lineage, parts: this.#parts, isRepeated: false }
  }

  #progress(rows: number, total: number | null): void {
    this.#rows = rows
    this.#control.progress('reading', { done: rows, total })
  }
}

function originOf(source: RequestSource): Pick<Lineage, 'sourceSystem' | 'dsn' | 'queryOrTable'> {
  if (source.kind === 'sql') {
    const { select } = source.query
    const table = 'query' in select ? select.query : [select.schema, select.table]
    return {
      sourceSystem: source.system,
      dsn: redactDsn(source.dsn),
      queryOrTable: typeof table === 'string' ? table : table.filter(Boolean).join('.'),
    }
  }
  if (source.kind === 'upload') {
    return { sourceSystem: 'file', dsn: 'upload', queryOrTable: source.format }
  }
  const { bucket, identity, key } = source
  return { sourceSystem: 'file', dsn: `bucket:${bucket}`, queryOrTable: identity ?? key }
}
