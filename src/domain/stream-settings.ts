/**
 * How an index takes a stream of points: how many may wait, and when a batch of them is written.
 */

import { VectordError } from '../lib/errors.ts'

export interface StreamSettings {
  /** Points that may wait: those of requests, and those that are logged and not applied yet. */
  readonly bufferSize: number
  /** Points of one write; as soon as so many wait, they are written. */
  readonly batchSize: number
  /** Longest time that a point waits for others. */
  readonly flushIntervalMs: number
}

/** As stored objects and answers have it. A type, since an interface is no JSON object to TypeScript. */
export type StreamSettingsJson = Readonly<{
  buffer_size: number
  batch_size: number
  flush_interval_ms: number
}>

export const STREAM_DEFAULTS: StreamSettings = {
  bufferSize: 10_000,
  batchSize: 128,
  flushIntervalMs: 50,
}

export const STREAM_BOUNDS = {
  bufferSize: [1, 1_000_000],
  batchSize: [1, 10_000],
  flushIntervalMs: [1, 60_000],
} as const

/**
 * Settings after a change; what it leaves out stays as it was, or has its default.
 *
 * @throws {VectordError} `bad_request` where a batch would be larger than what may wait.
 */
export function changedStream(
  before: StreamSettings | null,
  change: Partial<StreamSettings>,
): StreamSettings {
  const settings = { ...(before ?? STREAM_DEFAULTS), ...change }
  if (settings.batchSize <= settings.bufferSize) return settings
  const problem = `must be at most stream.buffer_size, which is ${settings.bufferSize}`
  throw new VectordError('bad_request', `"stream.batch_size" in the body ${problem}.`, {
    details: { part: 'body', field: 'stream.batch_size', problem },
  })
}

export function isSameStream(a: StreamSettings, b: StreamSettings): boolean {
  const { bufferSize, batchSize, flushIntervalMs } = a
  return (
    bufferSize === b.bufferSize &&
    batchSize === b.batchSize &&
    flushIntervalMs === b.flushIntervalMs
  )
}

export function streamToJson(settings: StreamSettings): StreamSettingsJson {
  const { bufferSize, batchSize, flushIntervalMs } = settings
  return {
    buffer_size: bufferSize,
    batch_size: batchSize,
    flush_interval_ms: flushIntervalMs,
  }
}
