/**
 * The front's side of the Lance core: one child process for all Lance tables.
 *
 *     idle ──first call──▶ starting ──up──▶ running ──died──▶ restarting ──backoff──▶ idle
 *       ╰───────────────────┴───────────────┴── close() ──▶ stopped
 *
 * Without Lance tables there is no process. When it dies, every open request is answered
 * `core_unavailable` at once; until the back-off has passed so is every new one. Tables are named in
 * each request, so a new process needs to be told nothing.
 */

import type { LanceBounds, LanceTableSpec } from '../domain/lance-table.ts'
import { VectordError } from '../lib/errors.ts'
import { invariant } from '../lib/invariant.ts'
import { RestartBackoff } from '../lib/restart-backoff.ts'
import type { Beat } from './core-messages.ts'
import { CoreProcess, type CoreExit } from './core-process.ts'
import type { CoreRequest } from './core-request.ts'
import type { DataplaneLog } from './core-status.ts'
import { errorFields, fromWireError, type WireError } from './error-codec.ts'
import { FRAME, type Frame } from './frame.ts'
import type { LanceArguments } from './lance-messages.ts'
import { PendingRequests, type Pending } from './pending-requests.ts'
import { RemoteLanceTable } from './remote-lance-table.ts'
import { readJson } from './shard-codec.ts'

const ENTRY = new URL('lance-main.ts', import.meta.url)

/**
 * LanceDB takes memory in blocks of some hundred KB for each search. Mapped anew each time, as other
 * children have it, they cost a tenth of the search.
 */
const MALLOC = { MALLOC_MMAP_THRESHOLD_: '67108864', MALLOC_TRIM_THRESHOLD_: '134217728' }

const SWEEP_INTERVAL_MS = 100
/** The core answers what is too late itself; past this the front does. */
const DEADLINE_GRACE_MS = 250
/** Bytes that may wait for the process to read them. */
const WAITING_BYTES_MAX = 256 * 1024 * 1024

export interface LanceCoreOptions {
  /** Requests that may wait for an answer; more are answered `core_suspended`. */
  readonly queueMax?: number
  /** A process that says nothing for this long hangs, and is killed. */
  readonly silenceMaxMs?: number
  /** The wait before a process that died may be started again: doubled, up to the maximum. */
  readonly restartMinMs?: number
  readonly restartMaxMs?: number
  /** What its process may keep in memory. */
  readonly caches?: LanceArguments['caches']
  /** Milliseconds of a clock that never runs backwards. */
  readonly nowMs?: () => number
  readonly log?: DataplaneLog
}

const DEFAULTS = {
  queueMax: 1024,
  silenceMaxMs: 30_000,
  restartMinMs: 100,
  restartMaxMs: 10_000,
  caches: { indexBytes: 1024 * 1024 * 1024, metadataBytes: 256 * 1024 * 1024 },
  nowMs: () => performance.now(),
  log: () => undefined,
} satisfies Required<LanceCoreOptions>

export interface LanceCoreStatus {
  readonly pid: number | null
  /** `idle`: no process, because nothing was asked of it yet. */
  readonly state: 'idle' | 'starting' | 'running' | 'restarting' | 'stopped'
  /** Requests that wait for an answer. */
  readonly queue: number
  /** Times that the process ended unasked. */
  readonly deaths: number
  readonly rssBytes: number
  /** Seconds of CPU since its process started. */
  readonly cpuS: number
}

export class LanceCore {
  readonly #options: Required<LanceCoreOptions>
  readonly #backoff: RestartBackoff
  readonly #pending = new PendingRequests()
  readonly #sweep: NodeJS.Timeout
  #state: LanceCoreStatus['state'] = 'idle'
  #process: CoreProcess | null = null
  #restart: NodeJS.Timeout | null = null
  #beat: Beat | null = null
  #deaths = 0
  #gone: PromiseWithResolvers<null> | null = null

  /** Starts nothing yet. */
  constructor(options: LanceCoreOptions = {}) {
    this.#options = { ...DEFAULTS, ...options }
    this.#backoff = new RestartBackoff(this.#options.restartMinMs, this.#options.restartMaxMs)
    this.#sweep = setInterval(() => this.#rejectLate(), SWEEP_INTERVAL_MS)
    this.#sweep.unref()
  }

  get status(): LanceCoreStatus {
    return {
      pid: this.#process?.pid ?? null,
      state: this.#state,
      queue: this.#pending.size,
      deaths: this.#deaths,
      rssBytes: this.#beat?.rss_bytes ?? 0,
      cpuS: this.#beat?.cpu_s ?? 0,
    }
  }

