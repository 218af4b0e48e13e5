/**
 * One watched prefix at work: looks at its bucket now and then, and ingests one file after the other.
 *
 *     list ─▶ plan ─▶ file ─▶ ingest ─▶ note ─▶ next file …   one round, never two at a time
 *
 * A crash between an ingest and its note ingests the file once more: for an index the same points
 * under the same ids, for a dataset nothing, since its parts name the file.
 */

import { compareKeys } from '../buckets/object-key.ts'
import type { ObjectInfo, ObjectStore } from '../buckets/object-store.ts'
import type { Watch } from '../ingest/watch.ts'
import type { FileNotes, WatchStore } from '../ingest/watch-store.ts'
import {
  doneNote,
  failedNote,
  planScan,
  retryAll,
  type FileNote,
  type Plan,
} from '../ingest/watched-files.ts'
import { formatOfKey } from '../ingest/file-format.ts'
import { hasCode, VectordError } from '../lib/errors.ts'

/** Notes are written when a round ends, and this often within a long one. */
const NOTE_MS = 5000

/** What a watch asks of an ingest. @throws what it failed with; the reason of the signal. */
export type IngestFile = (
  watch: Watch,
  file: ObjectInfo,
  signal: AbortSignal,
) => Promise<{ readonly rows: number }>

export interface WatchRunnerOptions {
  readonly store: WatchStore
  readonly bucket: (name: string) => ObjectStore
  readonly ingest: IngestFile
  readonly filesMax: number
  readonly nowMs: () => number
  readonly onTrouble: (error: unknown, what: string) => void
}

/** What the last look has found. */
export interface WatchScan {
  /** When it ended; null before the first. */
  readonly endedMs: number | null
  /** Why it failed; null where it did not. */
  readonly error: VectordError | null
  /** Seen once, or still growing. */
  readonly growing: number
  /** Whose ending says no format. */
  readonly ignored: number
  /** There are more files than are looked at. */
  readonly isCut: boolean
}

export class WatchRunner {
  readonly #options: WatchRunnerOptions
  readonly #abort = new AbortController()
  #watch: Watch
  #seen: ReadonlyMap<string, ObjectInfo> = new Map()
  /** The last key that was looked at where there are more; null where all were. */
  #cutAt: string | null = null
  #notes: FileNotes | null = null
  #scan: WatchScan = { endedMs: null, error: null, growing: 0, ignored: 0, isCut: false }
  #current: string | null = null
  #nextMs = 0
  #round: Promise<void> | null = null

  constructor(watch: Watch, options: WatchRunnerOptions) {
    this.#watch = watch
    this.#options = options
  }

  get watch(): Watch {
    return this.#watch
  }

  get scan(): WatchScan {
    return this.#scan
  }

  /** The key that is being ingested; null where none is. */
  get current(): string | null {
    return this.#current
  }

  /** What changed holds from the next look on, which is soon. */
  change(watch: Watch): void {
    this.#watch = watch
    this.#nextMs = 0
  }

  async notes(): Promise<FileNotes> {
    this.#notes ??= await this.#options.store.files(this.#watch.name)
    return this.#notes
  }

