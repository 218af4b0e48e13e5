/**
 * The front's side of one core: its process, the requests that wait in it, and when it is started
 * again.
 *
 *     starting ──up──▶ running ──died──▶ restarting ──backoff──▶ starting
 *         ╰───────────────┴── stop() ──▶ stopped
 *
 * Degraded is not a state of the process: while the watchdog lets it rest, reads are refused, and
 * applies, loads and checkpoints go on. A request is answered exactly once: by the core, or with an
 * error when the core dies, rests, or lets its deadline pass.
 */

import { VectordError } from '../lib/errors.ts'
import type { ShardStats } from '../domain/search.ts'
import { invariant } from '../lib/invariant.ts'
import { BodyReader } from './body-reader.ts'
import { CoreGate } from './core-gate.ts'
import type { Beat, CoreArguments, CorePace, Fault } from './core-messages.ts'
import { CoreProcess, type CoreExit } from './core-process.ts'
import type { CoreRequest } from './core-request.ts'
import type { CoreState, CoreStatus, DataplaneLog } from './core-status.ts'
import type { WatchdogLimits } from './core-watchdog.ts'
import { errorFields, fromWireError, type WireError } from './error-codec.ts'
import { FLAG_ANNOUNCE, FLAG_BACKGROUND, FRAME, frameName, type Frame } from './frame.ts'
import { PendingRequests, type Pending } from './pending-requests.ts'
import type { Quarantine } from './quarantine.ts'
import { isRead } from './request-queue.ts'
import { RestartBackoff } from '../lib/restart-backoff.ts'
import { activeTracer, type Span } from '../tracing/tracer.ts'
import { readJson } from './shard-codec.ts'

const ENTRY = new URL('core-main.ts', import.meta.url)

/** Numbers that a frame has room for; 0 is the core itself. */
const SHARDS_MAX = 0xffff

const SWEEP_INTERVAL_MS = 100
/** The core answers what is too late itself; past this the front does, for a core that hangs. */
const DEADLINE_GRACE_MS = 250

export interface CoreOptions {
  readonly core: number
  readonly hostModule: string
  /** Requests that may wait in the core. */
  readonly queueMax: number
  readonly silenceMaxMs: number
  readonly backoff: RestartBackoff
  readonly quarantine: Quarantine
  readonly watchdog: WatchdogLimits
  readonly pace: CorePace
  /** Milliseconds of a clock that never runs backwards. */
  readonly nowMs: () => number
  readonly log: DataplaneLog
  /** The process serves: shards can be opened in it. */
  onUp(): void
  /** The process died: it holds no shard any more. */
  onDown(): void
}

export class Core {
  readonly number: number
  readonly #options: CoreOptions
  readonly #gate: CoreGate
  readonly #pending = new PendingRequests()
  readonly #statsListeners = new Map<number, (stats: ShardStats) => void>()
  readonly #sweep: NodeJS.Timeout
  #state: CoreState = 'starting'
  #process: CoreProcess
  #restart: NodeJS.Timeout | null = null
  readonly #gone: (() => void)[] = []
  /** Reads that were in the process when it went down, until its exit tells whom to blame. */
  #victims: Pending[] = []
  #draining = false
  #lastShard = 0
  #beat: Beat | null = null
  #deaths = 0
  #failures = 0

  constructor(options: CoreOptions) {
    this.number = options.core
    this.#options = options
    this.#gate = new CoreGate(options)
    this.#process = this.#start()
    this.#sweep = setInterval(() => this.#rejectLate(), SWEEP_INTERVAL_MS)
    this.#sweep.unref()
  }

  get isRunning(): boolean {
    return this.#state === 'running'
  }

  /** `shards` is what the data plane has placed here. */
  status(shards: number): CoreStatus {
    const cooldownMs = this.#gate.cooldownMs
    return {
      core: this.number,
      pid: this.#process.pid ?? null,
      state: this.#state === 'running' && cooldownMs > 0 ? 'degraded' : this.#state,
      queue: this.#pending.size,
      queueMax: this.#options.queueMax,
      pressure: this.#gate.pressure,
      cooldownMs,
      deaths: this.#deaths,
      failures: this.#failures,
      rssBytes: this.#beat?.rss_bytes ?? 0,
      cpuS: this.#beat?.cpu_s ?? 0,
      shards,
    }
  }

  /** @throws {VectordError} where a new request would be refused for load: see `CoreGate`. */
  admit(): void {
    this.#gate.admit(false)
  }

