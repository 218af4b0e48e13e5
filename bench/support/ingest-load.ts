/**
 * Upserts from a process of its own: writers that send batches and obey `Retry-After`.
 *
 * Rows are sent in order, and a row's id is its number. With one writer the log has the order of
 * the rows, and the graph is the one that a plain loop over them builds.
 */

import type { VectorsRef } from './vectors.ts'
import { WorkerProcess } from './worker-process.ts'

/** `columns` has base64 vectors, `rows` has an object with a JSON array for each point. */
export type IngestForm = 'columns' | 'rows'

export interface IngestCall {
  readonly url: string
  readonly index: string
  /** Sent whole; the id of its first row is `firstId`. */
  readonly vectors: VectorsRef
  readonly firstId: number
  readonly form: IngestForm
  readonly batch: number
  readonly writers: number
  /** Whether rows carry the metadata of `row-metadata.ts`; its ranks are read from here. */
  readonly ranks: Int32Array | null
}

export interface IngestAnswer {
  readonly points: number
  readonly requests: number
  /** Answers 429, each waited for as told and sent again. */
  readonly refused: number
  readonly wallMs: number
  /** Wall time in which every writer waited after a 429. */
  readonly waitedMs: number
  readonly generatorCpuMs: number
  readonly pointsPerS: number
  /** Of requests that were taken at once. */
  readonly p50Ms: number
  readonly p99Ms: number
  readonly lastLsn: number
  readonly bodyBytes: number
}

export class IngestLoad {
  readonly #worker = new WorkerProcess<IngestCall, IngestAnswer>(
    new URL('./ingest-load-worker.ts', import.meta.url),
    ['--max-old-space-size=4096'],
  )

  /** @throws where any answer is neither 200 nor 429 with `Retry-After`. */
  run(call: IngestCall): Promise<IngestAnswer> {
    return this.#worker.call(call)
  }

  close(): Promise<void> {
    return this.#worker.close()
  }
}
