/**
 * Live points as the rows of an export: which of them, and in which form.
 *
 *     parquet, arrow, csv   id · vector · text · metadata (JSON text) · version
 *     ndjson                {"id", "vector", "text"?, "metadata"?}: a body that POST …/points takes
 *
 * A text that waits for its vector has none: null, or no such field.
 */

import { encodeTable } from '../codecs/table-writer.ts'
import type { Column, TableBatch } from '../domain/table.ts'
import { Bitmap } from '../engines/bitmap.ts'
import type { LivePoints } from '../shard/live-points.ts'
import { MetadataIndex, parseMetadata } from '../shard/metadata-index.ts'
import type { ExportForm } from './export-job.ts'

/** Lines are gathered up to about this many UTF-16 units before they are given out. */
const CHUNK_CHARS = 64 * 1024

/** The bytes of the file. @throws what `points` throws, after some bytes. */
export function encodeExport(
  points: AsyncIterable<LivePoints>,
  wish: ExportForm,
): AsyncIterable<Uint8Array> {
  const some = wish.filter === null ? points : matching(points, wish.filter)
  if (wish.format === 'ndjson') return pointLines(some, wish.includeVectors)
  const columns = columnsOf(wish)
  return encodeTable(wish.format, columns, tables(some, columns))
}

function columnsOf({ includeVectors, dimension }: ExportForm): Column[] {
  const vector: Column = { name: 'vector', type: 'vector', nullable: true, dimension }
  return [
    { name: 'id', type: 'utf8', nullable: false },
    ...(includeVectors ? [vector] : []),
    { name: 'text', type: 'utf8', nullable: true },
    { name: 'metadata', type: 'utf8', nullable: true },
    { name: 'version', type: 'int64', nullable: false },
  ]
}

async function* tables(
  points: AsyncIterable<LivePoints>,
  columns: readonly Column[],
): AsyncGenerator<TableBatch, undefined> {
  const hasVectors = columns.some(({ name }) => name === 'vector')
  for await (const { ids, vectors, texts, metadata, versions } of points) {
    const numbers = Array.from(versions, (version) => BigInt(version))
    const cells = [ids, ...(hasVectors ? [vectors] : []), texts, metadata, numbers]
    yield { columns, rows: ids.length, cells }
  }
}

async function* pointLines(
  points: AsyncIterable<LivePoints>,
  includeVectors: boolean,
): AsyncGenerator<Uint8Array, undefined> {
  for await (const batch of points) {
    let lines = ''
    for (const i of batch.ids.keys()) {
      lines += lineOf(batch, i, includeVectors)
      if (lines.length < CHUNK_CHARS) continue
      yield Buffer.from(lines)
      lines = ''
    }
    if (lines !== '') yield Buffer.from(lines)
  }
}

function lineOf(
  { ids, vectors, texts, metadata }: LivePoints,
  i: number,
  includeVectors: boolean,
): string {
  const vector = includeVectors ? (vectors[i] ?? null) : null
  const text = texts[i] ?? null
  const json = metadata[i] ?? null
  let line = `{"id":${JSON.stringify(ids[i])}`
  if (vector !== null) line += `,"vector":[${numbersOf(vector)}]`
  if (text !== null) line += `,"text":${JSON.stringify(text)}`
  if (json !== null) line += `,"metadata":${oneLine(json)}`
  return `${line}}\n`
}

/** Nine digits name a float32 exactly, and are written twice as fast as all that a double has. */
const FLOAT32_DIGITS = 9

function numbersOf(vector: Float32Array): string {
  let text = ''
  for (const value of vector) {
    if (text !== '') text += ','
    text += Number.isSafeInteger(value) ? String(value) : value.toPrecision(FLOAT32_DIGITS)
  }
  return text
}

/** The text of a JSON object, which may have been written over several lines. */
function oneLine(json: string): string {
  return /[\r\n]/.test(json) ? JSON.stringify(JSON.parse(json)) : json
}

/** The points whose metadata match, as searches understand the filter. */
async function* matching(
  points: AsyncIterable<LivePoints>,
  filter: string,
): AsyncGenerator<LivePoints, undefined> {
  for await (const batch of points) {
    const index = new MetadataIndex()
    const all = new Bitmap(batch.ids.length)
    for (const [i, json] of batch.metadata.entries()) {
      index.add(i, parseMetadata(json))
      all.add(i)
    }
    const { slots, count } = index.matchAmong(filter, all)
    if (count > 0) yield pick(batch, (i) => slots.has(i))
  }
}

function pick(batch: LivePoints, isWanted: (i: number) => boolean): LivePoints {
  const wanted = (_: unknown, i: number): boolean => isWanted(i)
  return {
    ids: batch.ids.filter(wanted),
    vectors: batch.vectors.filter(wanted),
    texts: batch.texts.filter(wanted),
    metadata: batch.metadata.filter(wanted),
    versions: batch.versions.filter(wanted),
  }
}
