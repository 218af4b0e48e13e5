/**
 * The log of an index that several servers may share, in either role.
 *
 *     following (reads what the owner writes) ──own──▶ owned (appends)
 *
 * The change happens in one turn, when everything that was read has been handed on: whoever reads
 * through this log, such as a shard that loads, goes on without noticing. There is no way back: a
 * log that was lost is closed, and opened anew to follow.
 */

import type { GroupFollower } from '../log/group-follower.ts'
import type { LogRecord, LogStore } from '../log/log-store.ts'
import { VectordError } from '../lib/errors.ts'
import type { IndexRole } from './index-api.ts'
import { notOwner } from './index-owner.ts'

export type LogSide =
  | { readonly role: 'owner'; readonly log: LogStore }
  | { readonly role: 'follower'; readonly log: GroupFollower }

export class SharedLog implements LogStore {
  readonly #index: string
  #side: LogSide
  #closed = false

  constructor(index: string, side: LogSide) {
    this.#index = index
    this.#side = side
  }

  get role(): IndexRole {
    return this.#side.role
  }

  get lastLsn(): number {
    return this.#side.log.lastLsn
  }

  get bytes(): number {
    return this.#side.log.bytes
  }

  /** Goes on as the owner. @throws {VectordError} `shutting_down` where it was closed meanwhile. */
  own(log: LogStore): void {
    if (this.#closed) throw new VectordError('shutting_down', 'The log was closed.')
    this.#side = { role: 'owner', log }
  }

  async append(payload: Uint8Array): Promise<number> {
    return this.#owned().append(payload)
  }

  read(afterLsn: number): AsyncIterable<LogRecord> {
    return this.#side.log.read(afterLsn)
  }

  async truncate(lsn: number, onDeleted?: (bytes: number) => void): Promise<void> {
    await this.#owned().truncate(lsn, onDeleted)
  }

  async startOf(lsn: number): Promise<string | null> {
    return this.#side.role === 'owner' ? this.#side.log.startOf(lsn) : null
  }

  async verify(): Promise<{ readonly records: number; readonly bytes: number }> {
    return this.#owned().verify()
  }

  async close(): Promise<void> {
    this.#closed = true
    if (this.#side.role === 'owner') await this.#side.log.close()
  }

  #owned(): LogStore {
    if (this.#side.role === 'owner') return this.#side.log
    throw notOwner(this.#index, null)
  }
}
