/**
 * The log of an index in an object store: one object for each group, numbered, put if absent.
 *
 *     7 fence (epoch 3)   8 records   9 records   10 fence (epoch 4)   11 records …
 *
 * Opening puts a *fence*, a group without records under a higher epoch. An older writer would put
 * its next group on that number, finds it taken and is fenced for ever; so fences are kept when the
 * groups around them are given up. When the outcome of a put is not known, the same number is tried
 * again until it is: whatever stands there then is what counts, and a late arrival finds the number
 * taken. lsn of a group that failed are not used again.
 */

import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ObjectStore } from '../buckets/object-store.ts'
import { hasCode, VectordError } from '../lib/errors.ts'
import { KeyedMutex } from '../lib/keyed-mutex.ts'
import { GroupCommit } from './group-commit.ts'
import { GroupObjects, lastLsnOf } from './group-objects.ts'
import { encodeGroupHeader, LOG_HEADER_BYTES, type GroupHeader } from './log-header.ts'
import type { LogRecord, LogStore } from './log-store.ts'
import { LiveGroups } from './live-groups.ts'
import { encodeFrames } from './record.ts'

const GROUP_BYTES_MAX = 8 * 1024 * 1024

/** Waits between tries of a put whose outcome is not known; then the append is refused. */
const RETRY_WAITS_MS = [100, 400, 1600]

/** Groups of older writers that may stand where a new writer puts its fence. */
const FENCE_TRIES_MAX = 1000

/** Deletions that run side by side. */
const DELETES_MAX = 8

export interface ObjectLogOptions {
  readonly store: ObjectStore
  /** Ends with a slash. Nothing else may be under it. */
  readonly prefix: string
  /** Of the index: groups of an earlier index of the same name are refused. */
  readonly incarnation: string
  /** The id of this server, for people. */
  readonly owner: string
  /** Larger than that of every earlier writer. */
  readonly epoch: number
  readonly groupBytesMax?: number
  readonly retryWaitsMs?: readonly number[]
  /** A log that has nothing yet begins after this lsn, durably; one that has anything goes on. */
  readonly baseLsn?: number
}

/**
 * Takes the log over: no earlier writer can append from now on.
 *
 * @throws {VectordError} `log_fenced` where a writer of this or a later epoch has been here;
 *   `log_corrupt`, `format_too_new`, and what the bucket throws.
 */
export async function openObjectLog(options: ObjectLogOptions): Promise<LogStore> {
  const { store, prefix, incarnation } = options
  const objects = new GroupObjects(store, prefix, incarnation)
  const log = new ObjectLog(options, objects, new LiveGroups(objects, await objects.list()))
  await log.takeOver()
  return log
}

class ObjectLog implements LogStore {
  readonly #options: Required<ObjectLogOptions>
  readonly #objects: GroupObjects
  readonly #live: LiveGroups
  /** Tells the groups of this writer from those of any other. */
  readonly #nonce = randomUUID()
  readonly #commits: GroupCommit
  readonly #turns = new KeyedMutex()
  #nextSequence = 1
  #nextLsn = 1
  #lastLsn = 0
  #fenced: VectordError | null = null

