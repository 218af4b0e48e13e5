/**
 * Parquet files, read a row group at a time through parquet-wasm.
 *
 * A failed read, or bytes that are no Parquet, leave its reader waiting for ever: hence `FileBlob`,
 * and hence nothing is read here whose checksum was not compared before.
 */

import { open, type FileHandle } from 'node:fs/promises'
import { setImmediate as turn } from 'node:timers/promises'
import { ParquetFile, type RecordBatch } from 'parquet-wasm/node'
import { ArrowFault, ArrowStream, type ArrowBatch, type ArrowSchema } from './arrow-stream.ts'

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
