/**
 * Reads the records of one segment file, a bounded piece at a time.
 *
 * Where the records end and bytes follow, they are either a *torn tail*, which a crash in the middle
 * of a write leaves (the file ends inside a record, or holds zeros up to its end), or damage. Only
 * what no append can have been answered for is torn: anything else is `log_corrupt`.
 */

import type { FileHandle } from 'node:fs/promises'
import { logCorrupt, LOG_HEADER_BYTES } from './log-header.ts'
import type { LogRecord } from './log-store.ts'
import { isZero, readFrame } from './record.ts'

const PIECE_BYTES = 1024 * 1024

export interface SegmentSource {
  readonly handle: FileHandle
  /** Names the file in errors. */
  readonly file: string
  /** Records are read up to here. */
  readonly bytes: number
  readonly firstLsn: number
  readonly previousLsn: number
}

export class SegmentReader {
  /** Position after the last whole record. */
  end = LOG_HEADER_BYTES
  /** The lsn of the last whole record, or the last before this segment. */
  lastLsn: number
  /** True where a torn tail follows `end`. */
  torn = false
  readonly #source: SegmentSource
  #nextLsn: number

  constructor(source: SegmentSource) {
    this.#source = source
    this.lastLsn = source.previousLsn
    this.#nextLsn = source.firstLsn
  }

  /**
   * The next records; none at the end. Their payloads share memory with each other alone.
   *
   * @throws {VectordError} `log_corrupt`.
   */
  async next(): Promise<readonly LogRecord[]> {
    let wanted = PIECE_BYTES
    for (;;) {
      const left = this.#source.bytes - this.end
      if (left <= 0 || this.torn) return []
      const piece = await this.#read(this.end, Math.min(wanted, left))
      const { records, needs } = this.#parse(piece)
      if (records.length > 0) return records
      if (needs > left) this.torn = true
      wanted = needs
    }
  }

  /** Stops before the first record that is not whole in `piece`; `needs` bytes would hold it. */
  #parse(piece: Buffer): { records: LogRecord[]; needs: number } {
    const records: LogRecord[] = []
    const start = this.end
    for (;;) {
      const at = this.end - start
      if (at === piece.length) return { records, needs: 0 }
      const frame = readFrame(piece, at)
      if (frame.kind === 'short') return { records, needs: frame.needs }
      // The zeros are looked at again once they stand at the start of a piece.
      if (frame.kind === 'zeros' && records.length > 0) return { records, needs: 0 }
      if (frame.kind === 'zeros') return { records, needs: this.#allZero(piece) }
      if (frame.kind === 'damaged') throw this.#corrupt(frame.problem)
      if (frame.lsn !== this.#nextLsn) {
        throw this.#corrupt(`lsn ${frame.lsn} stands where ${this.#nextLsn} is due`)
      }
      this.#nextLsn += 1
      this.lastLsn = frame.lsn
      this.end = start + frame.end
      records.push({ lsn: frame.lsn, payload: frame.payload })
    }
  }

  /** A piece that starts with a header of zeros must be zeros to the end of the file. */
  #allZero(piece: Buffer): number {
    if (!isZero(piece)) throw this.#corrupt('zeros stand where a record is due')
    return piece.length === this.#source.bytes - this.end ? Infinity : this.#source.bytes - this.end
  }

  async #read(at: number, bytes: number): Promise<Buffer> {
    const piece = Buffer.allocUnsafeSlow(bytes)
    let filled = 0
    while (filled < bytes) {
      const { bytesRead } = await this.#source.handle.read(
        piece,
        filled,
        bytes - filled,
        at + filled,
      )
      if (bytesRead === 0) throw this.#corrupt('the file is shorter than it was')
      filled += bytesRead
    }
    return piece
  }

  #corrupt(problem: string): Error {
    return logCorrupt(this.#source.file, this.end, problem)
  }
}
