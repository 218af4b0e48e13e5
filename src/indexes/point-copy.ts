/**
 * The points of a checkpoint, batch by batch, as writes for another index: read by a process of its
 * own, since Parquet would hold up the front. It reads on when it is asked for the next batch.
 */

import { rm } from 'node:fs/promises'
import { fromWireError, type WireError } from '../dataplane/error-codec.ts'
import type { CheckpointContent } from '../domain/checkpoint.ts'
import type { BucketSpec } from '../domain/shard-spec.ts'
import type { UpsertBatch } from '../domain/write-batch.ts'
import { VectordError } from '../lib/errors.ts'
import { startChild } from '../processes/child.ts'
import { MessagePipe } from '../processes/message-pipe.ts'

const ENTRY = new URL('point-copy-main.ts', import.meta.url)

/** What the process is to read. */
export interface PointCopyJob {
  readonly bucket: BucketSpec
  /** Null for an index that was never written; pinned by whoever asks. */
  readonly content: CheckpointContent | null
  readonly dimension: number
  /** A local folder of its own for temporary files; removed at the end. */
  readonly scratch: string
}

/** What the front sends: what to read first, then a word for each batch. */
export type PointCopyRequest =
  { readonly kind: 'read'; readonly job: PointCopyJob } | { readonly kind: 'next' }

export type PointCopyReply =
  | { readonly kind: 'count'; readonly points: number }
  | { readonly kind: 'batch'; readonly batch: UpsertBatch }
  | { readonly kind: 'done' }
  | { readonly kind: 'failed'; readonly error: WireError }

/** A process that reads; its calls are made one after the other. */
export class PointCopy {
  readonly #job: PointCopyJob
  readonly #kill: () => void
  readonly #gone = Promise.withResolvers<null>()
  readonly #pipe: MessagePipe
  #waiting: PromiseWithResolvers<PointCopyReply> | null = null
  #isGone = false

  constructor(job: PointCopyJob) {
    this.#job = job
    const child = startChild({
      module: ENTRY,
      args: [],
      onExit: () => {
        this.#isGone = true
        this.#waiting?.reject(ended())
        this.#gone.resolve(null)
      },
    })
    this.#kill = () => {
      child.kill()
    }
    this.#pipe = new MessagePipe(child.channel, {
      onMessage: (message) => {
        // It is the same version of the same program.
        this.#waiting?.resolve(message as PointCopyReply)
      },
      onClose: () => undefined,
    })
  }

  /** How many points there are, before the first batch. @throws what cannot be read. */
  async count(): Promise<number> {
    const reply = await this.#ask({ kind: 'read', job: this.#job })
    return reply.kind === 'count' ? reply.points : 0
  }

  /** Every point once. @throws what cannot be read, the reason of the signal. */
  async *batches(signal: AbortSignal): AsyncGenerator<UpsertBatch, undefined> {
    for (;;) {
      signal.throwIfAborted()
      const reply = await this.#ask({ kind: 'next' })
      if (reply.kind !== 'batch') return
      yield reply.batch
    }
  }

  /** Ends the process, whatever it does. */
  async end(): Promise<void> {
    this.#kill()
    await this.#gone.promise
    await rm(this.#job.scratch, { recursive: true, force: true })
  }

  async #ask(request: PointCopyRequest): Promise<PointCopyReply> {
    if (this.#isGone) throw ended()
    this.#waiting = Promise.withResolvers()
    this.#pipe.send(request)
    const reply = await this.#waiting.promise
    if (reply.kind === 'failed') throw fromWireError(reply.error)
    return reply
  }
}

function ended(): VectordError {
  const text = 'The process that copies points ended before its work was done.'
  return new VectordError('builder_failed', text, { retryAfterS: 1 })
}