  /** Tries every failed file again, soon. @returns how many there are. */
  async retry(): Promise<number> {
    let files = 0
    this.#notes = await this.#options.store.note(this.#watch.name, (notes) => {
      const retried = retryAll(notes)
      files = retried.files
      return retried.notes
    })
    this.#nextMs = 0
    return files
  }

  /** Looks, where it is time to and no look is under way. */
  tick(): void {
    if (this.#round !== null || this.#abort.signal.aborted) return
    if (this.#options.nowMs() < this.#nextMs) return
    this.#round = this.look().finally(() => {
      this.#round = null
    })
  }

  /** Stops what is under way and waits for its end. */
  async close(reason: VectordError): Promise<void> {
    this.#abort.abort(reason)
    await this.#round
  }

  /** One round; never rejects. */
  async look(): Promise<void> {
    const { nowMs, onTrouble } = this.#options
    const { name } = this.#watch
    try {
      const { files, ignored, isCut } = await this.#list()
      const plan = await this.#plan(files)
      this.#seen = new Map(files.map((file) => [file.key, file]))
      this.#cutAt = isCut ? (files.at(-1)?.key ?? null) : null
      const growing = plan.growing.length
      this.#scan = { endedMs: nowMs(), error: null, growing, ignored, isCut }
      await this.#ingest(plan)
    } catch (error) {
      if (this.#abort.signal.aborted) return
      const told = error instanceof VectordError ? error : internal()
      this.#scan = { ...this.#scan, endedMs: nowMs(), error: told }
      onTrouble(error, `look at the watched prefix "${name}"`)
    } finally {
      this.#nextMs = nowMs() + 1000 * this.#watch.intervalSecs
    }
  }

  async #plan(files: readonly ObjectInfo[]): Promise<Plan> {
    const { nowMs, store } = this.#options
    const plan = planScan(files, this.#seen, await this.notes(), nowMs())
    if (plan.ready.length === 0) return plan
    // Another server that looks here too may have taken them by now.
    this.#notes = await store.files(this.#watch.name)
    return planScan(files, this.#seen, this.#notes, nowMs())
  }

  async #list(): Promise<{
    readonly files: readonly ObjectInfo[]
    readonly ignored: number
    readonly isCut: boolean
  }> {
    const { bucket, prefix, format } = this.#watch
    const files: ObjectInfo[] = []
    let ignored = 0
    for await (const file of this.#options.bucket(bucket).list(prefix)) {
      // What the service keeps in a bucket is not for it to eat.
      if (file.key.startsWith('_')) continue
      if (format === null && formatOfKey(file.key) === null) ignored += 1
      else if (files.length === this.#options.filesMax) return { files, ignored, isCut: true }
      else if (file.bytes > 0) files.push(file)
    }
    return { files, ignored, isCut: false }
  }

  async #ingest(plan: Plan): Promise<void> {
    const fresh = new Map<string, FileNote>()
    let savedMs = this.#options.nowMs()
    const save = async (): Promise<void> => {
      this.#notes = await this.#options.store.note(this.#watch.name, (notes) =>
        this.#merged(notes, fresh),
      )
      fresh.clear()
      savedMs = this.#options.nowMs()
    }
    try {
      for (const file of plan.ready) {
        if (this.#abort.signal.aborted) break
        const note = await this.#ingestOne(file, plan.notes.get(file.key))
        if (note === null) continue
        fresh.set(file.key, note)
        if (this.#options.nowMs() - savedMs >= NOTE_MS) await save()
      }
    } finally {
      this.#current = null
      const known = [...(this.#notes?.keys() ?? [])]
      if (fresh.size > 0 || !known.every((key) => this.#mayBeThere(key))) await save()
    }
  }

  /** The notes of files that are there, with those that are new. */
  #merged(notes: FileNotes, fresh: FileNotes): FileNotes {
    const kept = [...notes].filter(([key]) => this.#mayBeThere(key))
    return new Map([...kept, ...fresh])
  }

  /** Behind the last key that was looked at nothing is known to be gone. */
  #mayBeThere(key: string): boolean {
    return this.#seen.has(key) || (this.#cutAt !== null && compareKeys(key, this.#cutAt) > 0)
  }

  /** What became of it; null where that says nothing of the file, which is tried again next time. */
  async #ingestOne(file: ObjectInfo, last: FileNote | undefined): Promise<FileNote | null> {
    const { nowMs, ingest } = this.#options
    this.#current = file.key
    try {
      const { rows } = await ingest(this.#watch, file, this.#abort.signal)
      return doneNote(file, rows, nowMs())
    } catch (error) {
      if (this.#abort.signal.aborted) return null
      const told = error instanceof VectordError ? error : internal()
      this.#options.onTrouble(error, `ingest "${file.key}" of the watch "${this.#watch.name}"`)
      if (isOfService(told)) {
        this.#scan = { ...this.#scan, error: told }
        return null
      }
      const { code, message } = told
      return failedNote(file, { code, message }, { last, nowMs: nowMs() })
    }
  }
}

/** True where the file is not to blame: the index, the bucket or the service had no time for it. */
function isOfService(error: VectordError): boolean {
  return error.retryable && !hasCode(error, 'ingest_failed', 'operation_cancelled')
}

function internal(): VectordError {
  return new VectordError('internal', 'It failed for a reason that the log tells.')
}
