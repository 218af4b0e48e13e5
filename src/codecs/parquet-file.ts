/**
 * Parquet files, written and read a row group at a time: the door to parquet-wasm.
 *
 * What parquet-wasm does with errors is not what it looks like, so they never reach it. A source of
 * batches that fails looks to it like one that ends, and what it cannot encode it leaves out: hence
 * `BatchFeed`, and a count of the rows in the finished file. A failed read, or bytes that are no
 * Parquet, leave its reader waiting for ever: hence `FileBlob`, and hence nothing is read here whose
 * checksum was not compared before.
 */

import { open, rm, type FileHandle } from 'node:fs/promises'
import { ReadableStream } from 'node:stream/web'
import { setImmediate as turn } from 'node:timers/promises'
import { tableToIPC, type Table as ArrowTable } from 'apache-arrow'
import {
  Compression,
  ParquetFile,
  Table,
  transformParquetStream,
  WriterPropertiesBuilder,
  type RecordBatch,
  type WriterProperties,
} from 'parquet-wasm/node'
import { invariant } from '../lib/invariant.ts'
import { ArrowFault, ArrowStream, type ArrowBatch, type ArrowSchema } from './arrow-stream.ts'

export interface ParquetSpec {
  /** Rows of a row group; it has fewer where they are larger than `GROUP_BYTES_MAX`. */
  readonly groupRows: number
  readonly metadata: ReadonlyMap<string, string>
}

/** A row group is held in memory, when it is written and when it is read. */
const GROUP_BYTES_MAX = 32 * 1024 * 1024

/**
 * Writes a new file: complete and synced once resolved, otherwise there is none.
 *
 * @param tables all of one schema; those without rows are skipped, but some row there must be.
 * @returns the number of rows.
 * @throws what `tables` throws, and `EEXIST` where there is a file already, which stays as it is.
 */
export async function writeParquet(
  path: string,
  tables: Iterable<ArrowTable> | AsyncIterable<ArrowTable>,
  spec: ParquetSpec,
): Promise<number> {
  const file = await open(path, 'wx')
  try {
    const feed = new BatchFeed()
    const written = await pump(feed, file, feed.batches(tables), spec).finally(() => file.close())
    await expectWhole(path, { bytes: written, rows: feed.rows })
    return feed.rows
  } catch (error) {
    await rm(path, { force: true })
    throw error
  }
}

/** Gives batches to parquet-wasm and keeps what went wrong, on either side of it, for the caller. */
class BatchFeed {
  rows = 0
  #failure: { readonly cause: unknown } | null = null

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

