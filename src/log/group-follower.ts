/**
 * Reads an object log that another server writes: every record in order, each once.
 *
 *     gone │ 12  13  14 │ 15  16  …        12 to 14: known, may be read again     15: asked for next
 *          ╰▶ the owner gives up groups from this end
 *
 * A group that is not there is either not written yet or given up already. The last group of a log
 * is never given up, so a list tells which: where a later one stands, the group went, and what it
 * held is in a checkpoint only (`object_not_found`: whoever follows must load that).
 * Nothing is written here, and no damaged or foreign group is gone past.
 */

import type { ObjectStore } from '../buckets/object-store.ts'
import { hasCode, VectordError } from '../lib/errors.ts'
import { invariant } from '../lib/invariant.ts'
import { GroupObjects, lastLsnOf, type Group } from './group-objects.ts'
import { LiveGroups } from './live-groups.ts'
import { LOG_HEADER_BYTES, logCorrupt, type GroupHeader } from './log-header.ts'
import type { LogRecord } from './log-store.ts'

/** A list costs ten times a read: so often the next group is only asked for before it is listed. */
const MISSES_PER_LIST = 10

export interface GroupFollowerOptions {
  readonly store: ObjectStore
  /** Ends with a slash. */
  readonly prefix: string
  readonly incarnation: string
  readonly missesPerList?: number
}

export class GroupFollower {
  readonly #objects: GroupObjects
  readonly #live: LiveGroups
  readonly #missesPerList: number
  /** The last group that was seen. */
  #last: GroupHeader
  /** Of `#last`, and how many of them were taken. */
  #records: readonly LogRecord[] = []
  #taken = 0
  #lastLsn: number
  #misses = 0

  private constructor(options: GroupFollowerOptions, groups: Groups) {
    this.#missesPerList = options.missesPerList ?? MISSES_PER_LIST
    this.#objects = groups.objects
    this.#live = groups.live
    this.#last = groups.last
    this.#lastLsn = lastLsnOf(groups.last)
  }

  /**
   * Starts at the end that the log has now; `read` leads there. Null where it has no group yet.
   *
   * @throws {VectordError} `object_not_found` where the end moved on meanwhile; `log_corrupt`,
   *   `format_too_new`, and what the bucket throws.
   */
  static async open(options: GroupFollowerOptions): Promise<GroupFollower | null> {
    const { store, prefix, incarnation } = options
    const objects = new GroupObjects(store, prefix, incarnation)
    const live = new LiveGroups(objects, await objects.list())
    const last = await live.last().catch(asGone)
    return last === null ? null : new GroupFollower(options, { objects, live, last })
  }

  /** The lsn of the last record that was taken or lay before the start. */
  get lastLsn(): number {
    return this.#lastLsn
  }

  /** Bytes of the groups that are known. */
  get bytes(): number {
    return this.#live.bytes
  }

  /** The lsn before the first record that is known. @throws as `open`. */
  base(): Promise<number> {
    return this.#live.base().catch(asGone)
  }

  /**
   * The record after the last one that was taken, or null where there is none now. It stays the
   * next one until it is taken. Calls do not overlap.
   *
   * @throws {VectordError} `object_not_found` where its group was given up; `log_corrupt` where the
   *   group is damaged or does not follow the one before. The same again at the next call.
   */
  async peek(): Promise<LogRecord | null> {
    for (;;) {
      const next = this.#records[this.#taken]
      if (next !== undefined) return next
      const group = await this.#nextGroup()
      if (group === null) return null
      this.#adopt(group)
    }
  }

  /** Goes on after the record that `peek` answered. */
  take(): void {
    const record = this.#records[this.#taken]
    invariant(record !== undefined, 'a record is taken after it was seen')
    this.#lastLsn = record.lsn
    this.#taken += 1
  }

  /** The records after `afterLsn` that are known, also those that were not taken. @throws as `peek`. */
  async *read(afterLsn: number): AsyncGenerator<LogRecord> {
    try {
      yield* this.#live.read(afterLsn)
    } catch (error) {
      asGone(error)
    }
  }

  /** Does not remember groups up to `lsn` any longer: the owner may have given them up. */
  forget(lsn: number): void {
    this.#live.forget(lsn)
  }

  async #nextGroup(): Promise<Group | null> {
    const sequence = this.#last.sequence + 1
    const group = await this.#get(sequence)
    if (group !== null) return group
    this.#misses += 1
    if (this.#misses % this.#missesPerList !== 0) return null
    if (!(await this.#objects.hasAfter(sequence))) return null
    // Both may have come since it was asked for.
    const again = await this.#get(sequence)
    if (again !== null) return again
    throw gone(this.#objects.key(sequence))
  }

  #adopt(group: Group): void {
    const { header, records } = group
    const { epoch } = this.#last
    const key = this.#objects.key(header.sequence)
    if (header.previousLsn !== lastLsnOf(this.#last)) {
      const problem = `it follows lsn ${header.previousLsn} and not ${lastLsnOf(this.#last)}`
      throw logCorrupt(key, 0, problem)
    }
    if (header.epoch < epoch) {
      throw logCorrupt(key, 0, `its epoch ${header.epoch} is before epoch ${epoch}`)
    }
    this.#live.add(header, LOG_HEADER_BYTES + header.bodyBytes)
    this.#last = header
    this.#records = records
    this.#taken = 0
  }

  async #get(sequence: number): Promise<Group | null> {
    try {
      return await this.#objects.read(sequence)
    } catch (error) {
      if (hasCode(error, 'object_not_found')) return null
      throw error
    }
  }
}

interface Groups {
  readonly objects: GroupObjects
  readonly live: LiveGroups
  readonly last: GroupHeader
}

/** To a log's owner a missing group is damage; beneath a follower it may have been given up. */
function asGone(error: unknown): never {
  if (hasCode(error, 'log_corrupt') && hasCode(error.cause, 'object_not_found')) {
    const { file } = error.details
    throw gone(typeof file === 'string' ? file : '', error)
  }
  throw error
}

function gone(key: string, cause?: unknown): VectordError {
  return new VectordError('object_not_found', `The log group "${key}" is not there any more.`, {
    details: { key },
    cause,
  })
}
