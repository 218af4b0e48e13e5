/**
 * The log of an index in a local bucket: records in segment files, synced a group at a time.
 *
 *     00000000000000000001.log  00000000000000004096.log  00000000000000009001.log ◀─ appended to
 *
 * A segment is named by its first lsn and says in its header which lsn was the last before it, so a
 * missing segment is noticed and an empty log still knows its last lsn. Within a segment lsn are
 * consecutive. When a write or a sync fails, the file is cut back to what is durable and sealed, and
 * the next append starts a new segment; the numbers of the failed group are never used again. While
 * even that fails, nothing is appended.
 */

import * as fs from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { makeFolders, syncFolder } from '../buckets/local-files.ts'
import { hasErrno } from '../buckets/errno.ts'
import { KeyedMutex } from '../lib/keyed-mutex.ts'
import { GroupCommit } from './group-commit.ts'
import { LOG_HEADER_BYTES, logCorrupt, type ChainLink } from './log-header.ts'
import type { LogRecord, LogStore } from './log-store.ts'
import { encodeFrames } from './record.ts'
import {
  closeQuietly,
  createSegment,
  cutBack,
  fileFault,
  listSegments,
  readSegmentHeader,
  segmentName,
  sweepTemporary,
  writeAll,
  type LogFiles,
} from './segment-files.ts'
import { SegmentReader } from './segment-reader.ts'

const MIB = 1024 * 1024
const SEGMENT_BYTES_MAX = 64 * MIB
const GROUP_BYTES_MAX = 8 * MIB

export interface SegmentLogOptions {
  /** Made where it is missing. Nothing else may be in it. */
  readonly folder: string
  /** Of the index: segments of an earlier index of the same name are refused. */
  readonly incarnation: string
  /** A new segment is started before a group would make one longer. */
  readonly segmentBytesMax?: number
  readonly groupBytesMax?: number
  readonly files?: LogFiles
  /** A log that has nothing yet begins after this lsn, durably; one that has anything goes on. */
  readonly baseLsn?: number
}

type OnDeleted = (bytes: number) => void

interface Segment extends ChainLink {
  readonly path: string
  /** Up to here the file is durable. */
  bytes: number
  lastLsn: number
}

/**
 * Opens the log, dropping a torn tail that a crash left.
 *
 * @throws {VectordError} `log_corrupt`, `format_too_new`, `storage_error`, `storage_full`.
 */
export async function openSegmentLog(options: SegmentLogOptions): Promise<LogStore> {
  const { folder, files = fs } = options
  try {
    await makeFolders(files, folder)
    await sweepTemporary(files, folder)
    const log = new SegmentLog(options, await openSegments(files, options))
    await log.begin()
    return log
  } catch (error) {
    throw fileFault(error, 'be opened', folder)
  }
}

/** Every segment with its link; the last one is read through. */
async function openSegments(files: LogFiles, options: SegmentLogOptions): Promise<Segment[]> {
  const segments: Segment[] = []
  const names = await listSegments(files, options.folder)
  for (const [i, firstLsn] of names.entries()) {
    const path = join(options.folder, segmentName(firstLsn))
    const handle = await files.open(path, 'r+')
    try {
      const link = await readSegmentHeader(handle, segmentName(firstLsn))
      const before = segments.at(-1)
      checkLink(link, firstLsn, options.incarnation, before)
      if (before !== undefined) before.lastLsn = link.previousLsn
      const { size: bytes } = await handle.stat()
      const segment = { ...link, path, bytes, lastLsn: link.previousLsn }
      if (i === names.length - 1) await recoverTail(handle, segment)
      segments.push(segment)
    } finally {
      await closeQuietly(handle)
    }
  }
  return segments
}

function checkLink(
  link: ChainLink,
  firstLsn: number,
  incarnation: string,
  before: ChainLink | undefined,
): void {
  const file = segmentName(firstLsn)
  if (link.incarnation !== incarnation) {
    throw logCorrupt(file, 0, `it belongs to incarnation "${link.incarnation}" of the index`)
  }
  if (link.firstLsn !== firstLsn) throw logCorrupt(file, 0, 'its name and its first lsn differ')
  if (before === undefined) return
  // Either the segment before has no record, or its own are the last ones before this one.
  if (link.previousLsn < before.firstLsn && link.previousLsn !== before.previousLsn) {
    throw logCorrupt(file, 0, 'it does not follow the segment before it')
  }
}

/**
 * Finds the last record of the last segment. Whole records that were never acknowledged may be in
 * the cache of the file system alone, so the file is synced before they count as durable.
 */
async function recoverTail(handle: FileHandle, segment: Segment): Promise<void> {
  const file = segmentName(segment.firstLsn)
  const reader = new SegmentReader({ ...segment, handle, file })
  while ((await reader.next()).length > 0);
  if (reader.torn) await handle.truncate(reader.end)
  await handle.sync()
  segment.bytes = reader.end
  segment.lastLsn = reader.lastLsn
}