  async *batches(
    tables: Iterable<ArrowTable> | AsyncIterable<ArrowTable>,
  ): AsyncGenerator<RecordBatch, undefined> {
    try {
      for await (const table of tables) {
        if (table.numRows > 0) yield toWasm(table)
        if (this.hasFailed) return
        this.rows += table.numRows
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
  batches: AsyncGenerator<RecordBatch, undefined>,
  spec: ParquetSpec,
): Promise<number> {
  const first = await batches.next()
  feed.check()
  invariant(first.done !== true, 'a Parquet file has rows')
  const source = ReadableStream.from(startingWith(first.value, batches))
  const stream = await transformParquetStream(source as never, propertiesOf(spec))
  let written = 0
  for await (const chunk of stream as unknown as AsyncIterable<Uint8Array>) {
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

function toWasm(table: ArrowTable): RecordBatch {
  const copy = Table.fromIPCStream(tableToIPC(table, 'stream'))
  try {
    const [batch, ...others] = copy.recordBatches()
    invariant(batch !== undefined && others.length === 0, 'a table is one batch')
    return batch
  } finally {
    copy.free()
  }
}

function propertiesOf({ groupRows, metadata }: ParquetSpec): WriterProperties {
  return new WriterPropertiesBuilder()
    .setCompression(Compression.UNCOMPRESSED)
    .setDictionaryEnabled(false)
    .setMaxRowGroupSize(groupRows)
    .setMaxRowGroupBytes(GROUP_BYTES_MAX)
    .setKeyValueMetadata(new Map(metadata))
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

export interface ParquetBatch {
  readonly schema: ArrowSchema
  readonly batch: ArrowBatch
}

/** Reads a file whose bytes are known to be those that were written. */
export class ParquetReader {
  readonly bytes: number
  readonly rows: number
  readonly metadata: ReadonlyMap<string, string>
  readonly #blob: FileBlob
  readonly #file: ParquetFile

  private constructor(blob: FileBlob, file: ParquetFile) {
    this.#blob = blob
    this.#file = file
    this.bytes = blob.size
    const { rows, metadata } = describe(file)
    this.rows = rows
    this.metadata = metadata
  }

  /** @throws {Error} where it is no Parquet file, or what reading it throws. */
  static async open(path: string): Promise<ParquetReader> {
    const blob = await FileBlob.open(path)
    try {
      const file = ParquetFile.fromFile(blob as unknown as Blob)
      return new ParquetReader(blob, await blob.orFailure(file))
    } catch (error) {
      await blob.close()
      throw error
    }
  }

  /**
   * All batches, once. @throws {ArrowFault} where there are fewer rows than the file says.
   *
   * @param columns names of those to read, in the order of the file; all where left out.
   */
  async *batches(
    batchRows: number,
    columns?: readonly string[],
  ): AsyncGenerator<ParquetBatch, undefined> {
    const some = columns === undefined ? {} : { columns: [...columns] }
    const options = { batchSize: batchRows, concurrency: 1, ...some }
    const stream = await this.#blob.orFailure(this.#file.stream(options))
    const reader = (stream as ReadableStream<RecordBatch>).getReader()
    let rows = 0
    try {
      for (;;) {
        const { done, value } = await this.#blob.orFailure(reader.read())
        if (done) break
        const arrow = new ArrowStream(value.intoIPCStream())
        for (const batch of arrow.batches()) {
          rows += batch.rows
          yield { schema: arrow.schema, batch }
        }
        await turn()
      }
    } finally {
      await reader.cancel()
    }
    if (rows !== this.rows) throw new ArrowFault(`it has ${rows} rows instead of ${this.rows}`)
  }

  async close(): Promise<void> {
    this.#file.free()
    await this.#blob.close()
  }
}

function describe(file: ParquetFile): Pick<ParquetReader, 'rows' | 'metadata'> {
  const all = file.metadata()
  const own = all.fileMetadata()
  const metadata = own.keyValueMetadata() as ReadonlyMap<string, string>
  const described = { rows: own.numRows(), metadata }
  own.free()
  all.free()
  return described
}

/** As much of a `Blob` as parquet-wasm asks for; a failed read is told to us and not to it. */
class FileBlob {
  readonly size: number
  readonly #file: FileHandle
  readonly #failure = Promise.withResolvers<never>()

  private constructor(file: FileHandle, size: number) {
    this.#file = file
    this.size = size
    // Nobody may be waiting when it comes.
    this.#failure.promise.catch(() => undefined)
  }

  static async open(path: string): Promise<FileBlob> {
    const file = await open(path, 'r')
    try {
      return new FileBlob(file, (await file.stat()).size)
    } catch (error) {
      await file.close()
      throw error
    }
  }

  slice(start: number, end: number): { arrayBuffer(): Promise<ArrayBuffer> } {
    return { arrayBuffer: () => this.#read(start, end) }
  }

  /** What `work` comes to, or the failure of a read that keeps it from coming to anything. */
  orFailure<T>(work: Promise<T>): Promise<T> {
    return Promise.race([work, this.#failure.promise])
  }

  close(): Promise<void> {
    return this.#file.close()
  }

  async #read(start: number, end: number): Promise<ArrayBuffer> {
    try {
      const bytes = Buffer.from(new ArrayBuffer(end - start))
      const { bytesRead } = await this.#file.read(bytes, 0, bytes.length, start)
      if (bytesRead !== bytes.length) throw new ArrowFault('the file has become shorter')
      return bytes.buffer
    } catch (error) {
      this.#failure.reject(error)
      return new Promise(() => undefined)
    }
  }
}