  constructor(options: ObjectLogOptions, objects: GroupObjects, live: LiveGroups) {
    this.#options = {
      groupBytesMax: GROUP_BYTES_MAX,
      retryWaitsMs: RETRY_WAITS_MS,
      baseLsn: 0,
      ...options,
    }
    this.#objects = objects
    this.#live = live
    this.#commits = new GroupCommit({
      groupBytesMax: this.#options.groupBytesMax,
      write: (payloads) => this.#write(payloads),
    })
  }

  get lastLsn(): number {
    return this.#lastLsn
  }

  get bytes(): number {
    return this.#live.bytes
  }

  /** Goes to the end of the log and puts the fence there. */
  async takeOver(): Promise<void> {
    const last = await this.#live.last()
    if (last !== null) this.#adopt(last)
    else this.#beginAfter(this.#options.baseLsn)
    for (let tries = 0; tries < FENCE_TRIES_MAX; tries += 1) {
      const fence = this.#header(this.#lastLsn + 1, [])
      const stored = await this.#put(fence, [])
      this.#adopt(stored)
      if (stored.nonce === this.#nonce) return
    }
    throw new VectordError('not_owner', 'Another server goes on writing the log.', {
      details: { owner: this.#options.owner },
      retryAfterS: 5,
    })
  }

  append(payload: Uint8Array): Promise<number> {
    return this.#commits.append(payload)
  }

  read(afterLsn: number): AsyncGenerator<LogRecord> {
    return this.#live.read(afterLsn)
  }

  truncate(lsn: number, onDeleted: (bytes: number) => void = () => undefined): Promise<void> {
    return this.#turns.run('', async () => {
      const doomed = await this.#live.giveUp(lsn)
      for (let at = 0; at < doomed.length; at += DELETES_MAX) {
        const some = doomed.slice(at, at + DELETES_MAX)
        await Promise.all(some.map(({ sequence }) => this.#objects.delete(sequence)))
        this.#live.gone(some)
        for (const { bytes } of some) onDeleted(bytes)
      }
    })
  }

  async startOf(lsn: number): Promise<string | null> {
    const sequence = await this.#live.startOf(lsn)
    return sequence === null ? null : this.#objects.nameOf(sequence)
  }

  async verify(): Promise<{ readonly records: number; readonly bytes: number }> {
    let records = 0
    const bytes = this.bytes
    for await (const _record of this.#live.read(await this.#live.base())) records += 1
    return { records, bytes }
  }

  async close(): Promise<void> {
    await this.#commits.close()
    await this.#turns.run('', () => Promise.resolve())
  }

  /** The first fence says it: without a record its last lsn is the one before it. */
  #beginAfter(lsn: number): void {
    this.#lastLsn = lsn
    this.#nextLsn = lsn + 1
  }

  async #write(payloads: readonly Uint8Array[]): Promise<number> {
    const firstLsn = this.#nextLsn
    this.#nextLsn += payloads.length
    for (;;) {
      if (this.#fenced !== null) throw this.#fenced
      const header = this.#header(firstLsn, payloads)
      const stored = await this.#put(header, payloads)
      if (stored.nonce !== this.#nonce) this.#fenced = this.#fencedBy(stored)
      else this.#adopt(stored)
      // An earlier group of ours may have arrived after all; then this one takes the next number.
      if (stored.nonce === this.#nonce && stored.firstLsn === firstLsn) return firstLsn
    }
  }

  #header(firstLsn: number, payloads: readonly Uint8Array[]): Omit<GroupHeader, 'bodyBytes'> {
    const { incarnation, epoch, owner } = this.#options
    return {
      ...{ incarnation, epoch, owner, firstLsn },
      previousLsn: this.#lastLsn,
      sequence: this.#nextSequence,
      nonce: this.#nonce,
      records: payloads.length,
    }
  }

  /** Puts a group on its number. @returns what stands there in the end. */
  async #put(
    header: Omit<GroupHeader, 'bodyBytes'>,
    payloads: readonly Uint8Array[],
  ): Promise<GroupHeader> {
    const frames = encodeFrames(header.firstLsn, payloads)
    const whole = { ...header, bodyBytes: frames.length }
    const body = Buffer.concat([encodeGroupHeader(whole), frames])
    for (const waitMs of [...this.#options.retryWaitsMs, null]) {
      try {
        return await this.#putOnce(whole, body)
      } catch (error) {
        if (waitMs === null || !hasCode(error, 'bucket_unreachable')) throw error
        await sleep(waitMs)
      }
    }
    return whole
  }

  async #putOnce(header: GroupHeader, body: Uint8Array): Promise<GroupHeader> {
    try {
      await this.#objects.write(header.sequence, body)
      return header
    } catch (error) {
      if (!hasCode(error, 'object_exists')) throw error
      return (await this.#readBack(header.sequence)).header
    }
  }

  async #readBack(sequence: number): ReturnType<GroupObjects['read']> {
    try {
      return await this.#objects.read(sequence)
    } catch (error) {
      if (!hasCode(error, 'object_not_found')) throw error
      // We delete no group that we have not written: another writer did, and gave it up since.
      this.#fenced = this.#fencedBy(null)
      throw this.#fenced
    }
  }

  /** Goes on after a group that stands at the end of the log. */
  #adopt(group: GroupHeader): void {
    const { epoch } = this.#options
    if (group.nonce !== this.#nonce && group.epoch >= epoch) throw this.#fencedBy(group)
    this.#lastLsn = lastLsnOf(group)
    this.#nextLsn = Math.max(this.#nextLsn, this.#lastLsn + 1)
    this.#nextSequence = group.sequence + 1
    this.#live.add(group, LOG_HEADER_BYTES + group.bodyBytes)
  }

  #fencedBy(group: GroupHeader | null): VectordError {
    const owner = group?.owner ?? 'another server'
    return new VectordError('log_fenced', `The log is now written by "${owner}".`, {
      details: { owner, epoch: group?.epoch ?? null },
      retryAfterS: 5,
    })
  }
}