class SegmentLog implements LogStore {
  readonly #options: Required<SegmentLogOptions>
  /** Ascending; the last one may still grow. */
  readonly #segments: Segment[]
  /** The last segment, open for writing; null until the next append opens or makes one. */
  #handle: FileHandle | null = null
  /** A new segment may be there already: the last one that is known is not appended to any more. */
  #sealed = false
  /** The last segment may hold bytes of a failed group, which could not be cut off yet. */
  #dirty = false
  #nextLsn: number
  #lastLsn: number
  readonly #commits: GroupCommit
  /** Groups and truncation take turns. */
  readonly #turns = new KeyedMutex()
  /** Given up and not deleted yet: bytes by first lsn. */
  readonly #doomed = new Map<number, number>()
  /** First lsn of the segment that each reader needs next. */
  readonly #readers = new Set<{ from: number }>()

  constructor(options: SegmentLogOptions, segments: Segment[]) {
    this.#options = {
      segmentBytesMax: SEGMENT_BYTES_MAX,
      groupBytesMax: GROUP_BYTES_MAX,
      files: fs,
      baseLsn: 0,
      ...options,
    }
    this.#segments = segments
    this.#lastLsn = segments.at(-1)?.lastLsn ?? this.#options.baseLsn
    this.#nextLsn = Math.max(this.#lastLsn + 1, segments.at(-1)?.firstLsn ?? 1)
    this.#commits = new GroupCommit({
      groupBytesMax: this.#options.groupBytesMax,
      write: (payloads) => this.#turns.run('', () => this.#write(payloads)),
    })
  }

  /** Writes down where the numbers begin, where that is not at 1. */
  async begin(): Promise<void> {
    if (this.#segments.length > 0 || this.#lastLsn === 0) return
    await this.#startSegment(this.#nextLsn)
    await this.#closeHandle()
  }

  get lastLsn(): number {
    return this.#lastLsn
  }

  get bytes(): number {
    return this.#segments.reduce((sum, { bytes }) => sum + bytes, 0)
  }

  append(payload: Uint8Array): Promise<number> {
    return this.#commits.append(payload)
  }

  async *read(afterLsn: number): AsyncGenerator<LogRecord> {
    const wanted = this.#segmentsAfter(afterLsn)
    const position = { from: wanted[0]?.firstLsn ?? Infinity }
    this.#readers.add(position)
    try {
      for (const segment of wanted) {
        position.from = segment.firstLsn
        yield* this.#readSegment(segment, afterLsn)
      }
    } finally {
      this.#readers.delete(position)
    }
  }

  truncate(lsn: number, onDeleted: OnDeleted = () => undefined): Promise<void> {
    return this.#turns.run('', async () => {
      try {
        await this.#dropUpTo(lsn, onDeleted)
        const last = this.#segments.at(-1)
        if (last === undefined || last.lastLsn > lsn || last.bytes === LOG_HEADER_BYTES) return
        await this.#repair()
        await this.#startSegment(this.#nextLsn)
        await this.#dropUpTo(lsn, onDeleted)
      } catch (error) {
        throw fileFault(error, 'be shortened', this.#options.folder)
      }
    })
  }

  startOf(lsn: number): Promise<string | null> {
    const last = this.#segments.at(-1)
    const start = this.#segments.find(({ lastLsn }) => lastLsn > lsn) ?? last
    return Promise.resolve(start === undefined ? null : segmentName(start.firstLsn))
  }

  async verify(): Promise<{ readonly records: number; readonly bytes: number }> {
    let records = 0
    const bytes = this.bytes
    for await (const _record of this.read(this.#segments[0]?.previousLsn ?? 0)) records += 1
    return { records, bytes }
  }

  async close(): Promise<void> {
    await this.#commits.close()
    await this.#turns.run('', () => this.#closeHandle())
  }

  /** As they are now: what is appended later is not read. */
  #segmentsAfter(afterLsn: number): Segment[] {
    const [first] = this.#segments
    const base = first?.previousLsn ?? 0
    if (first !== undefined && afterLsn < base) {
      const missing = `the records from lsn ${afterLsn + 1} to ${base} are not there`
      throw logCorrupt(segmentName(first.firstLsn), 0, missing)
    }
    return this.#segments.filter(({ lastLsn }) => lastLsn > afterLsn).map((one) => ({ ...one }))
  }

  async *#readSegment(segment: Segment, afterLsn: number): AsyncGenerator<LogRecord> {
    const file = segmentName(segment.firstLsn)
    const handle = await this.#open(segment)
    try {
      await readSegmentHeader(handle, file)
      const reader = new SegmentReader({ ...segment, handle, file })
      for (let records = await reader.next(); records.length > 0; records = await reader.next()) {
        yield* records.filter((record) => record.lsn > afterLsn)
      }
      if (reader.torn || reader.lastLsn !== segment.lastLsn) {
        const found = `it ends at lsn ${reader.lastLsn} instead of ${segment.lastLsn}`
        throw logCorrupt(file, reader.end, found)
      }
    } catch (error) {
      throw fileFault(error, 'be read', this.#options.folder)
    } finally {
      await closeQuietly(handle)
    }
  }

  async #open(segment: Segment): Promise<FileHandle> {
    try {
      return await this.#options.files.open(segment.path, 'r')
    } catch (error) {
      if (!hasErrno(error, 'ENOENT')) throw fileFault(error, 'be read', this.#options.folder)
      throw logCorrupt(segmentName(segment.firstLsn), 0, 'the file is missing')
    }
  }

  /** Numbers are given before anything is written: a group that fails takes its own with it. */
  async #write(payloads: readonly Uint8Array[]): Promise<number> {
    const firstLsn = this.#nextLsn
    this.#nextLsn += payloads.length
    try {
      const frames = encodeFrames(firstLsn, payloads)
      await this.#repair()
      const { segment, handle } = await this.#writable(firstLsn, frames.length)
      await this.#writeFrames(segment, handle, frames)
      segment.bytes += frames.length
      segment.lastLsn = firstLsn + payloads.length - 1
      this.#lastLsn = segment.lastLsn
      return firstLsn
    } catch (error) {
      throw fileFault(error, 'be written', this.#options.folder)
    }
  }

  async #writeFrames(segment: Segment, handle: FileHandle, frames: Buffer): Promise<void> {
    try {
      await writeAll(handle, frames, segment.bytes)
      await handle.datasync()
    } catch (error) {
      this.#dirty = true
      // The first failure is the one to report; where the repair fails too, the next append tries.
      await this.#repair().catch(() => undefined)
      throw error
    }
  }

  /** Cuts off what a failed group left in the last segment. */
  async #repair(): Promise<void> {
    if (!this.#dirty) return
    const last = this.#segments.at(-1)
    await this.#closeHandle()
    if (last !== undefined) await cutBack(this.#options.files, last.path, last.bytes)
    this.#dirty = false
  }

  /** The segment that takes a group of `bytes`, the first of which is `firstLsn`. */
  async #writable(
    firstLsn: number,
    bytes: number,
  ): Promise<{ segment: Segment; handle: FileHandle }> {
    const last = this.#segments.at(-1)
    if (last === undefined || this.#sealed || this.#isFull(last, bytes)) {
      return this.#startSegment(firstLsn)
    }
    // A group that failed before it reached the file left a gap, which only a new segment may have.
    const due = last.bytes === LOG_HEADER_BYTES ? last.firstLsn : last.lastLsn + 1
    if (firstLsn !== due) return this.#startSegment(firstLsn)
    this.#handle ??= await this.#options.files.open(last.path, 'r+')
    return { segment: last, handle: this.#handle }
  }

  #isFull(segment: Segment, bytes: number): boolean {
    const hasRecords = segment.bytes > LOG_HEADER_BYTES
    return hasRecords && segment.bytes + bytes > this.#options.segmentBytesMax
  }

  async #startSegment(firstLsn: number): Promise<{ segment: Segment; handle: FileHandle }> {
    const { folder, incarnation, files } = this.#options
    await this.#closeHandle()
    const link = { incarnation, firstLsn, previousLsn: this.#lastLsn }
    const path = join(folder, segmentName(firstLsn))
    const segment = { ...link, path, bytes: LOG_HEADER_BYTES, lastLsn: this.#lastLsn }
    this.#sealed = true
    const handle = await createSegment(files, folder, link)
    this.#segments.push(segment)
    this.#handle = handle
    this.#sealed = false
    return { segment, handle }
  }

  /**
   * Oldest first, each durably, so that a crash leaves a log without a hole. A reader that begins
   * meanwhile does not see them any more.
   */
  async #dropUpTo(lsn: number, onDeleted: OnDeleted): Promise<void> {
    const first = this.#giveUp(lsn)
    const { files, folder } = this.#options
    // By what is there and not by what is known: a failed start may have left a segment behind.
    for (const firstLsn of await listSegments(files, folder)) {
      if (firstLsn >= first) break
      await files.unlink(join(folder, segmentName(firstLsn)))
      await syncFolder(files, folder)
      onDeleted(this.#doomed.get(firstLsn) ?? LOG_HEADER_BYTES)
      this.#doomed.delete(firstLsn)
    }
  }

  /** @returns the first lsn of the first segment that stays. */
  #giveUp(lsn: number): number {
    const needed = Math.min(...[...this.#readers].map(({ from }) => from))
    const kept = this.#segments.findIndex(
      ({ lastLsn, firstLsn }, i) =>
        i === this.#segments.length - 1 || lastLsn > lsn || firstLsn >= needed,
    )
    for (const { firstLsn, bytes } of this.#segments.splice(0, Math.max(0, kept))) {
      this.#doomed.set(firstLsn, bytes)
    }
    return this.#segments[0]?.firstLsn ?? 0
  }

  async #closeHandle(): Promise<void> {
    const handle = this.#handle
    this.#handle = null
    if (handle !== null) await closeQuietly(handle)
  }
}
