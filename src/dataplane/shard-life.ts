/**
 * The life of one shard on its core: loaded, served, lost with the core, loaded again.
 *
 *     loading ──checkpoint and log are in the core──▶ ready ──the core died──▶ loading
 *        ╰──▶ unavailable (its data or its code fails; tried again at a slow pace) ──▶ ready
 *
 * Records reach the core in lsn order and each exactly once: from the log while loading, from
 * `apply` when ready. The change to ready happens in the turn that saw that the log has no more.
 * A record that cannot be applied makes the shard unavailable: to go on would leave a hole.
 *
 * A shard whose loading ends the core (`isSuspect`) is loaded alone the next time, and the second
 * time that happens it is left out for a while: it must not take the shards beside it down for ever.
 */

import type { ShardStats } from '../domain/search.ts'
import type { ShardSpec } from '../domain/shard-spec.ts'
import { VectordError } from '../lib/errors.ts'
import { invariant } from '../lib/invariant.ts'
import type { Core } from './core.ts'
import type { OpenReply } from './core-messages.ts'
import type { CoreRequest } from './core-request.ts'
import type { DataplaneLog } from './core-status.ts'
import { errorFields } from './error-codec.ts'
import { FRAME } from './frame.ts'
import { readJson, writeApply, writeJson } from './shard-codec.ts'
import { openShare, replayToEnd } from './shard-load.ts'
import type { ShardSource } from './shard-source.ts'

export type ShardState = 'loading' | 'ready' | 'unavailable'

/** Deaths of the core while the shard was loading, after which it is left out. */
const LOAD_DEATHS_MAX = 2

/** The wait between attempts to load doubles up to this many times its start. */
const RETRY_FACTOR_MAX = 32

export interface ShardLifeOptions {
  readonly source: ShardSource
  readonly core: Core
  /** Live points that it will hold, as far as known. */
  readonly expectedPoints: number
  /** The wait after the first failed load. */
  readonly retryMs: number
  readonly log: DataplaneLog
  /** Asks for `load` to be called when the core has time for it. */
  requestLoad(life: ShardLife): void
}

export class ShardLife {
  readonly core: Core
  readonly #options: ShardLifeOptions
  readonly #listeners = new Set<() => void>()
  #state: ShardState = 'loading'
  #progress = 0
  #error: VectordError | null = null
  #stats: ShardStats | null = null
  #name = ''
  /** Under which the core knows the shard; 0 while it does not. */
  #number = 0
  /** Told from each other so that what belongs to an earlier attempt is recognised. */
  #attempt = 0
  #isLoading = false
  #loadDeaths = 0
  #failedLoads = 0
  #retry: NodeJS.Timeout | null = null
  #sentLsn = 0
  #lastApply: Promise<void> = Promise.resolve()
  #detached = false

  constructor(options: ShardLifeOptions) {
    this.#options = options
    this.core = options.core
  }

  get state(): ShardState {
    return this.#state
  }

  /** How much of the load is done, from 0 to 1; 1 when ready. */
  get progress(): number {
    return this.#progress
  }

  /** What the last load failed with; null once it is ready. */
  get error(): VectordError | null {
    return this.#error
  }

  /** As of at most a quarter of a second ago; null while it is not ready. */
  get lastStats(): ShardStats | null {
    return this.#state === 'ready' ? this.#stats : null
  }

