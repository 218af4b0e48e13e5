/**
 * Which queries are run again exactly, to measure recall, so that this takes its share of the CPU.
 *
 *     p = min(rateMax, share of the CPU time that passed / (cost of a sample × requests in it))
 *
 * A query is taken if its place (`canaryShare`) lies below p: by the hash of its id, never by its
 * answer or its latency, or slow queries would count more. The account is the limit where p lags
 * behind: bursts, and costs that jump. It fills at the share, holds a minute of it, and a sample is
 * taken only while it is above zero.
 *
 * Time is watched time (`steady-time.ts`). Pure: time is an argument.
 */

import { canaryShare } from './request-share.ts'
import type { SteadyTime } from './steady-time.ts'
import { advance, steadyFrom } from './steady-time.ts'

export interface SamplerSettings {
  /** Of one CPU core. */
  readonly cpuShare: number
  /** Largest share of the requests that are sampled. */
  readonly rateMax: number
  readonly seed: number
}

export const SAMPLER_DEFAULTS: SamplerSettings = { cpuShare: 0.02, rateMax: 0.01, seed: 0x5eed }

export interface TakenSample {
  /** Charged by the estimate at once: samples that still run cost too. */
  readonly chargedMs: number
}

const ACCOUNT_MS = 60_000
const STEP_MAX_MS = 60_000
/** How often the rate of requests is looked at. */
const RATE_WINDOW_MS = 10_000
/** Weight of what was just measured in the cost and in the rate. */
const MEMORY = 0.2

export class Sampler {
  readonly #settings: SamplerSettings
  #time: SteadyTime
  /** CPU milliseconds. */
  #account: number
  #costMs: number
  /** Requests a millisecond; null until a first window has passed. */
  #requestRate: number | null = null
  #requests = 0
  #windowFromMs = 0

  /** @param costGuessMs CPU milliseconds of a sample until one was measured; above 0. */
  constructor(settings: SamplerSettings, costGuessMs: number, nowMs: number) {
    this.#settings = settings
    this.#costMs = costGuessMs
    this.#time = steadyFrom(nowMs)
    this.#account = 0
  }

  /** To be asked once for each request; null: not this one. */
  take(requestId: string, nowMs: number): TakenSample | null {
    this.#pass(nowMs)
    this.#requests += 1
    if (this.#account <= 0) return null
    if (canaryShare(requestId, this.#settings.seed) >= this.rate()) return null
    this.#account -= this.#costMs
    return { chargedMs: this.#costMs }
  }

  /** To be called with what the sample cost in the end; one that failed stays charged. */
  took(sample: TakenSample, cpuMs: number): void {
    if (!Number.isFinite(cpuMs) || cpuMs <= 0) return
    this.#account -= cpuMs - sample.chargedMs
    this.#costMs = (1 - MEMORY) * this.#costMs + MEMORY * cpuMs
  }

  /** The share of requests that is sampled now. */
  rate(): number {
    const { cpuShare, rateMax } = this.#settings
    if (this.#requestRate === null || this.#requestRate <= 0) return rateMax
    return Math.min(rateMax, cpuShare / (this.#costMs * this.#requestRate))
  }

  #pass(nowMs: number): void {
    const before = this.#time.elapsedMs
    this.#time = advance(this.#time, nowMs, STEP_MAX_MS)
    const passedMs = this.#time.elapsedMs - before
    const { cpuShare } = this.#settings
    this.#account = Math.min(cpuShare * ACCOUNT_MS, this.#account + passedMs * cpuShare)
    const windowMs = this.#time.elapsedMs - this.#windowFromMs
    if (windowMs < RATE_WINDOW_MS) return
    const rate = this.#requests / windowMs
    this.#requestRate =
      this.#requestRate === null ? rate : (1 - MEMORY) * this.#requestRate + MEMORY * rate
    this.#requests = 0
    this.#windowFromMs = this.#time.elapsedMs
  }
}
