/**
 * Group commit: appends that come while a group is being written share the next one.
 *
 *     append append │ append append append │ append        one group at a time, in order
 *     └── written ──┘ └───── waiting ─────┘
 */

import { VectordError } from '../lib/errors.ts'
import { traced } from '../tracing/tracer.ts'
import { PAYLOAD_BYTES_MAX, RECORD_HEADER_BYTES } from './record.ts'

/** Payloads that may wait: past it the storage is far behind, and appends are refused. */
const WAITING_BYTES_MAX = 4 * PAYLOAD_BYTES_MAX

export interface GroupCommitOptions {
  /** Records with their headers; one larger record is a group of its own. */
  readonly groupBytesMax: number
  /** Makes the group durable. @returns the lsn of its first record; the others count up. */
  readonly write: (payloads: readonly Uint8Array[]) => Promise<number>
}

interface Waiting {
  readonly payload: Uint8Array
  readonly resolve: (lsn: number) => void
  readonly reject: (reason: unknown) => void
}

export class GroupCommit {
  readonly #options: GroupCommitOptions
  readonly #waiting: Waiting[] = []
  #waitingBytes = 0
  #running: Promise<void> | null = null
  #closed = false

  constructor(options: GroupCommitOptions) {
    this.#options = options
  }

  /** The caller must not change `payload` until this settles. */
  append(payload: Uint8Array): Promise<number> {
    const attributes = { 'vectord.bytes': payload.length }
    return traced({ name: 'log append', attributes }, () => this.#append(payload))
  }

  /** Waits for every append that was taken. */
  async close(): Promise<void> {
    this.#closed = true
    await this.#running
  }

  async #append(payload: Uint8Array): Promise<number> {
    if (this.#closed) throw new VectordError('storage_error', 'The log is closed.')
    if (payload.length > PAYLOAD_BYTES_MAX) {
      const message = `A record of ${payload.length} bytes is larger than ${PAYLOAD_BYTES_MAX}.`
      throw new VectordError('limit_exceeded', message, {
        details: { bytes: payload.length, bytes_max: PAYLOAD_BYTES_MAX },
      })
    }
    if (this.#waitingBytes + payload.length > WAITING_BYTES_MAX) {
      throw new VectordError('overloaded', 'Too many writes wait for the log.', { retryAfterS: 1 })
    }
    const { promise, resolve, reject } = Promise.withResolvers<number>()
    this.#waiting.push({ payload, resolve, reject })
    this.#waitingBytes += payload.length
    this.#running ??= this.#drain()
    return promise
  }

  async #drain(): Promise<void> {
    // Appends of the same tick join the first group.
    await Promise.resolve()
    while (this.#waiting.length > 0) {
      const group = this.#take()
      try {
        const firstLsn = await this.#options.write(group.map(({ payload }) => payload))
        for (const [index, { resolve }] of group.entries()) resolve(firstLsn + index)
      } catch (error) {
        for (const { reject } of group) reject(error)
      }
    }
    this.#running = null
  }

  #take(): Waiting[] {
    let bytes = 0
    let count = 0
    for (const { payload } of this.#waiting) {
      bytes += RECORD_HEADER_BYTES + payload.length
      if (count > 0 && bytes > this.#options.groupBytesMax) break
      count += 1
    }
    const group = this.#waiting.splice(0, count)
    for (const { payload } of group) this.#waitingBytes -= payload.length
    return group
  }
}