  /** Takes statistics that came with an answer, newer than those of the last beat. */
  noteStats(stats: ShardStats): void {
    if (this.#state === 'ready') this.#stats = stats
  }

  /** Live points as far as known: what it weighs when shards are placed. */
  get weight(): number {
    return this.#stats?.livePoints ?? this.#options.expectedPoints
  }

  get isSuspect(): boolean {
    return this.#loadDeaths > 0
  }

  /** It ended the core too often, and waits for its next chance. */
  get isLeftOut(): boolean {
    return this.#loadDeaths >= LOAD_DEATHS_MAX && this.#retry !== null
  }

  onStateChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Brings the shard into its core. Never rejects: `state` and `error` tell how it went. */
  async load(): Promise<void> {
    if (this.#detached || this.#isLoading || this.#state === 'ready') return
    if (!this.core.isRunning) return
    this.#clearRetry()
    const attempt = this.#begin()
    try {
      await this.#loadAs(attempt)
    } catch (error) {
      if (attempt === this.#attempt) this.#fail(error)
    }
  }

  /** The core died, and with it what it held. */
  down(): void {
    if (this.#detached) return
    if (this.#isLoading && this.#number !== 0) this.#loadDeaths += 1
    this.#attempt += 1
    this.#isLoading = false
    this.#number = 0
    if (this.#loadDeaths < LOAD_DEATHS_MAX) {
      if (this.#state === 'ready') this.#become('loading')
      return
    }
    if (this.#retry !== null) return
    const text = 'The core died more than once while it loaded this shard.'
    this.#unavailable(new VectordError('core_unavailable', text, { retryAfterS: 30 }))
  }

  /**
   * Applies a record of the log; resolves when it is searchable. Calls come in lsn order.
   *
   * @throws {VectordError} `core_unavailable` where the shard is not ready: it will find the record
   *   in the log.
   */
  async apply(lsn: number, payload: Uint8Array): Promise<void> {
    if (this.#state !== 'ready') {
      throw new VectordError('core_unavailable', 'The shard is loading and will find the write.', {
        retryAfterS: 1,
      })
    }
    // The load has seen it in the log already.
    if (lsn <= this.#sentLsn) return this.#lastApply
    const attempt = this.#attempt
    const applied = this.#send(lsn, payload)
    this.#lastApply = applied
    applied.catch((error: unknown) => {
      if (attempt === this.#attempt) this.#fail(error)
    })
    return applied
  }

  /** What every request to the shard has in common. @throws where the shard is not ready. */
  address(): Pick<CoreRequest<unknown>, 'shard' | 'subject'> {
    if (this.#state !== 'ready') throw this.#notReady()
    return { shard: this.#number, subject: this.#name }
  }

  /** Takes the shard out of its core, after the requests that were sent before. Idempotent. */
  async detach(): Promise<void> {
    if (this.#detached) return
    this.#detached = true
    this.#clearRetry()
    this.#attempt += 1
    const text = 'The shard was taken out of service.'
    this.#error = new VectordError('index_unavailable', text)
    this.#become('unavailable')
    await this.#closeInCore()
    this.#listeners.clear()
  }

  #begin(): number {
    this.#attempt += 1
    this.#isLoading = true
    this.#progress = 0
    // A shard that failed stays unavailable until it is ready, so that its error can be read.
    if (this.#state !== 'unavailable') this.#become('loading')
    return this.#attempt
  }

  async #loadAs(attempt: number): Promise<void> {
    const isCurrent = (): boolean => attempt === this.#attempt
    const { source } = this.#options
    const spec = await source.spec()
    if (!isCurrent()) return
    let applied = await this.#open(spec)
    const load = {
      source,
      isCurrent,
      apply: (lsn: number, payload: Uint8Array) => this.#send(lsn, payload),
      onProgress: (fraction: number) => {
        if (isCurrent()) this.#progress = fraction
      },
    }
    // Whenever an await lies between, the log may have grown: ask again, and flip in that turn.
    do applied = await replayToEnd(load, applied)
    while (isCurrent() && applied < source.lastLsn())
    if (isCurrent()) this.#ready()
  }

  /** @returns the lsn that the checkpoint holds. */
  async #open(spec: ShardSpec): Promise<number> {
    this.#name = `${spec.index}/${spec.incarnation}/${spec.shard}`
    const attempt = this.#attempt
    const number = this.core.claimShard((stats) => {
      if (number === this.#number) this.#stats = stats
    })
    this.#number = number
    const { stats, notices } = await this.core.send<OpenReply>({
      type: FRAME.open,
      shard: number,
      subject: this.#name,
      background: false,
      deadlineMs: Infinity,
      write: (writer) => writeJson(writer, { spec }),
      read: (body) => readJson(body) as OpenReply,
      onProgress: (fraction) => {
        if (attempt === this.#attempt) this.#progress = openShare(fraction)
      },
    })
    for (const notice of notices) {
      this.#options.log('warn', { shard: this.#name, notice }, 'shard rebuilds what was damaged')
    }
    this.#stats = stats
    this.#sentLsn = stats.appliedLsn
    return stats.appliedLsn
  }

  #send(lsn: number, payload: Uint8Array): Promise<void> {
    invariant(lsn > this.#sentLsn, 'records are sent in lsn order')
    this.#sentLsn = lsn
    return this.core.send({
      type: FRAME.apply,
      shard: this.#number,
      subject: this.#name,
      background: false,
      deadlineMs: Infinity,
      write: (writer) => writeApply(writer, { lsn, payload }),
      read: () => undefined,
    })
  }

  #ready(): void {
    this.#isLoading = false
    this.#loadDeaths = 0
    this.#failedLoads = 0
    this.#progress = 1
    this.#error = null
    this.#lastApply = Promise.resolve()
    this.#become('ready')
  }

  #fail(cause: unknown): void {
    this.#attempt += 1
    this.#isLoading = false
    const error =
      cause instanceof VectordError
        ? cause
        : new VectordError('internal', 'The shard could not be loaded.', { cause })
    this.#closeInCore().catch((closeError: unknown) => {
      const fields = { shard: this.#name, error: errorFields(closeError) }
      this.#options.log('warn', fields, 'shard was not closed')
    })
    this.#unavailable(error)
  }

  #unavailable(error: VectordError): void {
    this.#error = error
    const factor = Math.min(RETRY_FACTOR_MAX, 2 ** this.#failedLoads)
    this.#failedLoads += 1
    const waitMs = this.#options.retryMs * factor
    const fields = { shard: this.#name, error: errorFields(error), waitMs }
    this.#options.log('error', fields, 'shard is unavailable')
    this.#clearRetry()
    this.#retry = setTimeout(() => {
      this.#retry = null
      this.#options.requestLoad(this)
    }, waitMs)
    this.#retry.unref()
    this.#become('unavailable')
  }

  async #closeInCore(): Promise<void> {
    const number = this.#number
    this.#number = 0
    if (number === 0 || !this.core.isRunning) return
    try {
      await this.core.send({
        type: FRAME.close,
        shard: number,
        subject: this.#name,
        background: false,
        deadlineMs: Infinity,
        write: () => undefined,
        read: () => undefined,
      })
    } finally {
      this.core.releaseShard(number)
    }
  }

  #become(state: ShardState): void {
    if (this.#state === state) return
    this.#state = state
    for (const listener of [...this.#listeners]) listener()
  }

  #clearRetry(): void {
    if (this.#retry !== null) clearTimeout(this.#retry)
    this.#retry = null
  }

  #notReady(): VectordError {
    const shard = this.#name
    if (this.#state === 'loading') {
      const progress = Math.round(this.#progress * 100) / 100
      return new VectordError('index_loading', 'The index is loading.', {
        details: { shard, progress },
        retryAfterS: 1,
      })
    }
    const reason = this.#error?.code ?? 'internal'
    return new VectordError('index_unavailable', 'The index cannot be loaded.', {
      details: { shard, reason },
      retryAfterS: Math.ceil(this.#options.retryMs / 1000),
      ...(this.#error === null ? {} : { cause: this.#error }),
    })
  }
}
