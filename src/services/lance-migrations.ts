/**
 * The points of an index, as of one lsn, in a new index of the other backend.
 *
 *     hnsw  ─▶ checkpoint, held ─▶ a process reads its points ─▶ appended to a table that nobody sees
 *     lance ─▶ pages of one version of the table ─▶ written into an index that nobody sees
 *                                                        ╰─all there─▶ active: it is there, whole
 *
 * Cancelled, failed or crashed, there is no new index; see `index-arrivals.ts`. The source is only
 * read, and goes on.
 */

import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { LANCE_DEFAULTS } from '../domain/lance-settings.ts'
import type { BucketSpec } from '../domain/shard-spec.ts'
import { upsertOf, type UpsertBatch } from '../domain/write-batch.ts'
import type {
  IndexBackend,
  IndexSettings,
  ManagedIndex,
  ScrollPlace,
} from '../indexes/index-api.ts'
import type { IndexRegistry } from '../indexes/index-registry.ts'
import { LanceIndex } from '../indexes/lance-index.ts'
import { PointCopy } from '../indexes/point-copy.ts'
import type { ServedIndex } from '../indexes/served-index.ts'
import { hasCode, VectordError } from '../lib/errors.ts'
import type { OperationControl } from './operation.ts'

/** Points of a page, and numbers of its vectors, that are read of a table at once. */
const PAGE_POINTS = 1000
const PAGE_NUMBERS = 512 * 1024
/** Whatever makes one batch wait so long is not going to pass. */
const BATCH_MS_MAX = 600_000
/** Between two tries to write into an index that is full for the moment. */
const RETRY_MS = 200
const EVERYTHING = { metadata: true, vector: true, text: true }

export interface LanceMigrationsOptions {
  readonly indexes: IndexRegistry
  /** @throws {VectordError} `bucket_not_found`, `bucket_unreachable`. */
  readonly spec: (bucket: string) => BucketSpec
  /** A local folder for temporary files. */
  readonly scratch: string
  readonly nowMs: () => number
}

export interface Migration {
  readonly to: IndexBackend
  /** Of the new index. */
  readonly name: string
  /** Null: that of the source. */
  readonly bucket: string | null
  readonly by: string
}

export interface Migrated {
  readonly index: ManagedIndex
  readonly points: number
  /** The state of the source that was copied. */
  readonly sourceLsn: number
}

export class LanceMigrations {
  readonly #options: LanceMigrationsOptions

  constructor(options: LanceMigrationsOptions) {
    this.#options = options
  }

  /** For a refusal before anything is done. @throws {VectordError} `wrong_backend`, `index_exists`. */
  check(source: string, { to, name }: Migration): void {
    const { indexes } = this.#options
    if (to === 'lance') indexes.get(source)
    else indexes.lanceIndex(source)
    if (!indexes.all.has(name)) return
    const details = { index: name }
    throw new VectordError('index_exists', `There is an index "${name}" already.`, { details })
  }

  /** @throws {VectordError} what reading, writing and creating throw; the reason of the signal. */
  run(source: string, wish: Migration, control: OperationControl): Promise<Migrated> {
    const { indexes } = this.#options
    return wish.to === 'lance'
      ? this.#toLance(indexes.get(source), wish, control)
      : this.#toHnsw(indexes.lanceIndex(source), wish, control)
  }

  async #toLance(
    source: ServedIndex,
    wish: Migration,
    control: OperationControl,
  ): Promise<Migrated> {
    const { signal, progress } = control
    progress('checkpoint')
    const { content, release } = await source.checkpoints.hold('if_worth')
    const { dimension, bucket } = source.meta
    const scratch = join(this.#options.scratch, 'copies', randomUUID())
    const copy = new PointCopy({ bucket: this.#options.spec(bucket), content, dimension, scratch })
    let points = 0
    try {
      const total = await copy.count()
      const index = await this.#bring(source.meta, wish, async (target) => {
        for await (const batch of copy.batches(signal)) {
          await this.#fill(target, batch)
          points += batch.ids.length
          progress('copying', { done: points, total })
        }
        signal.throwIfAborted()
      })
      return { index, points, sourceLsn: content?.lsn ?? 0 }
    } finally {
      await copy.end()
      release()
    }
  }

  async #toHnsw(source: LanceIndex, wish: Migration, control: OperationControl): Promise<Migrated> {
    const { count: total, version } = await source.table.count(null)
    let points = 0
    const index = await this.#bring(source.meta, wish, async (target) => {
      for await (const batch of this.#pages(source, version, control.signal)) {
        await this.#fill(target, batch)
        points += batch.ids.length
        control.progress('copying', { done: points, total })
      }
    })
    return { index, points, sourceLsn: version }
  }

  async *#pages(
    source: LanceIndex,
    version: number,
    signal: AbortSignal,
  ): AsyncGenerator<UpsertBatch, undefined> {
    const { dimension } = source.meta
    const limit = Math.max(1, Math.min(PAGE_POINTS, Math.floor(PAGE_NUMBERS / dimension)))
    let after: ScrollPlace | null = null
    do {
      signal.throwIfAborted()
      const page = { after, limit, filter: null, include: EVERYTHING }
      const read = { minLsn: 0, deadlineMs: this.#options.nowMs() + BATCH_MS_MAX }
      const reply = await source.scrollAsOf(page, read, version)
      if (reply.points.length > 0) yield upsertOf(dimension, reply.points)
      after = reply.next
    } while (after !== null)
  }

  #bring(
    source: IndexSettings,
    { to, name, bucket, by }: Migration,
    write: (target: ServedIndex | LanceIndex) => Promise<void>,
  ): Promise<ManagedIndex> {
    const { dimension, metric, hnsw, embedder } = source
    const settings: IndexSettings = {
      ...{ name, dimension, metric, hnsw, backend: to, bucket: bucket ?? source.bucket },
      ...{ shards: to === 'hnsw' ? source.shards : 1, keepLastVersions: 1 },
      ...(to === 'lance' && { lance: LANCE_DEFAULTS }),
      ...(embedder !== undefined && { embedder }),
    }
    const reason = `migrate from "${source.name}"`
    return this.#options.indexes.restore({ settings, by, reason, write })
  }

  /** An index that takes no more for the moment does when its cores have caught up. */
  async #fill(target: ServedIndex | LanceIndex, batch: UpsertBatch): Promise<void> {
    const deadlineMs = this.#options.nowMs() + BATCH_MS_MAX
    const options = { ack: 'applied' as const, deadlineMs }
    if (target instanceof LanceIndex) return target.fill(batch, options)
    for (;;) {
      try {
        await target.write(batch, options)
        return
      } catch (error) {
        const mayPass = hasCode(error, 'delta_full', 'core_suspended', 'index_loading')
        if (!mayPass || this.#options.nowMs() > deadlineMs) throw error
        await sleep(RETRY_MS)
      }
    }
  }
}
