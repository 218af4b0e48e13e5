/**
 * Arrow IPC files as tables, a record batch at a time: the stream format and the file format.
 *
 *     stream   schema, messages, [end mark]
 *     file     ARROW1 and 2 bytes, a stream, footer, footer bytes (int32), ARROW1
 *
 * A file is read as the stream within it. Its footer tells how many record batches there must be; a
 * stream without its end mark may have lost some, and nothing can tell.
 */

import { open, type FileHandle } from 'node:fs/promises'
import type { Column, TableBatch } from '../domain/table.ts'
import { ArrowFault, type ArrowSchema, TABLES_SCOPE } from './arrow-schema.ts'
import {
  type ArrowBatch,
  BatchDecoder,
  type MessageHeader,
  readHeader,
  readPrefix,
  schemaOf,
} from './arrow-stream.ts'
import { FlatTable } from './flat-table.ts'
import { tableFault } from './table-fault.ts'
import { tableBatches, TableShape } from './table-shape.ts'
import type { TableReadOptions, TableSource } from './table-source.ts'

const MAGIC = 'ARROW1'
const PREFIX_BYTES = 8
/** Length of the footer, and the magic. */
const TRAILER_BYTES = 10
/** A record batch is held in memory. */
const BODY_BYTES_MAX = 2 ** 31 - 1

export async function openArrowTable(
  path: string,
  { batchRows, signal }: TableReadOptions,
): Promise<TableSource> {
  const file = await openFile(path)
  try {
    const arrow = await ArrowFile.open(file)
    const shape = new TableShape(arrow.schema.fields)
    await findDimensions(path, arrow, shape)
    const columns = shape.columns()
    return {
      columns,
      rows: null,
      batches: () => readBatches(path, arrow, columns, { batchRows, signal }),
      close: () => file.close(),
    }
  } catch (error) {
    await file.close()
    throw tableFault(path, {}, error)
  }
}

async function openFile(path: string): Promise<FileHandle> {
  try {
    return await open(path, 'r')
  } catch (error) {
    throw tableFault(path, {}, error)
  }
}

async function findDimensions(path: string, arrow: ArrowFile, shape: TableShape): Promise<void> {
  if (shape.open.length === 0) return
  let at = 0
  try {
    for await (const batch of arrow.batches()) {
      shape.look(batch)
      if (shape.open.length === 0) return
      at += 1
    }
  } catch (error) {
    throw tableFault(path, { batch: at }, error)
  }
}

async function* readBatches(
  path: string,
  arrow: ArrowFile,
  columns: readonly Column[],
  { batchRows, signal }: TableReadOptions,
): AsyncGenerator<TableBatch, undefined> {
  let at = 0
  try {
    for await (const batch of arrow.batches()) {
      for (const table of tableBatches(columns, batch, batchRows)) {
        signal.throwIfAborted()
        yield table
      }
      at += 1
    }
  } catch (error) {
    if (signal.aborted) throw error
    throw tableFault(path, { batch: at }, error)
  }
}

/** A stream, or the stream within a file. */
interface Extent {
  readonly start: number
  readonly end: number
  /** Record batches that there must be; null for a stream. */
  readonly batches: number | null
}

class ArrowFile {
  readonly schema: ArrowSchema
  readonly #file: FileHandle
  readonly #extent: Extent
  readonly #firstBatchAt: number

  private constructor(file: FileHandle, extent: Extent, schema: ArrowSchema, firstBatchAt: number) {
    this.#file = file
    this.#extent = extent
    this.schema = schema
    this.#firstBatchAt = firstBatchAt
  }

  /** @throws {ArrowFault} */
  static async open(file: FileHandle): Promise<ArrowFile> {
    const extent = await extentOf(file)
    const first = await readMessage(file, extent.start, extent.end)
    if (first === null) throw new ArrowFault('it is empty')
    const schema = schemaOf(first.message, TABLES_SCOPE)
    return new ArrowFile(file, extent, schema, first.bodyAt)
  }

  /** All record batches from the first on; may be asked for again. @throws {ArrowFault} */
  async *batches(): AsyncGenerator<ArrowBatch, undefined> {
    const { end, batches } = this.#extent
    const decoder = new BatchDecoder(this.schema, TABLES_SCOPE)
    let at = this.#firstBatchAt
    let count = 0
    for (;;) {
      const next = await readMessage(this.#file, at, end)
      if (next === null) break
      const { message, bodyAt } = next
      at = bodyAt + message.bodyBytes
      if (at > end) throw new ArrowFault('the stream ends inside a message body')
      if (message.bodyBytes > BODY_BYTES_MAX) throw new ArrowFault('a record batch is over 2 GiB')
      const batch = decoder.take(message, await read(this.#file, bodyAt, message.bodyBytes))
      if (batch === null) continue
      count += 1
      yield batch
    }
    if (batches !== null && count !== batches) {
      throw new ArrowFault(`it has ${count} record batches instead of ${batches}`)
    }
  }
}

async function extentOf(file: FileHandle): Promise<Extent> {
  const { size } = await file.stat()
  const stream = { start: 0, end: size, batches: null }
  if (size < PREFIX_BYTES + TRAILER_BYTES) return stream
  const head = await read(file, 0, PREFIX_BYTES)
  if (textOf(head.subarray(0, MAGIC.length)) !== MAGIC) return stream
  const trailer = await read(file, size - TRAILER_BYTES, TRAILER_BYTES)
  if (textOf(trailer.subarray(4)) !== MAGIC) throw new ArrowFault('it has lost its end')
  const footerBytes = viewOf(trailer).getInt32(0, true)
  const end = size - TRAILER_BYTES - footerBytes
  const isSane = footerBytes > 0 && footerBytes <= TABLES_SCOPE.headerBytesMax
  if (!isSane || end < PREFIX_BYTES) throw new ArrowFault('its footer is damaged')
  return { start: PREFIX_BYTES, end, batches: countBatches(await read(file, end, footerBytes)) }
}

/** Record batches that a footer lists, each with 24 bytes. */
function countBatches(footer: Uint8Array): number {
  try {
    return FlatTable.root(viewOf(footer)).vector(3, 24).length
  } catch (error) {
    if (error instanceof RangeError) throw new ArrowFault('its footer is damaged')
    throw error
  }
}

/** The message at `at`, whose body is not read; null at the end of the stream. */
async function readMessage(
  file: FileHandle,
  at: number,
  end: number,
): Promise<{ readonly message: MessageHeader; readonly bodyAt: number } | null> {
  if (at === end) return null
  if (at + PREFIX_BYTES > end) throw new ArrowFault('the stream ends inside a message')
  const prefix = await read(file, at, PREFIX_BYTES)
  const headerBytes = readPrefix(viewOf(prefix), 0, TABLES_SCOPE)
  if (headerBytes === 0) return null
  const headerAt = at + PREFIX_BYTES
  const bodyAt = headerAt + headerBytes
  if (bodyAt > end) throw new ArrowFault('the stream ends inside a message header')
  return { message: readHeader(await read(file, headerAt, headerBytes)), bodyAt }
}

async function read(file: FileHandle, at: number, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length)
  for (let done = 0; done < length;) {
    const { bytesRead } = await file.read(bytes, done, length - done, at + done)
    if (bytesRead === 0) throw new ArrowFault('the file has become shorter')
    done += bytesRead
  }
  return bytes
}

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('latin1')
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
