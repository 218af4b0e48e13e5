/**
 * Indexes as files: the points of one lsn, streamed to whoever asks by a process of its own.
 *
 *     checkpoint of everything written so far, held ─▶ export process ─▶ the front ─▶ client
 *     the newest version of a Lance table ────────────────╯
 *
 * The front passes bytes on and holds a few of them; a slow client slows the process down, one that
 * goes away ends it, and one that takes nothing for long is let go. What fails on the way ends the
 * stream with an error, never as if it were whole.
 */

import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import type { BucketSpec } from '../domain/shard-spec.ts'
import type { LanceIndex } from '../indexes/lance-index.ts'
import type { ServedIndex } from '../indexes/served-index.ts'
import { VectordError } from '../lib/errors.ts'
import { invariant } from '../lib/invariant.ts'
import { ExportBody } from './export-body.ts'
import type { ExportForm, ExportRows, ExportTable } from './export-job.ts'
import { ExportProcess } from './export-process.ts'
import type { CountJob } from './snapshots.ts'

/** Export processes at a time: each takes a core and up to a few hundred MiB. */
const EXPORTS_MAX = 2
/** Seconds after which a refused client may ask again. */
const RETRY_AFTER_S = 10
/** A client that takes nothing for so long is gone, or holds a place that others want. */
const STALL_MS = 300_000

export interface ExportsOptions {
  /** @throws {VectordError} `index_not_found`. */
  readonly served: (index: string) => ServedIndex
  /** Null where there is no such Lance index. */
  readonly lance: (index: string) => LanceIndex | null
  /** @throws {VectordError} `bucket_not_found`, `bucket_unreachable`. */
  readonly spec: (bucket: string) => BucketSpec
  /** A local folder for temporary files. */
  readonly scratch: string
  /** Told what ended a file in the middle. */
  readonly onTrouble: (error: unknown, what: string) => void
  /** Default: five minutes. */
  readonly stallMs?: number
}

export type ExportWish = Omit<ExportForm, 'dimension'>

interface ExportedSource {
  readonly job: ExportRows | ExportTable
  readonly lsn: number
  readonly release: () => void
}

export interface OpenExport {
  /** Every write up to it is in the file, and none after it. */
  readonly lsn: number
  /** The file; whoever does not want the rest of it destroys it. */
  readonly body: Readable
}

export class Exports {
  readonly #options: ExportsOptions
  readonly #processes = new Set<ExportProcess>()
  readonly #bodies = new Set<Readable>()
  #open = 0
  #isClosed = false

  constructor(options: ExportsOptions) {
    this.#options = options
  }

  /**
   * Resolves when the first bytes are there, so that what is wrong from the start is an error here.
   *
   * @throws {VectordError} `too_many_exports`, `shutting_down`, `index_not_found`, what keeps the
   *   index from being checkpointed, `object_corrupt`, `builder_failed`.
   */
  async open(index: string, wish: ExportWish): Promise<OpenExport> {
    if (this.#isClosed) throw shuttingDown()
    if (this.#open >= EXPORTS_MAX) throw tooMany()
    this.#open += 1
    const ends: (() => unknown)[] = [() => (this.#open -= 1)]
    const end = (): void => {
      for (const one of ends.splice(0)) one()
    }
    try {
      const { job, lsn, release } = await this.#source(index, wish)
      ends.push(release)
      const process = this.#start(job)
      ends.push(() => process.end())
      const { value: first } = await process.received.next()
      invariant(first !== undefined, 'an export ends by saying so')
      const { stallMs = STALL_MS, onTrouble } = this.#options
      const body = new ExportBody({ first, rest: process.received, stallMs, onEnd: end })
      body.once('error', (error) => {
        onTrouble(error, `export index "${index}"`)
      })
      this.#bodies.add(body)
      ends.push(() => this.#bodies.delete(body))
      return { lsn, body }
    } catch (error) {
      end()
      throw error
    }
  }

  /** Counts live points in a process of its own. @throws as `open`, the reason of the signal. */
  async count({ bucket, content }: CountJob, signal: AbortSignal): Promise<number> {
    signal.throwIfAborted()
    const place = { bucket: this.#options.spec(bucket), scratch: this.#scratch() }
    const process = this.#start({ kind: 'count', content, ...place })
    const stop = (): void => void process.end()
    signal.addEventListener('abort', stop, { once: true })
    try {
      const { value } = await process.received.next()
      return Number(value?.kind === 'done' ? value.result : NaN)
    } catch (error) {
      throw signal.aborted ? signal.reason : error
    } finally {
      signal.removeEventListener('abort', stop)
      await process.end()
    }
  }

  /** Ends every export: its client sees a broken connection. Idempotent. */
  async close(): Promise<void> {
    this.#isClosed = true
    for (const body of this.#bodies) body.destroy(shuttingDown())
    await Promise.all([...this.#processes].map((process) => process.end()))
  }

  async #source(index: string, wish: ExportWish): Promise<ExportedSource> {
    const { served: graph, lance, spec } = this.#options
    const table = lance(index)
    const scratch = this.#scratch()
    if (table !== null) {
      const { lsn } = await table.checkpoint()
      const { name, dimension, metric, bucket } = table.meta
      const place = { index: name, dimension, metric, bucket: spec(bucket) }
      const version = { kind: 'table', table: place, version: lsn } as const
      // Nothing is held: versions are kept by their age.
      return { job: { ...version, ...wish, dimension, scratch }, lsn, release: () => undefined }
    }
    const served = graph(index)
    const { content, release } = await served.checkpoints.hold('if_worth')
    const { bucket, dimension } = served.meta
    const rows = { kind: 'rows', bucket: spec(bucket), content } as const
    return { job: { ...rows, ...wish, dimension, scratch }, lsn: content?.lsn ?? 0, release }
  }

  #start(job: ConstructorParameters<typeof ExportProcess>[0]): ExportProcess {
    if (this.#isClosed) throw shuttingDown()
    const process = new ExportProcess(job)
    this.#processes.add(process)
    void process.ended.then(() => this.#processes.delete(process))
    return process
  }

  #scratch(): string {
    return join(this.#options.scratch, 'exports', randomUUID())
  }
}

function tooMany(): VectordError {
  const message = `There are ${EXPORTS_MAX} exports under way already.`
  return new VectordError('too_many_exports', message, {
    details: { bound: EXPORTS_MAX },
    retryAfterS: RETRY_AFTER_S,
  })
}

function shuttingDown(): VectordError {
  return new VectordError('shutting_down', 'The service is shutting down.', { retryAfterS: 1 })
}
