/**
 * Streams points from a process of its own.
 *
 *     fill    writers that send every row, wait as `Retry-After` says and go on at `first_refused`
 *     flood   writers that never wait: what is refused is not sent again
 *     probe   one point at a time: from the request until a search has found it
 */

import type { VectorsRef } from './vectors.ts'
import { WorkerProcess } from './worker-process.ts'

interface StreamTo {
  readonly url: string
  readonly index: string
  readonly vectors: VectorsRef
  /** Id of the first row; a flood counts on from there, however often it sends a row. */
  readonly firstId: number
}

export type StreamCall =
  | (StreamTo & { readonly kind: 'fill'; readonly batch: number; readonly writers: number })
  | (StreamTo & {
      readonly kind: 'flood'
      readonly batch: number
      readonly writers: number
      readonly durationMs: number
    })
  | (StreamTo & { readonly kind: 'probe' })

export interface StreamAnswer {
  /** Points that were sent, each as often as it was. */
  readonly offered: number
  /** Points that are durable by an answer. */
  readonly accepted: number
  readonly requests: number
  /** Answers 429, and 504 to those that waited until their deadline. */
  readonly refused: number
  /** Probes that the graph led past, and a scan found. */
  readonly unreached: number
  readonly wallMs: number
  /** Of requests that were accepted whole; of a probe until its point was found. */
  readonly p50Ms: number
  readonly p99Ms: number
}

export class StreamLoad {
  readonly #worker = new WorkerProcess<StreamCall, StreamAnswer>(
    new URL('./stream-load-worker.ts', import.meta.url),
  )

  /** @throws where an answer is neither 202 nor 429 nor 504, or a probe finds nothing. */
  run(call: StreamCall): Promise<StreamAnswer> {
    return this.#worker.call(call)
  }

  close(): Promise<void> {
    return this.#worker.close()
  }
}
