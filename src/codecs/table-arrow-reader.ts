/**
 * Arrow IPC files as tables, a record batch at a time: the stream format and the file format.
 *
 *     stream   schema, messages, [end mark]
 *     file     ARROW1 and 2 bytes, messages, footer, footer bytes (int32), ARROW1
 *     footer   1 schema · 2 places of dictionaries · 3 places of record batches (24 bytes each)
 *
 * The messages of a file are read in the order of its footer, the dictionaries first. A stream without
 * its end mark may have lost some batches, and nothing can tell.
 */

import { open, type FileHandle } from 'node:fs/promises'
import type { Column, TableBatch } from '../domain/table.ts'
import { ArrowFault, type ArrowSchema, readSchema, TABLES_SCOPE } from './arrow-schema.ts'
import {
  type ArrowBatch,
  BatchDecoder,
  type MessageHeader,
  readHeader,
  readPrefix,
  schemaOf,
} from './arrow-stream.ts'
import { FlatTable, readCount } from './flat-table.ts'
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

class ArrowFile {
  readonly schema: ArrowSchema
  readonly #file: FileHandle
  /** Nothing of a message lies behind it. */
  readonly #end: number
  /** Where each message begins; null where each begins behind the one before. */
  readonly #places: readonly number[] | null
  readonly #start: number

  private constructor(
    file: FileHandle,
    schema: ArrowSchema,
    messages: {
      readonly start: number
      readonly end: number
      readonly places: readonly number[] | null
    },
  ) {
    this.#file = file
    this.schema = schema
    this.#start = messages.start
    this.#end = messages.end
    this.#places = messages.places
  }

  /** @throws {ArrowFault} */
  static async open(file: FileHandle): Promise<ArrowFile> {
    const { size } = await file.stat()
    const footer = await readFooter(file, size)
    if (footer !== null) {
      const { end, bytes } = footer
      const { schema, places } = decodeFooter(bytes)
      return new ArrowFile(file, schema, { start: PREFIX_BYTES, end, places })
    }
    const first = await readMessage(file, 0, size)
    if (first === null) throw new ArrowFault('it is empty')
    const schema = schemaOf(first.message, TABLES_SCOPE)
    const start = first.bodyAt + first.message.bodyBytes
    return new ArrowFile(file, schema, { start, end: size, places: null })
  }

  /** All record batches from the first on; may be asked for again. @throws {ArrowFault} */
  async *batches(): AsyncGenerator<ArrowBatch, undefined> {
    const decoder = new BatchDecoder(this.schema, TABLES_SCOPE)
    for await (const { message, bodyAt } of this.#messages()) {
      const { bodyBytes } = message
      if (bodyBytes > BODY_BYTES_MAX) throw new ArrowFault('a record batch is over 2 GiB')
      if (bodyAt + bodyBytes > this.#end) {
        throw new ArrowFault('the stream ends inside a message body')
      }
      const batch = decoder.take(message, await read(this.#file, bodyAt, bodyBytes))
      if (batch !== null) yield batch
    }
  }

  async *#messages(): AsyncGenerator<PlacedMessage, undefined> {
    for (const place of this.#places ?? []) {
      const message = await readMessage(this.#file, place, this.#end)
      if (message === null) throw new ArrowFault('its footer names a message that is none')
      yield message
    }
    if (this.#places !== null) return
    for (let at = this.#start; ;) {
      const next = await readMessage(this.#file, at, this.#end)
      if (next === null) return
      yield next
      at = next.bodyAt + next.message.bodyBytes
    }
  }
}

interface PlacedMessage {
  readonly message: MessageHeader
  readonly bodyAt: number
}

/** Null where it is a stream. */
async function readFooter(
  file: FileHandle,
  size: number,
): Promise<{ readonly bytes: Uint8Array; readonly end: number } | null> {
  if (size < MAGIC.length) return null
  if (textOf(await read(file, 0, MAGIC.length)) !== MAGIC) return null
  if (size < PREFIX_BYTES + TRAILER_BYTES) throw new ArrowFault('it has lost its end')
  const trailer = await read(file, size - TRAILER_BYTES, TRAILER_BYTES)
  if (textOf(trailer.subarray(4)) !== MAGIC) throw new ArrowFault('it has lost its end')
  const footerBytes = viewOf(trailer).getInt32(0, true)
  const end = size - TRAILER_BYTES - footerBytes
  const isSane = footerBytes > 0 && footerBytes <= TABLES_SCOPE.headerBytesMax
  if (!isSane || end < PREFIX_BYTES) throw new ArrowFault('its footer is damaged')
  return { bytes: await read(file, end, footerBytes), end }
}

function decodeFooter(bytes: Uint8Array): {
  readonly schema: ArrowSchema
  readonly places: readonly number[]
} {
  try {
    const footer = FlatTable.root(viewOf(bytes))
    const header = footer.table(1)
    if (header === null) throw new ArrowFault('its footer has no schema')
    const places = [...placesOf(footer, 2), ...placesOf(footer, 3)]
    return { schema: readSchema(header, TABLES_SCOPE), places }
  } catch (error) {
    if (error instanceof RangeError) throw new ArrowFault('its footer is damaged')
    throw error
  }
}

const BLOCK_BYTES = 24

function placesOf(footer: FlatTable, field: number): readonly number[] {
  const { at, length } = footer.vector(field, BLOCK_BYTES)
  return Array.from({ length }, (_, i) => readCount(footer.view, at + BLOCK_BYTES * i))
}

/** The message at `at`, whose body is not read; null at the end of the stream. */
async function readMessage(
  file: FileHandle,
  at: number,
  end: number,
): Promise<PlacedMessage | null> {
  if (at >= end) return null
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
