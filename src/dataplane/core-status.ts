/**
 * What the front tells of its cores.
 */

import type { Pressure } from './backpressure.ts'

export type CoreState = 'starting' | 'running' | 'restarting' | 'stopped'

export interface CoreStatus {
  readonly core: number
  readonly pid: number | null
  /** `degraded`: it runs, and rests; see `cooldownMs`. */
  readonly state: CoreState | 'degraded'
  /** Requests that wait for an answer. */
  readonly queue: number
  readonly queueMax: number
  readonly pressure: Pressure
  /** Milliseconds until it takes reads again; 0 where it does. */
  readonly cooldownMs: number
  /** Times that the process ended unasked. */
  readonly deaths: number
  /** Requests that failed for a reason that was not theirs. */
  readonly failures: number
  readonly rssBytes: number
  /** Seconds of CPU since its process started. */
  readonly cpuS: number
  readonly shards: number
}

/** Takes events for the log: what happened, and the fields that say to whom. */
export type DataplaneLog = (
  level: 'info' | 'warn' | 'error',
  fields: Readonly<Record<string, unknown>>,
  message: string,
) => void
