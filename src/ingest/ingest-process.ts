/**
 * One ingest as a process of its own, seen from the service: from its start to its end.
 *
 *     starting ─▶ working ──done──▶ summary
 *                    ├──failed, died, too much memory, silent──▶ error
 *                    ╰──signal──▶ asked to stop ──▶ ended, or killed after `STOP_MS`
 *
 * What the process gives is handed on one after the other, in order, and the process makes no more
 * than two ahead. The outcome is known when the process has ended and what it gave was taken: but a
 * write that does not come back holds up no stop for ever.
 */

import { setTimeout as delay } from 'node:timers/promises'
import { fromWireError } from '../dataplane/error-codec.ts'
import type { UpsertBatch } from '../domain/write-batch.ts'
import { VectordError, type ErrorDetails } from '../lib/errors.ts'
import { startChild, type Child, type ChildExit } from '../processes/child.ts'
import { MessagePipe } from '../processes/message-pipe.ts'
import { residentBytes } from '../processes/resident-memory.ts'
import type {
  IngestJob,
  IngestSummary,
  ProcessMessage,
  ServiceMessage,
  WrittenPart,
} from './ingest-job.ts'
import { detailsWithoutSecrets, withoutSecrets } from './secrets.ts'

const ENTRY = new URL('ingest-main.ts', import.meta.url)

/** Batches of rows live until they are written: with 4 MiB half of the CPU went into copying them. */
const SEMI_SPACE_MIB = 16

/** How long it may take to end its query on the server: more than it waits for that itself. */
const STOP_MS = 10_000
/** How long a write or an upload that is under way then may still take to be waited for. */
const HANDED_MS = 5000
/** CPU between two signs of life of a process that does nothing else. */
const IDLE_CPU_MS = 5
/** How often its memory and its silence are looked at. */
const LOOK_MS = 250

export interface IngestHandlers {
  onPoints(batch: UpsertBatch): Promise<void>
  onPart(part: WrittenPart): Promise<void>
  /** Rows up to now, and those in all where that is known. */
  onProgress(rows: number, total: number | null): void
}

export interface IngestBounds {
  readonly niceness: number
  /** Resident memory of the process; past it it is ended. */
  readonly memoryBytesMax: number
  /**
   * How long it may say nothing, or a reader of a file do nothing, while nothing is waited for here: a
   * library that is stuck in a damaged file does not come back.
   */
  readonly silenceMsMax: number
}

export interface IngestProcessOptions {
  readonly job: IngestJob
  readonly bounds: IngestBounds
  readonly handlers: IngestHandlers
  readonly signal: AbortSignal
  /** Hears of the process that was started. */
  readonly onStart?: (pid: number) => void
}

/**
 * Runs a job in a process of its own.
 *
 * @throws {VectordError} what the job or a handler failed with; `ingest_failed` where the process
 *   died, took too much memory or hung; the reason of `signal`.
 */
export function runIngestProcess(options: IngestProcessOptions): Promise<IngestSummary> {
  return new IngestProcess(options).run()
}

class IngestProcess {
  readonly #options: IngestProcessOptions
  readonly #child: Child
  readonly #pipe: MessagePipe
  readonly #gone = Promise.withResolvers<ChildExit>()
  /** Resolved when what was handed on is not waited for any more. */
  readonly #waitedEnough = Promise.withResolvers<undefined>()
  #handing: Promise<void> = Promise.resolve()
  #inHand = 0
  #rows = 0
  #cpuMs = 0
  /** It has begun with its job: the program itself is whole. */
  #hasBegun = false
  #heardMs = performance.now()
  #summary: IngestSummary | null = null
  #error: Error | null = null

