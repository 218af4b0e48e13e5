/**
 * The journal of storage failures: what failed, when, in which bucket.
 *
 *     record ─▶ waiting, in memory ─▶ flush: one new object ─▶ compact: one object for many
 *
 * How it lies in the bucket is `batch-log.ts`. While that bucket is down, entries wait, a bounded
 * number of them, and the newest stay readable from memory.
 */

import { VectordError } from '../lib/errors.ts'
import type { BatchCodec, BatchProblem } from './batch-line.ts'
import { BatchLog } from './batch-log.ts'
import type { ObjectStore } from './object-store.ts'
import type { JsonObject } from './revision-codec.ts'

const PREFIX = '_storage_errors/'

/** Entries that wait for a flush; past this the oldest are dropped and counted. */
const WAITING_MAX = 10_000

/** Entries of this process that stay readable while the bucket is down. */
const RECENT_MAX = 1_000

/** Entries that a compaction keeps, the newest. */
const KEPT_MAX = 20_000

export interface StorageFailure {
  /** Milliseconds since the Unix epoch. */
  readonly atMs: number
  readonly bucket: string
  readonly operation: string
  readonly key: string | null
  readonly code: string
  readonly message: string
}

export class StorageErrors {
  readonly #log: BatchLog<StorageFailure>
  readonly #nowMs: () => number
  readonly #recent: StorageFailure[] = []
  /** By bucket and code. */
  readonly #counts = new Map<string, number>()
  #total = 0

  /** `store` is where the journal lies; its own failures are not recorded, that would not end. */
  constructor(store: ObjectStore, nowMs: () => number = Date.now) {
    this.#nowMs = nowMs
    this.#log = new BatchLog({
      store: () => store,
      prefix: PREFIX,
      codec: CODEC,
      nowMs,
      // It never flushes by itself, so there is nothing to hear of.
      onTrouble: () => undefined,
      waitingMax: WAITING_MAX,
      whenFull: 'drop_oldest',
      kept: (entries) =>
        newestFirst(entries, ({ record }) => record)
          .slice(0, KEPT_MAX)
          .reverse(),
      takesUnsealed: true,
    })
  }

  /** Entries since the start, and those lost because the bucket was down for too long. */
  get counts(): { readonly total: number; readonly dropped: number; readonly waiting: number } {
    return { total: this.#total, ...this.#log.counts }
  }

  /** Failures of a bucket since the start that had this code. */
  countOf(bucket: string, code: string): number {
    return this.#counts.get(countKey(bucket, code)) ?? 0
  }

  record(failure: Omit<StorageFailure, 'atMs'>): void {
    const entry = { atMs: this.#nowMs(), ...failure }
    this.#total += 1
    const kind = countKey(failure.bucket, failure.code)
    this.#counts.set(kind, (this.#counts.get(kind) ?? 0) + 1)
    this.#recent.push(entry)
    if (this.#recent.length > RECENT_MAX) this.#recent.shift()
    this.#log.append(entry)
  }

  /** The newest first. While the bucket of the journal is down: those of this process. */
  async list(limit: number): Promise<readonly StorageFailure[]> {
    return newestFirst(await this.#read(limit), (failure) => failure).slice(0, limit)
  }

  /** Writes what waits as one object. @returns how many entries; on failure they go on waiting. */
  flush(): Promise<number> {
    return this.#log.flush()
  }

  /** Merges the objects of the journal that can be read whole. @returns how many there were. */
  compact(): Promise<number> {
    return this.#log.compact()
  }

  async #read(limit: number): Promise<readonly StorageFailure[]> {
    try {
      const { entries, problems } = await this.#log.read(limit)
      const torn = new Map(problems.map((problem) => [problem.key, tornEntry(problem)]))
      return [...entries.map(({ record }) => record), ...torn.values()]
    } catch (error) {
      if (!(error instanceof VectordError)) throw error
      return this.#recent
    }
  }
}

function countKey(bucket: string, code: string): string {
  return `${bucket} ${code}`
}

function newestFirst<T>(items: readonly T[], failureOf: (item: T) => StorageFailure): T[] {
  return items.toSorted((a, b) => failureOf(b).atMs - failureOf(a).atMs)
}

const CODEC: BatchCodec<StorageFailure> = {
  toJson: ({ atMs, ...rest }) => ({ at: new Date(atMs).toISOString(), ...rest }),
  fromJson: (json) => {
    const atMs = Date.parse(textOf(json, 'at'))
    if (!Number.isFinite(atMs)) throw new VectordError('object_corrupt', 'The line has no time.')
    const key = json['key'] === null ? null : textOf(json, 'key')
    const [bucket, operation] = [textOf(json, 'bucket'), textOf(json, 'operation')]
    const [code, message] = [textOf(json, 'code'), textOf(json, 'message')]
    return { atMs, bucket, operation, key, code, message }
  },
}

function textOf(json: JsonObject, name: string): string {
  const found = json[name]
  return typeof found === 'string' ? found : ''
}

/** What cannot be read becomes an entry that says so, once for the object. */
function tornEntry({ key, code }: BatchProblem): StorageFailure {
  const message = 'A part of the journal of storage failures cannot be read.'
  return { atMs: 0, bucket: 'primary', operation: 'read', key, code, message }
}
