/**
 * What a core takes at the moment, and with which error the rest is refused.
 *
 * It joins the three reasons: the core keeps failing (`CoreWatchdog`), too much waits
 * (`Backpressure`), or this very request failed before (`Quarantine`). Writes that are logged
 * already, loads and checkpoints pass none of this: they are never refused for load.
 */

import { VectordError } from '../lib/errors.ts'
import { Backpressure, type Pressure } from './backpressure.ts'
import { fingerprintOf, type CoreRequest } from './core-request.ts'
import { CoreWatchdog, type WatchdogLimits } from './core-watchdog.ts'
import { Quarantine, STRIKES_MAX } from './quarantine.ts'

/** What a client of a core with a full queue should wait. */
const RETRY_AFTER_S = 1

export class CoreGate {
  readonly #core: number
  readonly #watchdog: CoreWatchdog
  readonly #backpressure: Backpressure
  readonly #quarantine: Quarantine
  readonly #nowMs: () => number

  constructor(options: {
    readonly core: number
    readonly queueMax: number
    readonly quarantine: Quarantine
    readonly watchdog: WatchdogLimits
    readonly nowMs: () => number
  }) {
    this.#watchdog = new CoreWatchdog(options.watchdog)
    this.#core = options.core
    this.#backpressure = new Backpressure(options.queueMax)
    this.#quarantine = options.quarantine
    this.#nowMs = options.nowMs
  }

  get pressure(): Pressure {
    return this.#backpressure.pressure
  }

  get cooldownMs(): number {
    return this.#watchdog.cooldownMs(this.#nowMs())
  }

  /** Takes note of how many requests wait. */
  queued(count: number): void {
    this.#backpressure.update(count)
  }

  /** @throws {VectordError} `core_degraded`, `core_suspended`; `overloaded` for background work. */
  admit(background: boolean): void {
    const cooldownMs = this.cooldownMs
    if (cooldownMs > 0) throw this.degraded(cooldownMs)
    const { pressure } = this.#backpressure
    if (pressure === 'suspended') {
      throw new VectordError('core_suspended', 'Too many requests wait for this core.', {
        details: { core: this.#core },
        retryAfterS: RETRY_AFTER_S,
      })
    }
    if (pressure === 'throttled' && background) {
      throw new VectordError('overloaded', 'The core has no time for background work now.', {
        details: { core: this.#core },
        retryAfterS: RETRY_AFTER_S,
      })
    }
  }

  /**
   * Whether the request is suspected of ending its core, and must be announced.
   *
   * @throws {VectordError} `request_quarantined`.
   */
  inspect(request: CoreRequest<unknown>): boolean {
    const nowMs = this.#nowMs()
    if (!this.#quarantine.isWatching(nowMs)) return false
    const strikes = this.#quarantine.strikes(fingerprintOf(request), nowMs)
    if (strikes < STRIKES_MAX) return strikes > 0
    throw new VectordError(
      'request_quarantined',
      'This request is refused: it failed inside its core, or ended it, more than once.',
      { details: { failures: strikes } },
    )
  }

  /** A request failed inside the core. @returns true where the core is degraded by it. */
  failed(request: CoreRequest<unknown>): boolean {
    const nowMs = this.#nowMs()
    this.#quarantine.recordFailure(fingerprintOf(request), nowMs)
    return this.#watchdog.recordFailure(nowMs)
  }

  /** The process ended unasked. @returns true where the core is degraded by it. */
  died(): boolean {
    return this.#watchdog.recordDeath(this.#nowMs())
  }

  /** These reads were in the process when it ended through a fault of its own. */
  blame(
    reads: readonly { readonly request: CoreRequest<unknown>; readonly started: boolean }[],
  ): void {
    const nowMs = this.#nowMs()
    const announced = reads.find((read) => read.started)
    if (announced !== undefined) {
      this.#quarantine.recordFailure(fingerprintOf(announced.request), nowMs)
      return
    }
    for (const { request } of reads) this.#quarantine.recordSuspicion(fingerprintOf(request), nowMs)
  }

  degraded(cooldownMs: number): VectordError {
    return new VectordError('core_degraded', 'The core of this index keeps failing and rests.', {
      details: { core: this.#core, cooldown_ms: Math.ceil(cooldownMs) },
      retryAfterS: cooldownMs / 1000,
    })
  }
}