  /** Gives out a number for a shard; `onStats` is told its statistics until `releaseShard`. */
  claimShard(onStats: (stats: ShardStats) => void): number {
    invariant(this.#statsListeners.size < SHARDS_MAX, 'a core holds fewer shards')
    do this.#lastShard = (this.#lastShard % SHARDS_MAX) + 1
    while (this.#statsListeners.has(this.#lastShard))
    this.#statsListeners.set(this.#lastShard, onStats)
    return this.#lastShard
  }

  releaseShard(shard: number): void {
    this.#statsListeners.delete(shard)
  }

  /**
   * Sends a request. Requests reach the shard in the order in which they are sent here.
   *
   * Rejects with what the core answered, or `core_unavailable`, `core_degraded`, `core_suspended`,
   * `overloaded`, `request_quarantined`, `deadline_exceeded`, `shutting_down`.
   */
  send<T>(request: CoreRequest<T>): Promise<T> {
    const tracer = activeTracer()
    if (tracer === null) return this.#send(request, null)
    const name = `core ${frameName(request.type)}`
    const work = (span: Span | null): Promise<T> => this.#send(request, span)
    return tracer.within({ name, attributes: { 'vectord.core': this.number } }, work)
  }

  /** Refuses new reads; resolves when no request waits any more. */
  async drain(): Promise<void> {
    this.#draining = true
    await this.#pending.idle()
  }

  /** Ends the process: by itself within `graceMs`, or else by force. Idempotent. */
  async stop(graceMs: number): Promise<void> {
    const hadProcess = this.#state === 'running' || this.#state === 'starting'
    const wasStopped = this.#state === 'stopped'
    this.#state = 'stopped'
    clearInterval(this.#sweep)
    if (this.#restart !== null) clearTimeout(this.#restart)
    if (wasStopped || !(hadProcess || this.#gone.length > 0)) return
    const gone = new Promise<void>((resolve) => this.#gone.push(resolve))
    this.#command(FRAME.stop)
    const force = setTimeout(() => this.#process.kill(), graceMs)
    await gone
    clearTimeout(force)
  }

  #send<T>(request: CoreRequest<T>, span: Span | null): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const isSuspect = this.#check(request)
      // `read` of the same request makes the answer, so it has the type that `resolve` takes.
      const settle = resolve as (answer: unknown) => void
      const pending = { request, resolve: settle, reject, isSuspect, started: false }
      // What came before was waiting, what comes after is work.
      const told = { ...pending, onStarted: () => span?.event('started') }
      this.#write(span === null ? pending : told)
    })
  }

  #start(): CoreProcess {
    return new CoreProcess({
      module: ENTRY,
      argument: this.#argument(),
      silenceMaxMs: this.#options.silenceMaxMs,
      onUp: () => this.#up(),
      onFrame: (frame) => this.#receive(frame),
      onDown: () => this.#down(),
      onGone: (exit) => this.#ended(exit),
    })
  }

  #argument(): CoreArguments {
    const { hostModule, pace } = this.#options
    return { core: this.number, hostModule, pace }
  }

  #up(): void {
    if (this.#state !== 'starting') return
    this.#state = 'running'
    this.#options.backoff.up(this.#options.nowMs())
    this.#options.log('info', { core: this.number, pid: this.#process.pid }, 'core is up')
    this.#options.onUp()
  }

  #down(): void {
    const all = this.#pending.takeWhere(() => true)
    this.#gate.queued(0)
    this.#beat = null
    this.#statsListeners.clear()
    this.#victims = all.filter(({ request }) => isRead(request.type))
    const asked = this.#state === 'stopped'
    if (!asked) {
      this.#state = 'restarting'
      this.#deaths += 1
      if (this.#gate.died()) this.#rest()
    }
    for (const pending of all) pending.reject(this.#unavailable())
    if (!asked) this.#options.onDown()
  }

  #ended(exit: CoreExit): void {
    const victims = this.#victims
    this.#victims = []
    for (const tell of this.#gone.splice(0)) tell()
    if (this.#state === 'stopped') return
    const { signal, exitCode, hung, stderr } = exit
    // Somebody who kills a core from outside, or memory that ran out, says nothing about requests.
    const killed = !hung && (signal === 'SIGKILL' || signal === 'SIGTERM')
    if (!killed) this.#gate.blame(victims)
    const waitMs = this.#options.backoff.died(this.#options.nowMs())
    const fields = { core: this.number, signal, exitCode, hung, stderr, waitMs }
    this.#options.log('error', fields, 'core died')
    this.#restart = setTimeout(() => {
      this.#restart = null
      this.#state = 'starting'
      this.#process = this.#start()
    }, waitMs)
  }

  /** @returns whether the request is suspected of ending cores. */
  #check(request: CoreRequest<unknown>): boolean {
    const read = isRead(request.type)
    if (read) this.#gate.admit(request.background)
    if (this.#state !== 'running') throw this.#unavailable()
    if (!read) return false
    if (this.#draining) throw shuttingDown()
    return this.#gate.inspect(request)
  }

  #write(pending: Pending): void {
    const { request, isSuspect, onStarted } = pending
    const { writer } = this.#process.channel
    const id = this.#pending.add(pending)
    const { type, shard, deadlineMs, background } = request
    const announce = isSuspect || onStarted !== undefined
    const flags = (background ? FLAG_BACKGROUND : 0) | (announce ? FLAG_ANNOUNCE : 0)
    try {
      writer.begin({ type, id, flags, shard, deadlineMs })
      request.write(writer)
      writer.end()
    } catch (error) {
      writer.rollback()
      this.#pending.take(id)
      throw error
    }
    this.#gate.queued(this.#pending.size)
    this.#process.channel.flushSoon()
  }

  #command(type: typeof FRAME.stop | typeof FRAME.forget): void {
    const { channel } = this.#process
    channel.writer.begin({ type, id: 0, flags: 0, shard: 0, deadlineMs: Infinity })
    channel.writer.end()
    channel.flushSoon()
  }

  #receive(frame: Frame): void {
    switch (frame.type) {
      case FRAME.answer:
        this.#answered(frame)
        return
      case FRAME.failure:
        this.#failed(frame)
        return
      case FRAME.started: {
        const pending = this.#pending.get(frame.id)
        if (pending?.isSuspect === true) pending.started = true
        pending?.onStarted?.()
        return
      }
      case FRAME.progress:
        this.#pending.get(frame.id)?.request.onProgress?.(new BodyReader(frame.body).f64())
        return
      case FRAME.beat:
        this.#beaten(readJson(frame.body) as Beat)
        return
      case FRAME.fault: {
        const { shard, what, error } = readJson(frame.body) as Fault
        this.#options.log('error', { core: this.number, shard, what, error }, 'core has a fault')
        return
      }
      default:
        invariant(false, `frame type ${frame.type} comes from a core`)
    }
  }

  #take(frame: Frame): Pending | undefined {
    const pending = this.#pending.take(frame.id)
    this.#gate.queued(this.#pending.size)
    return pending
  }

