/**
 * The drop worker with its handlers, wired to the indexes, and what operators are told of it.
 */

import type { ObjectStore } from './buckets/object-store.ts'
import type { Config } from './config/schema.ts'
import type { GaugeSample, Metrics } from './http/metrics.ts'
import {
  CheckpointDrops,
  GraphDrops,
  IndexSweeps,
  LogDrops,
  PointVersionDrops,
  requestDrops,
} from './indexes/index-drops.ts'
import type { IndexRegistry } from './indexes/index-registry.ts'
import type { IndexDropping } from './indexes/index-checkpoints.ts'
import type { ServedIndex } from './indexes/served-index.ts'
import type { DropHandler } from './versions/drop-work.ts'
import { DropWorker } from './versions/drop-worker.ts'
import {
  COPY_VERSION,
  MovedCopies,
  ReplacedObjects,
  type LeftCopy,
  type ReplacedObject,
} from './versions/object-drops.ts'
import { CACHE_VERSION, Pins } from './versions/pins.ts'

export interface DropPartsOptions {
  readonly config: Config
  readonly indexes: () => IndexRegistry
  readonly graphs: () => DropHandler
  readonly nowMs: () => number
  readonly onTrouble: (error: unknown, what: string) => void
}

export class DropParts {
  readonly pins = new Pins()
  readonly worker: DropWorker
  readonly #replaced = new ReplacedObjects()
  readonly #moved = new MovedCopies()
  readonly #sweeps: IndexSweeps
  readonly #indexes: () => IndexRegistry
  readonly #checkpointsKept: number

  constructor({ config, indexes, graphs, nowMs, onTrouble }: DropPartsOptions) {
    this.#indexes = indexes
    this.#checkpointsKept = config.checkpoint.keep
    const find = (index: string): ServedIndex | null =>
      indexes().has(index) ? indexes().get(index) : null
    this.worker = new DropWorker({
      handlers: {
        checkpoints: new CheckpointDrops(find),
        log_segments: new LogDrops(find),
        point_versions: new PointVersionDrops(find),
        generations: new GraphDrops(find, { drop: (work) => graphs().drop(work) }),
        journal_batches: this.#replaced,
        moved_copies: this.#moved,
      },
      pins: this.pins,
      ...config.drops,
      ...{ nowMs, onTrouble },
    })
    this.#sweeps = new IndexSweeps(async (info) => {
      await this.graphStored(info.name)
      await requestDrops(this.worker, info, this.#checkpointsKept)
    })
  }

  /** For each index: what its readers pin, and what follows a checkpoint. */
  ofIndex(index: () => ServedIndex): IndexDropping {
    const onCheckpoint = (isAlone: boolean): Promise<void> =>
      requestDrops(this.worker, index().info, isAlone ? 1 : this.#checkpointsKept)
    return { pins: this.pins, onCheckpoint }
  }

  /** Batches of a journal that a compaction has merged. */
  replaced(index: string, store: ObjectStore, objects: readonly ReplacedObject[]): Promise<void> {
    const commitVersion = this.#replaced.add(index, store, objects)
    return this.worker.send({ kind: 'journal_batches', key: index, commitVersion })
  }

  /** How many versions of points an index keeps was set, perhaps lower than before. */
  retained(index: string, keepLastVersions: number): Promise<void> {
    return this.worker.send({
      ...{ kind: 'point_versions', key: index },
      ...{ keepLastVersions, commitVersion: 0 },
    })
  }

  /** Resolves when the copy of an index that lives elsewhere is gone. @throws where that fails. */
  async moved(index: string, copy: LeftCopy): Promise<void> {
    const gone = this.#moved.add(index, copy)
    // It may fail before the request is taken in.
    gone.catch(() => undefined)
    await this.worker.send({ kind: 'moved_copies', key: index, commitVersion: COPY_VERSION })
    await gone
  }

  graphStored(index: string): Promise<void> {
    return this.worker.send({ kind: 'generations', key: index, commitVersion: CACHE_VERSION })
  }

  /** The index and everything of it is gone. */
  forget(index: string): void {
    this.#replaced.forget(index)
    this.worker.forget(index)
  }

  /** Starts nothing more. */
  async close(): Promise<void> {
    this.#moved.close()
    await this.worker.close()
  }

  /** Requests the sweep of indexes that have come into service. */
  async sweep(): Promise<void> {
    const indexes = this.#indexes()
    await this.#sweeps.look(indexes.list().map(({ info }) => indexes.get(info.name)))
  }
}

export function dropGauges(metrics: Metrics, worker: DropWorker): void {
  const byKind = (name: string, help: string, read: () => Readonly<Record<string, number>>) => {
    const samples = (): readonly GaugeSample[] =>
      Object.entries(read()).map(([kind, value]) => ({ labels: { kind }, value }))
    metrics.gauge({ name, help, labels: ['kind'], read: samples })
  }
  const dropped = (of: 'objects' | 'bytes') => (): Readonly<Record<string, number>> =>
    Object.fromEntries(
      Object.entries(worker.status.dropped).map(([kind, total]) => [kind, total[of]]),
    )
  byKind('drops_pending', 'Things with old versions to drop.', () => worker.status.pending)
  byKind('dropped_objects_total', 'Objects that were dropped.', dropped('objects'))
  byKind('dropped_bytes_total', 'Bytes of objects that were dropped.', dropped('bytes'))
  const one = (name: string, help: string, value: () => number): void => {
    metrics.gauge({ name, help, read: () => [{ labels: {}, value: value() }] })
  }
  one('drops_waiting', 'Drops in the queue.', () => worker.status.waiting)
  one('drops_failing', 'Things whose last drop failed.', () => worker.status.failing.length)
  one('drop_pins', 'Versions that readers have open.', () => worker.status.pins.length)
}