  constructor(options: IngestProcessOptions) {
    this.#options = options
    const { memoryBytesMax, niceness } = options.bounds
    this.#child = startChild({
      module: ENTRY,
      args: [String(niceness)],
      heapBytesMax: memoryBytesMax,
      semiSpaceMib: SEMI_SPACE_MIB,
      onExit: (exit) => {
        this.#gone.resolve(exit)
      },
    })
    this.#pipe = new MessagePipe(this.#child.channel, {
      // The process sends nothing else.
      onMessage: (message) => {
        this.#receive(message as ProcessMessage)
      },
      onClose: () => {
        this.#child.kill()
      },
    })
    if (this.#child.pid !== undefined) options.onStart?.(this.#child.pid)
  }

  async run(): Promise<IngestSummary> {
    const { signal, job } = this.#options
    const stop = (): void => {
      this.#stop(errorOf(signal.reason))
    }
    signal.addEventListener('abort', stop, { once: true })
    if (signal.aborted) stop()
    else this.#send({ kind: 'start', job })
    const watch = setInterval(() => {
      void this.#look()
    }, LOOK_MS)
    watch.unref()
    try {
      const exit = await this.#gone.promise
      // What was handed on before the end has its turn; it may be why the process was ended.
      await Promise.race([this.#handing, this.#waitedEnough.promise])
      if (this.#error !== null) throw this.#error
      if (this.#summary === null) throw this.#died(exit)
      return this.#summary
    } finally {
      clearInterval(watch)
      signal.removeEventListener('abort', stop)
    }
  }

  #receive(message: ProcessMessage): void {
    if (message.kind === 'alive') {
      this.#alive(message)
      return
    }
    this.#heardMs = performance.now()
    if (message.kind === 'points') {
      this.#hand(message.id, () => this.#options.handlers.onPoints(message.batch))
    } else if (message.kind === 'part') {
      this.#hand(message.id, () => this.#options.handlers.onPart(message.part))
    } else if (message.kind === 'done') {
      this.#summary = message.summary
      this.#child.kill()
    } else this.#end(this.#told(message.error))
  }

  #alive({ rows, total, cpuMs }: Extract<ProcessMessage, { kind: 'alive' }>): void {
    const isFile = this.#options.job.source.kind === 'file'
    // A database may think for long before its first row. A reader of a file that waits for what does
    // not come says that it is alive and does nothing.
    const works = rows > this.#rows || cpuMs - this.#cpuMs > IDLE_CPU_MS
    if (!isFile || works || this.#inHand > 0) this.#heardMs = performance.now()
    this.#hasBegun = true
    this.#rows = rows
    this.#cpuMs = cpuMs
    this.#options.handlers.onProgress(rows, total)
  }

  /** One after the other, in the order in which they came. */
  #hand(id: number, work: () => Promise<void>): void {
    this.#inHand += 1
    this.#handing = this.#handing.then(async () => {
      try {
        if (this.#error === null) await work()
        this.#send({ kind: 'taken', id })
      } catch (error) {
        this.#fail(errorOf(error))
      } finally {
        this.#inHand -= 1
        this.#heardMs = performance.now()
      }
    })
  }

  /** The first error counts; the process is asked to end what it has under way elsewhere. */
  #fail(error: Error): void {
    if (this.#error !== null) return
    this.#stop(error)
  }

  #stop(reason: Error): void {
    this.#error ??= reason
    this.#send({ kind: 'stop' })
    void this.#endSoon()
  }

  async #endSoon(): Promise<void> {
    await Promise.race([this.#gone.promise, delay(STOP_MS, undefined, { ref: false })])
    this.#child.kill()
    await delay(HANDED_MS, undefined, { ref: false })
    this.#waitedEnough.resolve(undefined)
  }

  async #look(): Promise<void> {
    if (this.#error !== null) return
    const { silenceMsMax, memoryBytesMax } = this.#options.bounds
    if (this.#inHand === 0 && performance.now() - this.#heardMs > silenceMsMax) {
      this.#end(failed('It made no progress.', { reason: 'silent', silence_ms: silenceMsMax }))
      return
    }
    const { pid } = this.#child
    const bytes = pid === undefined ? null : await residentBytes(pid)
    if (bytes === null || bytes <= memoryBytesMax) return
    const details = { reason: 'memory', bytes, max: memoryBytesMax }
    this.#end(failed('It took more memory than it may.', details))
  }

  /** It has ended its work, or there is nothing to hope for from asking. */
  #end(error: VectordError): void {
    this.#error ??= error
    this.#child.kill()
  }

  #told(wire: Parameters<typeof fromWireError>[0]): VectordError {
    const { job } = this.#options
    if (wire.report === null) {
      const message = withoutSecrets(wire.message, job)
      return fromWireError({ ...wire, message, details: detailsWithoutSecrets(wire.details, job) })
    }
    // A bug of ours or of a library: what it says is for a log alone.
    return new VectordError('ingest_failed', 'The process of the ingest failed.', {
      details: { reason: 'bug' },
      cause: new Error(withoutSecrets(wire.report, job)),
    })
  }

  #died({ exitCode, signal, stderr }: ChildExit): VectordError {
    // What Node says when the heap is full stands at the end of its last words.
    const isHeap = stderr.includes('heap out of memory')
    const details = { reason: isHeap ? 'memory' : 'died', exit_code: exitCode, signal }
    const text = isHeap ? 'It took more memory than it may.' : 'It ended before its job was done.'
    const cause = new Error(withoutSecrets(stderr, this.#options.job))
    const { source } = this.#options.job
    const isParquet = source.kind === 'file' && source.format === 'parquet'
    if (isParquet && this.#hasBegun && exitCode !== null && !isHeap) {
      // Some damage makes the library end the process that reads the file.
      return new VectordError('file_corrupt', 'The file ended the process that read it.', {
        details: { format: 'parquet', exit_code: exitCode },
        cause,
      })
    }
    return failed(text, details, cause)
  }

  #send(message: ServiceMessage): void {
    this.#pipe.send(message)
  }
}

function errorOf(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown))
}

function failed(text: string, details: ErrorDetails, cause?: Error): VectordError {
  return new VectordError('ingest_failed', `The process of the ingest failed. ${text}`, {
    details,
    ...(cause !== undefined && { cause }),
  })
}
