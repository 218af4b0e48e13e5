/**
 * Parquet files, read a row group at a time through parquet-wasm.
 *
 * What parquet-wasm does with errors is not what it looks like, so they never reach it. A failed read
 * leaves its reader waiting for ever, and so do bytes that are no Parquet: hence `FileBlob`, which
 * knows when nothing is left to wait for. Other bytes make it panic outside of any promise: hence
 * `panic-trap.ts`, for files that nobody vouches for.
 */

import { open, type FileHandle } from 'node:fs/promises'
import { setImmediate as turn } from 'node:timers/promises'
import { ParquetFile, type ReaderOptions, type RecordBatch } from 'parquet-wasm/node'
import { ArrowFault, type ArrowSchema, type ArrowScope, POINTS_SCOPE } from './arrow-schema.ts'
import { ArrowStream, type ArrowBatch } from './arrow-stream.ts'
import { trapPanics } from './panic-trap.ts'

export interface ParquetBatch {
  readonly schema: ArrowSchema
  readonly batch: ArrowBatch
}

/** Which part of a file is read; left out is all of it. */
export interface ParquetSelection {
  readonly group?: number
  /** Names of columns at the top. */
  readonly columns?: readonly string[]
}

export class ParquetReader {
  readonly bytes: number
  readonly rows: number
  /** Rows of each row group. */
  readonly groupRows: readonly number[]
  readonly metadata: ReadonlyMap<string, string>
  readonly #blob: FileBlob
  readonly #file: ParquetFile
  readonly #scope: ArrowScope

  private constructor(blob: FileBlob, file: ParquetFile, scope: ArrowScope) {
    this.#blob = blob
    this.#file = file
    this.#scope = scope
    this.bytes = blob.size
    const { rows, groupRows, metadata } = describe(file)
    this.rows = rows
    this.groupRows = groupRows
    this.metadata = metadata
  }

  /**
   * @param scope that of points for bytes that are known to be those that were written.
   * @throws {Error} where it is no Parquet file, or what reading it throws.
   */
  static async open(path: string, scope: ArrowScope = POINTS_SCOPE): Promise<ParquetReader> {
    const blob = await FileBlob.open(path, scope === POINTS_SCOPE)
    try {
      const file = await blob.orFailure(() => ParquetFile.fromFile(blob as unknown as Blob))
      return new ParquetReader(blob, file, scope)
    } catch (error) {
      await blob.close()
      throw error
    }
  }

  /** @throws {ArrowFault} */
  schema(): ArrowSchema {
    return new ArrowStream(this.#file.schema().intoIPCStream(), this.#scope).schema
  }

  /** All batches, once. @throws {ArrowFault} where there are fewer rows than the file says. */
  async *batches(
    batchRows: number,
    { group, columns }: ParquetSelection = {},
  ): AsyncGenerator<ParquetBatch, undefined> {
    const options: ReaderOptions = { batchSize: batchRows, concurrency: 1 }
    if (group !== undefined) options.rowGroups = [group]
    if (columns !== undefined) options.columns = [...columns]
    const stream = await this.#blob.orFailure(() => this.#file.stream(options))
    const reader = (stream as ReadableStream<RecordBatch>).getReader()
    let rows = 0
    try {
      for (;;) {
        const { done, value } = await this.#blob.orFailure(() => reader.read())
        if (done) break
        const arrow = new ArrowStream(value.intoIPCStream(), this.#scope)
        for (const batch of arrow.batches()) {
          rows += batch.rows
          yield { schema: arrow.schema, batch }
        }
        await turn()
      }
    } finally {
      // Where the reader has failed, nobody takes that up any more.
      await this.#blob.orFailure(() => reader.cancel()).catch(() => undefined)
    }
    const expected = group === undefined ? this.rows : this.groupRows[group]
    if (rows !== expected) throw new ArrowFault(`it has ${rows} rows instead of ${expected ?? 0}`)
  }

  async close(): Promise<void> {
    this.#file.free()
    await this.#blob.close()
  }
}

function describe(file: ParquetFile): Pick<ParquetReader, 'rows' | 'groupRows' | 'metadata'> {
  const all = file.metadata()
  const own = all.fileMetadata()
  const metadata = own.keyValueMetadata() as ReadonlyMap<string, string>
  const groupRows = Array.from({ length: all.numRowGroups() }, (_, group) => {
    const described = all.rowGroup(group)
    const rows = described.numRows()
    described.free()
    return rows
  })
  const described = { rows: own.numRows(), groupRows, metadata }
  own.free()
  all.free()
  return described
}

/** Turns of the event loop in which a reader that waits for nothing may still come to an end. */
const IDLE_TURNS_MAX = 32

/** As much of a `Blob` as parquet-wasm asks for; a failed read is told to us and not to it. */
class FileBlob {
  readonly size: number
  readonly #file: FileHandle
  readonly #isTrusted: boolean
  readonly #failure = Promise.withResolvers<never>()
  readonly #reads = new Set<Promise<unknown>>()

  private constructor(file: FileHandle, size: number, isTrusted: boolean) {
    this.#file = file
    this.#isTrusted = isTrusted
    this.size = size
    // Nobody may be waiting when it comes.
    this.#failure.promise.catch(() => undefined)
  }

  static async open(path: string, isTrusted: boolean): Promise<FileBlob> {
    const file = await open(path, 'r')
    try {
      return new FileBlob(file, (await file.stat()).size, isTrusted)
    } catch (error) {
      await file.close()
      throw error
    }
  }

  slice(start: number, end: number): { arrayBuffer(): Promise<ArrayBuffer> } {
    return {
      arrayBuffer: () => {
        const read = this.#read(start, end)
        this.#reads.add(read)
        void read.finally(() => this.#reads.delete(read))
        return read
      },
    }
  }

  /** What `work` comes to, or why it will not come to anything. */
  orFailure<T>(work: () => Promise<T>): Promise<T> {
    if (this.#isTrusted) return this.#orFailure(work)
    return trapPanics(
      () => this.#orFailure(work),
      (cause) => {
        this.#failure.reject(new ArrowFault('its reader failed on it', { cause }))
      },
    )
  }

  async #orFailure<T>(work: () => Promise<T>): Promise<T> {
    const state = { isDone: false }
    try {
      return await Promise.race([work(), this.#failure.promise, this.#stall(state)])
    } finally {
      state.isDone = true
    }
  }

  /** Decoding is one turn, and between turns there is nothing but our reads that it could wait for. */
  async #stall(state: { readonly isDone: boolean }): Promise<never> {
    for (let idleTurns = 0; idleTurns < IDLE_TURNS_MAX && !state.isDone; idleTurns += 1) {
      if (this.#reads.size > 0) {
        await Promise.race([...this.#reads, this.#failure.promise])
        idleTurns = 0
      }
      await turn()
    }
    throw new ArrowFault('its reader gave up on it')
  }

  close(): Promise<void> {
    return this.#file.close()
  }

  async #read(start: number, end: number): Promise<ArrayBuffer> {
    try {
      if (start < 0 || end > this.size) throw new ArrowFault('it names bytes outside of itself')
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
