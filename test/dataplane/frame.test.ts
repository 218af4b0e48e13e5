/**
 * Frames come out of a socket as they went in, however it cuts the stream.
 */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import fc from 'fast-check'
import { hasCode } from '../../src/lib/errors.ts'
import { FRAME, FrameParser, type Frame, type FrameHeader } from '../../src/dataplane/frame.ts'
import { FrameWriter } from '../../src/dataplane/frame-writer.ts'

const HEADER: FrameHeader = { type: FRAME.count, id: 7, flags: 0, shard: 3, deadlineMs: 12.5 }

const header = fc.record({
  type: fc.constantFrom(...Object.values(FRAME)),
  id: fc.nat(0xffff_ffff),
  flags: fc.nat(3),
  shard: fc.nat(0xffff),
  deadlineMs: fc.constantFrom(Infinity, 0, Date.UTC(2026, 1, 1) + 0.25),
})

/** Sizes around the limits of header, slab and chunk, besides small ones. */
const bodyLength = fc.oneof(
  { weight: 5, arbitrary: fc.nat(64) },
  { weight: 2, arbitrary: fc.constantFrom(0, 65_535, 65_536, 131_072) },
  { weight: 1, arbitrary: fc.nat(300_000) },
)

function write(writer: FrameWriter, frame: FrameHeader, body: Uint8Array): void {
  writer.begin(frame)
  writer.rest(body)
  writer.end()
}

/** Cuts `bytes` at places that `sizes` gives, in turn. */
function* cut(bytes: Buffer, sizes: readonly number[]): Generator<Buffer> {
  let at = 0
  for (let i = 0; at < bytes.length; i += 1) {
    const size = sizes[i % sizes.length] ?? 1
    yield Buffer.from(bytes.subarray(at, at + size))
    at += size
  }
}

function parse(chunks: Iterable<Buffer>): Frame[] {
  const frames: Frame[] = []
  const parser = new FrameParser()
  for (const chunk of chunks) parser.push(chunk, (frame) => frames.push(frame))
  return frames
}

it('frames survive any chunking, any order of sizes and any reuse of memory', () => {
  const sent = fc.record({ header, length: bodyLength, rolledBack: fc.boolean(), flush: fc.nat(2) })
  fc.assert(
    fc.property(
      fc.array(sent, { minLength: 1, maxLength: 20 }),
      fc.array(fc.oneof(fc.integer({ min: 1, max: 50 }), fc.integer({ min: 1, max: 200_000 })), {
        minLength: 1,
        maxLength: 8,
      }),
      (all, sizes) => {
        const writer = new FrameWriter()
        const stream: Buffer[] = []
        const expected: { header: FrameHeader; body: Buffer }[] = []
        for (const [i, { header: head, length, rolledBack, flush }] of all.entries()) {
          const body = Buffer.alloc(length, i + 1)
          if (rolledBack) {
            writer.begin(head)
            writer.rest(body)
            writer.rollback()
          } else {
            write(writer, head, body)
            expected.push({ header: { ...head }, body })
          }
          if (flush === 0) continue
          const chunks = writer.take()
          // Memory that is recycled as gone must have been read by then; other memory stays.
          if (flush === 1) for (const chunk of chunks) stream.push(Buffer.from(chunk))
          else for (const chunk of chunks) stream.push(chunk as Buffer)
          writer.recycle(flush === 1)
        }
        for (const chunk of writer.take()) stream.push(Buffer.from(chunk))
        const frames = parse(cut(Buffer.concat(stream), sizes))
        const found = frames.map(({ body, ...head }) => ({ header: head, body }))
        assert.deepEqual(found, expected)
      },
    ),
    { numRuns: 200 },
  )
})

it('text, vectors and numbers grow the memory as they need and are counted', () => {
  const writer = new FrameWriter()
  const text = 'äöü文'.repeat(40_000)
  writer.begin(HEADER)
  writer.text(text)
  writer.vector(new Float32Array(50_000).fill(0.5))
  writer.end()
  const [frame] = parse([Buffer.concat(writer.take())])
  assert.equal(frame?.body.length, 4 + Buffer.byteLength(text) + 4 + 200_000)
  assert.equal(frame.body.toString('utf8', 4, 4 + Buffer.byteLength(text)), text)
})

it('a frame over the bound is refused and leaves nothing behind', () => {
  const writer = new FrameWriter(100)
  assert.throws(
    () => write(writer, HEADER, Buffer.alloc(81)),
    (error) => hasCode(error, 'limit_exceeded'),
  )
  write(writer, HEADER, Buffer.alloc(80, 1))
  const frames = parse([Buffer.concat(writer.take())])
  assert.deepEqual(
    frames.map((frame) => frame.body.length),
    [80],
  )
})

it('a length that no frame has ends the stream, also when it comes byte by byte', () => {
  for (const length of [0, 19, 101, 0xffff_ffff]) {
    const bytes = Buffer.alloc(20)
    bytes.writeUInt32LE(length)
    for (const size of [1, 20]) {
      const parser = new FrameParser(100)
      assert.throws(
        () => {
          for (const chunk of cut(bytes, [size])) parser.push(chunk, () => assert.fail('a frame'))
        },
        (error) => hasCode(error, 'internal'),
      )
    }
  }
})
