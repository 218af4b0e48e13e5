/**
 * The group objects of a log in a bucket: keys, listing, reading with every check.
 *
 *     {prefix}00000000000000000007.group        header, then the records of one group
 *
 * Groups are numbered without gaps as they are written. What stands before a gap was given up.
 */

import type { ObjectStore } from '../buckets/object-store.ts'
import { hasCode, type VectordError } from '../lib/errors.ts'
import { decodeGroupHeader, LOG_HEADER_BYTES, logCorrupt, type GroupHeader } from './log-header.ts'
import type { LogRecord } from './log-store.ts'
import { readFrame } from './record.ts'

const SEQUENCE_DIGITS = 20
const GROUP = /^(\d{20})\.group$/

export interface Group {
  readonly header: GroupHeader
  readonly records: readonly LogRecord[]
}

export interface ListedGroup {
  readonly sequence: number
  readonly bytes: number
}

export class GroupObjects {
  readonly #store: ObjectStore
  readonly #prefix: string
  readonly #incarnation: string

  constructor(store: ObjectStore, prefix: string, incarnation: string) {
    this.#store = store
    this.#prefix = prefix
    this.#incarnation = incarnation
  }

  key(sequence: number): string {
    return `${this.#prefix}${this.nameOf(sequence)}`
  }

  nameOf(sequence: number): string {
    return `${String(sequence).padStart(SEQUENCE_DIGITS, '0')}.group`
  }

  /** Every group that is there, ascending. */
  async list(): Promise<ListedGroup[]> {
    const groups: ListedGroup[] = []
    for await (const { key, bytes } of this.#store.list(this.#prefix)) {
      const digits = GROUP.exec(key.slice(this.#prefix.length))?.[1]
      if (digits !== undefined) groups.push({ sequence: Number(digits), bytes })
    }
    return groups
  }

  /** True where a group stands anywhere after `sequence`. */
  async hasAfter(sequence: number): Promise<boolean> {
    for await (const { key } of this.#store.list(this.#prefix, {
      startAfter: this.key(sequence),
    })) {
      if (GROUP.test(key.slice(this.#prefix.length))) return true
    }
    return false
  }

  /**
   * Reads a group; a damaged one is read again first, the answer may have been damaged on the way.
   *
   * @throws {VectordError} `object_not_found`, `log_corrupt`, `format_too_new`.
   */
  async read(sequence: number): Promise<Group> {
    const key = this.key(sequence)
    try {
      return this.#decode(key, sequence, await this.#store.get(key))
    } catch (error) {
      if (!hasCode(error, 'log_corrupt')) throw error
      return this.#decode(key, sequence, await this.#store.get(key))
    }
  }

  /** @throws {VectordError} `object_exists`, or anything else for an outcome that is not known. */
  async write(sequence: number, body: Uint8Array): Promise<void> {
    await this.#store.putIfAbsent(this.key(sequence), body)
  }

  async delete(sequence: number): Promise<void> {
    await this.#store.delete(this.key(sequence))
  }

  missing(sequence: number, cause: unknown): VectordError {
    return logCorrupt(this.key(sequence), 0, 'the object is missing', cause)
  }

  #decode(key: string, sequence: number, object: Uint8Array): Group {
    const bytes = Buffer.from(object.buffer, object.byteOffset, object.byteLength)
    const header = decodeGroupHeader(key, bytes)
    if (header.incarnation !== this.#incarnation) {
      throw logCorrupt(key, 0, `it belongs to incarnation "${header.incarnation}" of the index`)
    }
    if (header.sequence !== sequence) throw logCorrupt(key, 0, 'its key and its sequence differ')
    if (bytes.length !== LOG_HEADER_BYTES + header.bodyBytes) {
      throw logCorrupt(key, bytes.length, `it has ${bytes.length} bytes`)
    }
    return { header, records: decodeRecords(key, header, bytes) }
  }
}

/** The lsn of the last record up to and with this group. */
export function lastLsnOf({ records, firstLsn, previousLsn }: GroupHeader): number {
  return records === 0 ? previousLsn : firstLsn + records - 1
}

function decodeRecords(key: string, header: GroupHeader, bytes: Buffer): LogRecord[] {
  const records: LogRecord[] = []
  let at = LOG_HEADER_BYTES
  while (at < bytes.length) {
    const frame = readFrame(bytes, at)
    if (frame.kind !== 'record') {
      throw logCorrupt(key, at, frame.kind === 'damaged' ? frame.problem : 'a record is not whole')
    }
    if (frame.lsn !== header.firstLsn + records.length) {
      throw logCorrupt(key, at, `lsn ${frame.lsn} is not the one that is due`)
    }
    records.push({ lsn: frame.lsn, payload: frame.payload })
    at = frame.end
  }
  if (records.length !== header.records) throw logCorrupt(key, at, 'records are missing')
  return records
}