  /**
   * A handle, which holds nothing: make a new one where the credentials of the bucket changed.
   *
   * Its calls reject with what `LanceTable` names, and with `core_unavailable`, `core_suspended`,
   * `limit_exceeded` (more than one message holds), `shutting_down`.
   */
  table(spec: LanceTableSpec): RemoteLanceTable {
    return new RemoteLanceTable(spec, (request) => this.#send(request))
  }

  /** Makes an empty table, where there is none; the table as it is stays otherwise. */
  create(spec: LanceTableSpec, bounds?: LanceBounds): Promise<void> {
    return this.table(spec).create(bounds)
  }

  /** Refuses new calls, waits for open ones up to `graceMs`, ends the process. Idempotent. */
  async close(graceMs: number): Promise<void> {
    this.#state = 'stopped'
    if (this.#restart !== null) clearTimeout(this.#restart)
    const process = this.#process
    if (process === null) {
      clearInterval(this.#sweep)
      return
    }
    const force = setTimeout(() => process.kill(), graceMs)
    this.#gone ??= Promise.withResolvers<null>()
    await Promise.race([this.#pending.idle(), this.#gone.promise])
    process.kill()
    await this.#gone.promise
    clearTimeout(force)
    clearInterval(this.#sweep)
  }

  #send<T>(request: CoreRequest<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const process = this.#ready()
      // `read` of the same request makes the answer, so it has the type that `resolve` takes.
      const settle = resolve as (answer: unknown) => void
      this.#write(process, { request, resolve: settle, reject, isSuspect: false, started: false })
    })
  }

  /** The process that takes a new request. */
  #ready(): CoreProcess {
    if (this.#state === 'stopped') throw shuttingDown()
    if (this.#state === 'restarting') throw unavailable()
    const process = this.#process ?? this.#start()
    const isFull = this.#pending.size >= this.#options.queueMax
    if (isFull || process.channel.waitingBytes > WAITING_BYTES_MAX) {
      const text = 'Too many requests wait for the Lance tables.'
      throw new VectordError('core_suspended', text, { retryAfterS: 1 })
    }
    return process
  }

  #start(): CoreProcess {
    this.#state = 'starting'
    this.#process = new CoreProcess({
      module: ENTRY,
      argument: { caches: this.#options.caches } satisfies LanceArguments,
      env: MALLOC,
      silenceMaxMs: this.#options.silenceMaxMs,
      onUp: () => this.#up(),
      onFrame: (frame) => this.#receive(frame),
      onDown: () => this.#down(),
      onGone: (exit) => this.#ended(exit),
    })
    return this.#process
  }

  #write(process: CoreProcess, pending: Pending): void {
    const { request } = pending
    const { writer } = process.channel
    const id = this.#pending.add(pending)
    const { type, deadlineMs } = request
    try {
      writer.begin({ type, id, flags: 0, shard: 0, deadlineMs })
      request.write(writer)
      writer.end()
    } catch (error) {
      writer.rollback()
      this.#pending.take(id)
      throw error
    }
    process.channel.flushSoon()
  }

  #up(): void {
    if (this.#state !== 'starting') return
    this.#state = 'running'
    this.#backoff.up(this.#options.nowMs())
    this.#options.log('info', { pid: this.#process?.pid }, 'Lance core is up')
  }

  #receive(frame: Frame): void {
    switch (frame.type) {
      case FRAME.answer:
        this.#answered(frame)
        return
      case FRAME.failure:
        this.#failed(frame)
        return
      case FRAME.beat:
        this.#beat = readJson(frame.body) as Beat
        return
      default:
        invariant(false, `frame type ${frame.type} comes from a Lance core`)
    }
  }

  #answered(frame: Frame): void {
    const pending = this.#pending.take(frame.id)
    if (pending === undefined) return
    try {
      pending.resolve(pending.request.read(frame.body))
    } catch (error) {
      this.#options.log('error', { error: errorFields(error) }, 'answer is unreadable')
      const text = 'The answer of the Lance core cannot be read.'
      pending.reject(new VectordError('internal', text, { cause: error }))
    }
  }

  #failed(frame: Frame): void {
    const pending = this.#pending.take(frame.id)
    const error = readJson(frame.body) as WireError
    if (error.code === 'internal') {
      const subject = pending?.request.subject
      this.#options.log('error', { error, subject }, 'request to the Lance core failed')
    }
    pending?.reject(fromWireError(error))
  }

  #down(): void {
    this.#beat = null
    if (this.#state !== 'stopped') {
      this.#state = 'restarting'
      this.#deaths += 1
    }
    const error = this.#state === 'stopped' ? shuttingDown : unavailable
    for (const pending of this.#pending.takeWhere(() => true)) pending.reject(error())
  }

  #ended({ signal, exitCode, hung, stderr }: CoreExit): void {
    this.#process = null
    this.#gone?.resolve(null)
    if (this.#state === 'stopped') return
    const waitMs = this.#backoff.died(this.#options.nowMs())
    this.#options.log('error', { signal, exitCode, hung, stderr, waitMs }, 'Lance core died')
    this.#restart = setTimeout(() => {
      this.#restart = null
      this.#state = 'idle'
    }, waitMs)
    this.#restart.unref()
  }

  #rejectLate(): void {
    const lateMs = Date.now() - DEADLINE_GRACE_MS
    for (const pending of this.#pending.takeWhere(({ deadlineMs }) => deadlineMs < lateMs)) {
      const text = 'The Lance core did not answer before the deadline.'
      pending.reject(new VectordError('deadline_exceeded', text, { retryAfterS: 1 }))
    }
  }
}

function unavailable(): VectordError {
  const text = 'The process of the Lance tables is being restarted.'
  return new VectordError('core_unavailable', text, { retryAfterS: 1 })
}

function shuttingDown(): VectordError {
  return new VectordError('shutting_down', 'The service is shutting down.', { retryAfterS: 5 })
}
