/**
 * The batch logs of one kind, one for each index: opened when they are asked for. There are as many as
 * indexes; what they have read lies in one cache, of which those have most that were asked for lately.
 */

import { BatchCache } from '../buckets/batch-cache.ts'
import type { BatchCodec, BatchEntry } from '../buckets/batch-line.ts'
import { BatchLog, FLUSH_AT } from '../buckets/batch-log.ts'
import type { ObjectInfo, ObjectStore } from '../buckets/object-store.ts'
import { checkName } from '../domain/names.ts'
import { VectordError } from '../lib/errors.ts'

/** Bytes of objects of all logs together; the full journals of a few indexes that are looked at. */
const CACHE_BYTES_MAX = 32 * 2 ** 20

/** Entries of an index that wait while its bucket takes none. */
const WAITING_MAX = 1024

/** Objects of a log from which a round of upkeep merges them. */
const COMPACT_AT = 64

/** What the journals of this folder are given. */
export interface JournalOptions {
  /** The home bucket of an index. @throws `index_not_found`. */
  readonly storeOf: (index: string) => ObjectStore
  readonly nowMs: () => number
  /** Deletes what a compaction has merged. Default: the compaction does. */
  readonly onReplaced?: (index: string, objects: readonly ObjectInfo[]) => Promise<void>
  /** Hears of what failed without anybody who waits for it. */
  readonly onTrouble: (error: unknown, what: string) => void
}

export interface IndexLogsOptions<T> extends JournalOptions {
  /** Such as `_hnsw_trials`: the log of an index lies at `{folder}/{index}/`. */
  readonly folder: string
  readonly codecOf: (index: string) => BatchCodec<T>
  /** What a compaction keeps. */
  readonly kept: (entries: readonly BatchEntry<T>[]) => readonly BatchEntry<T>[]
}

export class IndexLogs<T> {
  readonly #options: IndexLogsOptions<T>
  readonly #cache = new BatchCache<T>(CACHE_BYTES_MAX)
  readonly #logs = new Map<string, BatchLog<T>>()
  #isClosed = false

  constructor(options: IndexLogsOptions<T>) {
    this.#options = options
  }

  /** @throws {VectordError} `invalid_name`, `shutting_down`, and what `storeOf` throws. */
  of(index: string): BatchLog<T> {
    checkName('index', index)
    const log = this.#logs.get(index) ?? this.#open(index)
    this.#logs.set(index, log)
    return log
  }

  /** Makes durable what waits, and merges logs of many objects. A log that fails does not stop others. */
  async upkeep(): Promise<void> {
    for (const [index, log] of [...this.#logs]) {
      try {
        await log.flush()
        if (log.objects >= COMPACT_AT) await log.compact()
      } catch (error) {
        this.#tell(error, index)
      }
    }
  }

  /** Deletes the log of an index that is no more. */
  async drop(index: string): Promise<void> {
    await this.of(index).drop()
    this.#logs.delete(index)
  }

  /** Takes nothing more in and flushes everything. @throws the first failure; the rest is flushed. */
  async close(): Promise<void> {
    this.#isClosed = true
    const ends = await Promise.allSettled([...this.#logs.values()].map((log) => log.close()))
    for (const end of ends) if (end.status === 'rejected') throw end.reason
  }

  #open(index: string): BatchLog<T> {
    if (this.#isClosed) throw new VectordError('shutting_down', 'The journal is closed.')
    const { folder, codecOf, kept, storeOf, nowMs, onReplaced } = this.#options
    // Where there is no such index nothing is opened: names of requests must not pile up here.
    storeOf(index)
    return new BatchLog({
      store: () => storeOf(index),
      prefix: `${folder}/${index}/`,
      codec: codecOf(index),
      nowMs,
      onTrouble: (error) => {
        this.#tell(error, index)
      },
      waitingMax: WAITING_MAX,
      whenFull: 'refuse',
      flushAt: FLUSH_AT,
      kept,
      ...(onReplaced !== undefined && {
        onReplaced: (objects: readonly ObjectInfo[]) => onReplaced(index, objects),
      }),
      cache: this.#cache,
    })
  }

  #tell(error: unknown, index: string): void {
    this.#options.onTrouble(error, `write the journal ${this.#options.folder} of index "${index}"`)
  }
}
