/**
 * Parquet files, written a row group at a time through parquet-wasm.
 *
 * What parquet-wasm does with errors is not what it looks like, so they never reach it. A source of
 * batches that fails looks to it like one that ends, and what it cannot encode it leaves out: hence
 * `BatchFeed`, and a count of the rows in the finished file.
 */

import { open, rm, type FileHandle } from 'node:fs/promises'
import { ReadableStream } from 'node:stream/web'
import { setImmediate as turn } from 'node:timers/promises'
import {
  Compression,
  Table,
  transformParquetStream,
  WriterPropertiesBuilder,
  writeParquet as encodeWhole,
  type RecordBatch,
  type WriterProperties,
} from 'parquet-wasm/node'
import { invariant } from '../lib/invariant.ts'
import { ParquetReader } from './parquet-file.ts'
import { rowsOfEnd } from './parquet-footer.ts'

export interface ParquetSpec {
  /** Rows of a row group; it has fewer where they are larger than `groupBytes`. */
  readonly groupRows: number
  /** A row group is held in memory, when it is written and when it is read. */
  readonly groupBytes: number
  readonly metadata: ReadonlyMap<string, string>
  readonly compression: 'none' | 'zstd' | 'snappy'
}

/** Arrow IPC streams, each of one batch, all of one schema. */
type Streams = Iterable<Uint8Array> | AsyncIterable<Uint8Array>

/**
 * Writes a new file: complete and synced once resolved, otherwise there is none.
 *
 * @param streams some of them have rows.
 * @returns the number of rows.
 * @throws what `streams` throws, and `EEXIST` where there is a file already, which stays as it is.
 */
export async function writeParquet(
  path: string,
  streams: Streams,
  spec: ParquetSpec,
): Promise<number> {
  const file = await open(path, 'wx')
  try {
    const feed = new BatchFeed()
    const written = await pump(feed, file, feed.encoded(streams, spec)).finally(() => file.close())
    await expectWhole(path, { bytes: written, rows: feed.rows })
    return feed.rows
  } catch (error) {
    await rm(path, { force: true })
    throw error
  }
}

/** Of an encoded file: the footer lies within it, unless there are tens of thousands of row groups. */
const END_BYTES = 4 * 1024 * 1024

/** The bytes of a file as they come. @param streams there is one at least. @throws what it throws. */
export async function* encodeParquet(
  streams: Streams,
  spec: ParquetSpec,
): AsyncGenerator<Uint8Array, undefined> {
  const feed = new BatchFeed()
  let end: Uint8Array[] = []
  let endBytes = 0
  for await (const chunk of feed.encoded(streams, spec)) {
    end = endBytes > END_BYTES ? [...end.slice(-1), chunk] : [...end, chunk]
    endBytes = end.reduce((sum, { length }) => sum + length, 0)
    yield chunk
  }
  feed.check()
  const rows = rowsOfEnd(Buffer.concat(end))
  invariant(rows === null || rows === feed.rows, 'the file has the rows that were written')
}

/** Gives batches to parquet-wasm and keeps what went wrong, on either side of it, for the caller. */
class BatchFeed {
  rows = 0
  #failure: { readonly cause: unknown } | null = null
  /** A batch of no rows, which has the columns of the others. */
  #empty: Uint8Array | null = null
  #isOver = false

  get hasFailed(): boolean {
    return this.#failure !== null
  }

  /** The batches end at the next chance; `check` throws `cause`. */
  fail(cause: unknown): void {
    this.#failure ??= { cause }
  }

  check(): void {
    if (this.#failure !== null) throw this.#failure.cause
  }

  async *encoded(streams: Streams, spec: ParquetSpec): AsyncGenerator<Uint8Array, undefined> {
    const batches = this.#batches(streams)
    const first = await batches.next()
    this.check()
    if (first.done === true) {
      yield encodeEmpty(this.#empty, spec)
      return
    }
    const source = ReadableStream.from(startingWith(first.value, batches))
    const stream = await transformParquetStream(source as never, propertiesOf(spec))
    try {
      yield* stream as unknown as AsyncIterable<Uint8Array>
    } finally {
      // The encoder takes batches on to their end, whether or not anybody takes the bytes.
      this.#isOver = true
    }
  }

  async *#batches(streams: Streams): AsyncGenerator<RecordBatch, undefined> {
    try {
      for await (const stream of streams) {
        const batch = toWasm(stream)
        const { numRows } = batch
        if (numRows > 0) {
          yield batch
        } else {
          batch.free()
          this.#empty = stream
        }
        if (this.hasFailed || this.#isOver) return
        this.rows += numRows
        await turn()
      }
    } catch (cause) {
      this.fail(cause)
    }
  }
}

/** Moves the encoded bytes into the file. @returns how many. */
async function pump(
  feed: BatchFeed,
  file: FileHandle,
  chunks: AsyncIterable<Uint8Array>,
): Promise<number> {
  let written = 0
  for await (const chunk of chunks) {
    // Read on to the end: whoever gave the batches may take it that they are no longer in use.
    if (feed.hasFailed) continue
    try {
      await file.writeFile(chunk)
      written += chunk.length
    } catch (cause) {
      feed.fail(cause)
    }
  }
  feed.check()
  await file.sync()
  return written
}

async function* startingWith<T>(first: T, rest: AsyncIterable<T>): AsyncGenerator<T> {
  yield first
  yield* rest
}

function toWasm(stream: Uint8Array): RecordBatch {
  const copy = Table.fromIPCStream(stream)
  try {
    const [batch, ...others] = copy.recordBatches()
    invariant(batch !== undefined && others.length === 0, 'a stream has one batch')
    return batch
  } finally {
    copy.free()
  }
}

/** The streaming encoder makes no file of no rows. */
function encodeEmpty(stream: Uint8Array | null, spec: ParquetSpec): Uint8Array {
  invariant(stream !== null, 'a table has a batch, if only an empty one')
  return encodeWhole(Table.fromIPCStream(stream), propertiesOf(spec))
}

const COMPRESSIONS = {
  none: Compression.UNCOMPRESSED,
  zstd: Compression.ZSTD,
  snappy: Compression.SNAPPY,
} as const

function propertiesOf(spec: ParquetSpec): WriterProperties {
  return new WriterPropertiesBuilder()
    .setCompression(COMPRESSIONS[spec.compression])
    .setDictionaryEnabled(false)
    .setMaxRowGroupSize(spec.groupRows)
    .setMaxRowGroupBytes(spec.groupBytes)
    .setKeyValueMetadata(new Map(spec.metadata))
    .build()
}

/** A full disk, and an encoder that gave up, have been seen to look like success. */
async function expectWhole(
  path: string,
  { bytes, rows }: { readonly bytes: number; readonly rows: number },
): Promise<void> {
  const reader = await ParquetReader.open(path)
  try {
    invariant(reader.bytes === bytes, 'the file is as long as what was written')
    invariant(reader.rows === rows, 'the file has the rows that were written')
  } finally {
    await reader.close()
  }
}
