/**
 * Frames between the front and a core: what crosses their socket, in both directions.
 *
 *     0        4          8     9         10      12           20
 *     | length | request  | type| flags   | shard | deadline   | body …
 *       u32      u32        u8    u8        u16     f64 (ms)
 *
 * Little-endian. `length` counts the whole frame, header included. A frame is at most
 * `FRAME_BYTES_MAX` long: a longer one is a bug or a corrupt stream, and ends the connection.
 *
 * Both ends are one build on one machine, so there is no version in it.
 */

import { VectordError } from '../lib/errors.ts'
import { invariant } from '../lib/invariant.ts'

export const FRAME_HEADER_BYTES = 20

/** Bounds the memory that one message can claim: a page of 10,000 points × 4,096 × 4 bytes fits. */
export const FRAME_BYTES_MAX = 256 * 1024 * 1024

/** What a frame is. Requests go to the core, the others come back. */
export const FRAME = {
  open: 1,
  close: 2,
  apply: 3,
  search: 4,
  fetch: 5,
  scroll: 6,
  matchingIds: 7,
  count: 8,
  checkpoint: 9,
  verify: 10,
  /** Reads that wait in the core are to be forgotten: the front has answered them itself. */
  forget: 11,
  stop: 12,
  /** Generations of a shard: into memory, into use, out of memory. */
  adopt: 13,
  publish: 14,
  drop: 15,
  /** A live query is run again, exactly and at several ef. */
  sample: 16,
  /** The versions of a point that can be read. */
  versions: 17,
  /** How many versions of each point are kept. */
  retain: 18,
  /** The rows of a shard get new slots, without the dead ones. */
  compact: 19,
  /** The shard's objects are in another bucket from now on. */
  rehome: 20,
  /** Texts that wait for their vectors. */
  texts: 21,
  /** What a shard knows of the words of a query. */
  keywordStatistics: 24,
  /** The words of all rows are to be known. */
  prepareKeywords: 25,
  /** Work for a builder: see `builder-jobs.ts`. */
  job: 32,
  /** Work on a Lance table: see `lance-codec.ts`. */
  lance: 33,
  answer: 64,
  failure: 65,
  progress: 66,
  beat: 67,
  hello: 68,
  /** The request of this id, which was sent with `FLAG_ANNOUNCE`, runs now. */
  started: 69,
  fault: 70,
} as const

export type FrameType = (typeof FRAME)[keyof typeof FRAME]

const NAMES = new Map<FrameType, string>(Object.entries(FRAME).map(([name, type]) => [type, name]))

/** For people: `search`. */
export function frameName(type: FrameType): string {
  return NAMES.get(type) ?? 'unknown'
}

/** The request yields to others. */
export const FLAG_BACKGROUND = 1
/** The core says `started` before it runs the request: the front suspects it, or traces it. */
export const FLAG_ANNOUNCE = 2

export interface FrameHeader {
  readonly type: FrameType
  /** 0 where no answer is expected. */
  readonly id: number
  readonly flags: number
  /** The number under which the core knows the shard; 0 for the core itself. */
  readonly shard: number
  /** Milliseconds since the Unix epoch; Infinity where there is none. */
  readonly deadlineMs: number
}

export interface Frame extends FrameHeader {
  /** A view of memory that nobody writes to again: it may be kept. */
  readonly body: Buffer
}

const EMPTY = Buffer.alloc(0)

/**
 * Cuts frames out of the chunks of a socket. A frame that lies within one chunk is a view of it;
 * one that spans chunks is copied once, into memory of its exact size.
 */
export class FrameParser {
  readonly #bytesMax: number
  /** The start of a header that a chunk ended in; fewer than `FRAME_HEADER_BYTES` bytes. */
  #head: Buffer = EMPTY
  /** A frame that is being put together, and how much of it is there. */
  #partial: Buffer | null = null
  #filled = 0

  constructor(bytesMax: number = FRAME_BYTES_MAX) {
    this.#bytesMax = bytesMax
  }

  /**
   * Takes the next chunk, which must not be written to afterwards, and hands on each frame that
   * it completes, in order.
   *
   * @throws {VectordError} `internal` on a length that no frame has; the stream is then lost.
   */
  push(chunk: Buffer, onFrame: (frame: Frame) => void): void {
    let at = 0
    if (this.#partial !== null || this.#head.length > 0) at = this.#resume(chunk, onFrame)
    while (chunk.length - at >= FRAME_HEADER_BYTES) {
      const length = this.#lengthAt(chunk, at)
      if (chunk.length - at < length) break
      onFrame(frameAt(chunk, at, length))
      at += length
    }
    this.#keep(chunk, at)
  }

  /** Goes on with what earlier chunks left; answers where in `chunk` the next frame starts. */
  #resume(chunk: Buffer, onFrame: (frame: Frame) => void): number {
    let at = 0
    if (this.#partial === null) {
      at = Math.min(chunk.length, FRAME_HEADER_BYTES - this.#head.length)
      this.#head = Buffer.concat([this.#head, chunk.subarray(0, at)])
      if (this.#head.length < FRAME_HEADER_BYTES) return at
      this.#start(this.#head)
      this.#head = EMPTY
    }
    const frame = this.#partial
    invariant(frame !== null, 'a frame is being put together')
    const copied = chunk.copy(frame, this.#filled, at, at + frame.length - this.#filled)
    this.#filled += copied
    if (this.#filled === frame.length) {
      this.#partial = null
      onFrame(frameAt(frame, 0, frame.length))
    }
    return at + copied
  }

  #keep(chunk: Buffer, at: number): void {
    const rest = chunk.length - at
    if (rest === 0) return
    if (rest < FRAME_HEADER_BYTES) this.#head = Buffer.from(chunk.subarray(at))
    else this.#start(chunk.subarray(at))
  }

  #start(bytes: Buffer): void {
    const frame = Buffer.allocUnsafeSlow(this.#lengthAt(bytes, 0))
    this.#filled = bytes.copy(frame)
    this.#partial = frame
  }

  #lengthAt(bytes: Buffer, at: number): number {
    const length = bytes.readUInt32LE(at)
    if (length < FRAME_HEADER_BYTES || length > this.#bytesMax) {
      throw new VectordError('internal', 'The stream between front and core is corrupt.', {
        details: { length, bytes_max: this.#bytesMax },
      })
    }
    return length
  }
}

function frameAt(bytes: Buffer, at: number, length: number): Frame {
  return {
    // Only our own ends write frames; an unknown type is refused where types are told apart.
    type: bytes.readUInt8(at + 8) as FrameType,
    id: bytes.readUInt32LE(at + 4),
    flags: bytes.readUInt8(at + 9),
    shard: bytes.readUInt16LE(at + 10),
    deadlineMs: bytes.readDoubleLE(at + 12),
    body: bytes.subarray(at + FRAME_HEADER_BYTES, at + length),
  }
}
