/**
 * Ingests as operations: what runs, what waits, and which dataset and index it concerns.
 *
 *     start ─▶ operation: waiting for a slot ─▶ reading ─▶ publishing ─▶ result
 *
 * A dataset has one ingest at a time; another one is refused at once, since it would find other rows
 * than those it was asked for. An index takes several.
 */

import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { IngestSlots } from '../ingest/ingest-slots.ts'
import type { IngestRequest } from '../ingest/ingest-request.ts'
import { hasCode, VectordError } from '../lib/errors.ts'
import { ingestJson, type IngestJson } from './ingest-result.ts'
import { IngestRun, type IngestOutcome, type IngestWorld } from './ingest-run.ts'
import type { Operation, OperationControl } from './operation.ts'
import type { OperationKind, Operations } from './operations.ts'

/** What a second ingest of a dataset is told to wait; nobody knows how long the first one takes. */
const RETRY_AFTER_S = 10

export interface IngestsOptions extends IngestWorld {
  readonly operations: Operations
  /** A folder of this process alone. */
  readonly scratch: string
  readonly workersMax: number
  readonly queueMax: number
  /** Hears when points came into an index. */
  readonly onFilled: (index: string) => void
  /** Hears how a process ended that should not have. */
  readonly onTrouble: (error: unknown, what: string) => void
}

export interface IngestTotals {
  rows: number
  points: number
  refused: number
  succeeded: number
  failed: number
  cancelled: number
}

export class Ingests {
  readonly #options: IngestsOptions
  readonly #kind: OperationKind<IngestJson>
  readonly #slots: IngestSlots
  /** By bucket and dataset: the operation that it has now. */
  readonly #busy = new Map<string, string>()
  readonly #totals: IngestTotals = {
    ...{ rows: 0, points: 0, refused: 0, succeeded: 0, failed: 0, cancelled: 0 },
  }
  #uploads = 0

  constructor(options: IngestsOptions) {
    this.#options = options
    this.#kind = options.operations.ofKind<IngestJson>('ingest')
    this.#slots = new IngestSlots({
      runningMax: options.workersMax,
      waitingMax: options.queueMax,
    })
  }

  get running(): number {
    return this.#slots.running
  }

  get waiting(): number {
    return this.#slots.waiting
  }

  get totals(): Readonly<IngestTotals> {
    return this.#totals
  }

  /** Where a body may be spooled to; whoever asks for it gives it to `start`, or removes it. */
  async uploadPath(): Promise<string> {
    await mkdir(this.#options.scratch, { recursive: true })
    this.#uploads += 1
    return join(this.#options.scratch, `upload-${process.pid}-${this.#uploads}`)
  }

  /**
   * Whether an ingest would be taken now: before a large body is read.
   *
   * @throws {VectordError} `index_not_found`, `bucket_not_found`, `bucket_protected`,
   *   `ingest_under_way`, `overloaded`.
   */
  check(request: Omit<IngestRequest, 'source'> & Partial<Pick<IngestRequest, 'source'>>): void {
    const { bucket, dataset, index, source } = request
    this.#slots.check()
    if (source?.kind === 'object') this.#options.bucket(source.bucket)
    if (index !== null) this.#options.indexes.get(index.name)
    this.#options.bucket(bucket)
    if (dataset === null) return
    this.#options.datasets(bucket)
    const operation = this.#busy.get(keyOf(bucket, dataset.name))
    if (operation === undefined) return
    const message = `The dataset "${dataset.name}" takes in data already.`
    throw new VectordError('ingest_under_way', message, {
      details: { dataset: dataset.name, operation_id: operation },
      retryAfterS: RETRY_AFTER_S,
    })
  }

  /** Starts it, and removes the file of an upload in any case. @throws {VectordError} as `check`. */
  start(request: IngestRequest): Operation<IngestJson> {
    try {
      this.check(request)
      return this.#begin(request)
    } catch (error) {
      void removeUpload(request)
      throw error
    }
  }

  #begin(request: IngestRequest): Operation<IngestJson> {
    const { dataset, bucket, index } = request
    const key = dataset === null ? null : keyOf(bucket, dataset.name)
    const operation = this.#kind.begin(index?.name ?? null, (control) =>
      this.#run(request, control),
    )
    if (key !== null) this.#busy.set(key, operation.id)
    void operation.ended().then(() => {
      if (key !== null) this.#busy.delete(key)
      this.#count(operation.state)
    })
    return operation
  }

  async #run(request: IngestRequest, control: OperationControl): Promise<IngestJson> {
    const { scratch } = this.#options
    try {
      control.progress('waiting')
      return await this.#slots.run(control.signal, async () => {
        await mkdir(scratch, { recursive: true })
        const folder = await mkdtemp(join(scratch, 'ingest-'))
        try {
          return await this.#runIn(folder, request, control)
        } finally {
          await rm(folder, { recursive: true, force: true })
        }
      })
    } finally {
      await removeUpload(request)
    }
  }

  async #runIn(
    folder: string,
    request: IngestRequest,
    control: OperationControl,
  ): Promise<IngestJson> {
    const run = new IngestRun(this.#options, request, { control, folder })
    let outcome: IngestOutcome
    try {
      outcome = await run.run()
    } catch (error) {
      // Its last words are for the log alone.
      if (hasCode(error, 'ingest_failed')) this.#options.onTrouble(error.cause ?? error, 'ingest')
      throw error
    } finally {
      this.#totals.rows += run.rows
    }
    const { points, refusals } = outcome.summary
    this.#totals.points += points
    this.#totals.refused += refusals.count
    if (request.index !== null && points > 0) this.#options.onFilled(request.index.name)
    return ingestJson(request, outcome)
  }

  #count(state: Operation<IngestJson>['state']): void {
    if (state === 'succeeded' || state === 'failed' || state === 'cancelled') {
      this.#totals[state] += 1
    }
  }
}

async function removeUpload({ source }: IngestRequest): Promise<void> {
  if (source.kind === 'upload') await rm(source.path, { force: true })
}

function keyOf(bucket: string, dataset: string): string {
  return `${bucket}/${dataset}`
}
