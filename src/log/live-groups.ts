/**
 * Which groups of an object log are there, and what is known of each.
 *
 *     3 (fence)   7 (fence)   9 (left over) │ 12  13  14  15        live: the last run without a gap
 *
 * Headers are read when they are needed and then remembered. Before the gap stand fences, which are
 * kept, and what a truncation has not deleted yet.
 */

import { hasCode } from '../lib/errors.ts'
import { lastLsnOf, type Group, type GroupObjects, type ListedGroup } from './group-objects.ts'
import { LOG_HEADER_BYTES, logCorrupt, type GroupHeader } from './log-header.ts'
import type { LogRecord } from './log-store.ts'

/** Fences that are kept: a writer that slept through so many takeovers is not stopped any more. */
const FENCES_KEPT = 256

/** Groups that a reader asks for ahead. */
const READ_AHEAD = 8

interface LiveGroup extends ListedGroup {
  header: GroupHeader | null
}

export class LiveGroups {
  readonly #objects: GroupObjects
  /** Ascending, without a gap. */
  #live: LiveGroup[]
  /** Ascending: before the live ones. */
  #before: ListedGroup[]
  readonly #readers = new Set<{ from: number }>()

  constructor(objects: GroupObjects, listed: readonly ListedGroup[]) {
    this.#objects = objects
    let start = listed.length - 1
    while (start > 0 && listed[start - 1]?.sequence === (listed[start]?.sequence ?? 0) - 1) {
      start -= 1
    }
    this.#live = listed.slice(Math.max(start, 0)).map((group) => ({ ...group, header: null }))
    this.#before = listed.slice(0, Math.max(start, 0))
  }

  get bytes(): number {
    return this.#live.reduce((sum, { bytes }) => sum + bytes, 0)
  }

  /** Adds the group that follows the last one; the last one itself is only remembered. */
  add(header: GroupHeader, bytes: number): void {
    const last = this.#live.at(-1)
    if (last?.sequence === header.sequence) last.header = header
    else this.#live.push({ sequence: header.sequence, bytes, header })
  }

  /** The header of the last group, null where there is none. */
  async last(): Promise<GroupHeader | null> {
    const last = this.#live.at(-1)
    return last === undefined ? null : this.#headerOf(last)
  }

  /** The lsn before the first record that is still there. */
  async base(): Promise<number> {
    const [first] = this.#live
    return first === undefined ? 0 : (await this.#headerOf(first)).previousLsn
  }

  /** The records after `afterLsn` of the groups that are there now. @throws `log_corrupt`. */
  async *read(afterLsn: number): AsyncGenerator<LogRecord> {
    const position = { from: 0 }
    this.#readers.add(position)
    try {
      const wanted = await this.#from(afterLsn)
      let before: GroupHeader | null = null
      for await (const { header, records } of this.#ahead(wanted)) {
        position.from = header.sequence
        this.#checkChain(before, header)
        before = header
        yield* records.filter(({ lsn }) => lsn > afterLsn)
      }
    } finally {
      this.#readers.delete(position)
    }
  }

  /**
   * Gives up the groups whose records are all up to `lsn`, except the last and what readers need.
   *
   * @returns the objects to delete, oldest first; `gone` tells when that is done.
   */
  async giveUp(lsn: number): Promise<ListedGroup[]> {
    const [start] = this.#live.length === 0 ? [] : await this.#from(lsn, 'any')
    const needed = Math.min(start?.sequence ?? 0, ...[...this.#readers].map(({ from }) => from))
    this.#before.push(...this.#live.filter(({ sequence }) => sequence < needed))
    this.#live = this.#live.filter(({ sequence }) => sequence >= needed)
    const fences = this.#before.filter(({ bytes }) => bytes === LOG_HEADER_BYTES)
    const kept = new Set(fences.slice(-FENCES_KEPT))
    return this.#before.filter((group) => !kept.has(group))
  }

  gone(groups: readonly ListedGroup[]): void {
    this.#before = this.#before.filter((group) => !groups.includes(group))
  }

  /** The sequence of the group where reading after `lsn` starts; null where there is none. */
  async startOf(lsn: number): Promise<number | null> {
    const [start] = await this.#from(lsn, 'any')
    return start?.sequence ?? null
  }

  /** Remembers no group whose records are known to be all up to `lsn`, except the last. */
  forget(lsn: number): void {
    const dead = this.#live.findLastIndex(
      ({ header }) => header !== null && lastLsnOf(header) <= lsn,
    )
    this.#live = this.#live.slice(Math.min(dead + 1, this.#live.length - 1))
    this.#before = []
  }

  /**
   * The live groups from the one that holds the record after `afterLsn` on.
   *
   * @param gap `any`: where that record is missing, all of them.
   */
  async #from(afterLsn: number, gap: 'none' | 'any' = 'none'): Promise<LiveGroup[]> {
    const live = [...this.#live]
    const [first] = live
    if (first === undefined) return []
    const base = (await this.#headerOf(first)).previousLsn
    if (base > afterLsn) {
      if (gap === 'any') return live
      const missing = `the records from lsn ${afterLsn + 1} to ${base} are not there`
      throw logCorrupt(this.#objects.key(first.sequence), 0, missing)
    }
    // The last group that starts at or before it; `previousLsn` never falls from one to the next.
    let low = 0
    let high = live.length - 1
    while (low < high) {
      const middle = Math.ceil((low + high) / 2)
      const group = live[middle] ?? first
      if ((await this.#headerOf(group)).previousLsn <= afterLsn) low = middle
      else high = middle - 1
    }
    return live.slice(low)
  }

  async *#ahead(groups: readonly LiveGroup[]): AsyncGenerator<Group> {
    const asked: Promise<Group>[] = []
    for (let next = 0; next < groups.length || asked.length > 0;) {
      const group = groups[next]
      if (group !== undefined && asked.length < READ_AHEAD) {
        const reading = this.#read(group)
        // Whoever waits for it gets the error; until then nobody does.
        reading.catch(() => undefined)
        asked.push(reading)
        next += 1
        continue
      }
      const first = asked.shift()
      if (first !== undefined) yield await first
    }
  }

  #checkChain(before: GroupHeader | null, header: GroupHeader): void {
    if (before === null || lastLsnOf(before) === header.previousLsn) return
    const problem = `it follows lsn ${header.previousLsn} and not ${lastLsnOf(before)}`
    throw logCorrupt(this.#objects.key(header.sequence), 0, problem)
  }

  async #headerOf(group: LiveGroup): Promise<GroupHeader> {
    return group.header ?? (await this.#read(group)).header
  }

  async #read(group: LiveGroup): Promise<Group> {
    try {
      const read = await this.#objects.read(group.sequence)
      // A bucket that ignores conditions may have let another writer replace it.
      if (group.header !== null && !isSame(group.header, read.header)) {
        throw logCorrupt(this.#objects.key(group.sequence), 0, 'it was replaced by another group')
      }
      group.header = read.header
      return read
    } catch (error) {
      if (hasCode(error, 'object_not_found')) throw this.#objects.missing(group.sequence, error)
      throw error
    }
  }
}

function isSame(one: GroupHeader, other: GroupHeader): boolean {
  return one.nonce === other.nonce && lastLsnOf(one) === lastLsnOf(other)
}