  #answered(frame: Frame): void {
    const pending = this.#take(frame)
    if (pending === undefined) return
    try {
      pending.resolve(pending.request.read(frame.body))
    } catch (error) {
      this.#options.log(
        'error',
        { core: this.number, error: errorFields(error) },
        'answer is unreadable',
      )
      const text = 'The answer of the core cannot be read.'
      pending.reject(new VectordError('internal', text, { cause: error }))
    }
  }

  #failed(frame: Frame): void {
    const pending = this.#take(frame)
    if (pending === undefined) return
    const wire = readJson(frame.body) as WireError
    pending.reject(fromWireError(wire))
    if (wire.code !== 'internal') return
    this.#failures += 1
    const { core } = this.#options
    this.#options.log('error', { core, error: wire, type: pending.request.type }, 'request failed')
    if (isRead(pending.request.type) && this.#gate.failed(pending.request)) this.#rest()
  }

  #beaten(beat: Beat): void {
    this.#beat = beat
    for (const { shard, stats } of beat.shards) this.#statsListeners.get(shard)?.(stats)
  }

  /** The core was degraded: what waits in it is answered now. */
  #rest(): void {
    const { cooldownMs } = this.#gate
    this.#options.log('error', { core: this.number, cooldownMs }, 'core is degraded')
    if (this.#state === 'running') this.#command(FRAME.forget)
    const reads = this.#pending.takeWhere((request) => isRead(request.type))
    this.#gate.queued(this.#pending.size)
    for (const pending of reads) pending.reject(this.#gate.degraded(cooldownMs))
  }

  #rejectLate(): void {
    const lateMs = Date.now() - DEADLINE_GRACE_MS
    const late = this.#pending.takeWhere((request) => request.deadlineMs < lateMs)
    if (late.length === 0) return
    this.#gate.queued(this.#pending.size)
    for (const pending of late) {
      const text = 'The core did not answer before the deadline.'
      pending.reject(new VectordError('deadline_exceeded', text, { retryAfterS: 1 }))
    }
  }

  #unavailable(): VectordError {
    if (this.#state === 'stopped') return shuttingDown()
    return new VectordError('core_unavailable', 'The core of this index is being restarted.', {
      details: { core: this.number },
      retryAfterS: 1,
    })
  }
}

function shuttingDown(): VectordError {
  return new VectordError('shutting_down', 'The service is shutting down.', { retryAfterS: 5 })
}
