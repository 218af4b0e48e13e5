/**
 * Bodies of the frames between front and Lance core.
 *
 *     request   | verb u8 | table: LanceTableSpec as JSON text | what is asked |
 *     answer    what the verb answers
 *
 * Vectors are raw float32, filters and metadata stay the JSON text that they are. What is rare and
 * small is JSON.
 */

import type {
  LanceAnswer,
  LancePage,
  LanceRows,
  LanceScroll,
  LanceSearch,
} from '../domain/lance-table.ts'
import type { Include, StoredPoint } from '../domain/search.ts'
import { invariant } from '../lib/invariant.ts'
import type { BodyReader } from './body-reader.ts'
import type { FrameWriter } from './frame-writer.ts'
import {
  includeBits,
  includeOf,
  readMany,
  readPoint,
  readTexts,
  writePoint,
  writeTexts,
} from './shard-codec.ts'

export const LANCE_VERBS = [
  'create',
  'drop',
  'upsert',
  'append',
  'delete',
  'deleteMatching',
  'search',
  'fetch',
  'scroll',
  'count',
  'sample',
  'repeated',
  'buildIndex',
  'buildScalarIndex',
  'optimize',
  'versions',
  'stats',
] as const

export type LanceVerb = (typeof LANCE_VERBS)[number]

const PATHS = ['exact', 'ivf', 'ivf_filtered'] as const
const SEARCH = { exact: 1, filter: 2, asOf: 4, nprobes: 8, refineFactor: 16, ef: 32 } as const
/** Numbers of a search that may be left out. */
const SETTINGS = ['asOf', 'nprobes', 'refineFactor', 'ef'] as const
const FETCH = { asOf: 1 } as const
const SCROLL = { after: 1, filter: 2, asOf: 4 } as const
const ROW = { text: 1, metadata: 2 } as const

export function writeLanceHead(writer: FrameWriter, verb: LanceVerb, spec: string): void {
  writer.u8(LANCE_VERBS.indexOf(verb))
  writer.text(spec)
}

/** @returns the verb and the spec of the table as JSON text; `reader` stands at what is asked. */
export function readLanceHead(reader: BodyReader): { verb: LanceVerb; spec: string } {
  const verb = LANCE_VERBS[reader.u8()]
  invariant(verb !== undefined, 'the verb of a Lance request is known')
  return { verb, spec: reader.text() }
}

/** The vectors must not change until the frame has left. */
export function writeRows(writer: FrameWriter, rows: LanceRows): void {
  const { ids, vectors, texts, metadata } = rows
  writeTexts(writer, ids)
  for (let row = 0; row < ids.length; row += 1) {
    const text = texts[row] ?? null
    const json = metadata[row] ?? null
    writer.u8((text === null ? 0 : ROW.text) | (json === null ? 0 : ROW.metadata))
    if (text !== null) writer.text(text)
    if (json !== null) writer.text(json)
  }
  writer.rest(new Uint8Array(vectors.buffer, vectors.byteOffset, vectors.byteLength))
}

export function readRows(reader: BodyReader): LanceRows {
  const ids = readTexts(reader)
  const texts: (string | null)[] = []
  const metadata: (string | null)[] = []
  for (let row = 0; row < ids.length; row += 1) {
    const bits = reader.u8()
    texts.push((bits & ROW.text) === 0 ? null : reader.text())
    metadata.push((bits & ROW.metadata) === 0 ? null : reader.text())
  }
  return { ids, vectors: floatsOf(reader.rest()), texts, metadata }
}

export function writeLanceSearch(writer: FrameWriter, search: LanceSearch): void {
  const settings = SETTINGS.filter((name) => search[name] !== null)
  const bits = settings.reduce((sum, name) => sum | SEARCH[name], search.exact ? SEARCH.exact : 0)
  writer.u8(bits | (search.filter === null ? 0 : SEARCH.filter))
  writer.u8(includeBits(search.include))
  writer.u32(search.k)
  if (search.filter !== null) writer.text(search.filter)
  for (const name of settings) writer.f64(search[name] ?? 0)
  writer.vector(search.vector)
}

export function readLanceSearch(reader: BodyReader): LanceSearch {
  const bits = reader.u8()
  const include = includeOf(reader.u8())
  const k = reader.u32()
  const filter = (bits & SEARCH.filter) === 0 ? null : reader.text()
  const number = (name: (typeof SETTINGS)[number]): number | null =>
    (bits & SEARCH[name]) === 0 ? null : reader.f64()
  // In the order of `SETTINGS`.
  const asOf = number('asOf')
  const nprobes = number('nprobes')
  const refineFactor = number('refineFactor')
  const ef = number('ef')
  const exact = (bits & SEARCH.exact) !== 0
  return { vector: reader.vector(), k, exact, filter, include, asOf, nprobes, refineFactor, ef }
}

export function writeLanceAnswer(writer: FrameWriter, answer: LanceAnswer): void {
  writer.u8(PATHS.indexOf(answer.path))
  writer.f64(answer.version)
  writer.f64(answer.tookUs)
  writer.u32(answer.hits.length)
  for (const hit of answer.hits) {
    writer.f64(hit.distance)
    writePoint(writer, hit)
  }
}

export function readLanceAnswer(reader: BodyReader): LanceAnswer {
  const path = PATHS[reader.u8()]
  invariant(path !== undefined, 'the path of a Lance answer is known')
  const version = reader.f64()
  const tookUs = reader.f64()
  const hits = readMany(reader, () => {
    const distance = reader.f64()
    return { ...readSome(reader), distance }
  })
  return { hits, path, version, tookUs }
}

export interface LanceFetch {
  readonly ids: readonly string[]
  readonly include: Include
  readonly asOf: number | null
}

export function writeLanceFetch(writer: FrameWriter, { ids, include, asOf }: LanceFetch): void {
  writer.u8(asOf === null ? 0 : FETCH.asOf)
  writer.u8(includeBits(include))
  if (asOf !== null) writer.f64(asOf)
  writeTexts(writer, ids)
}

export function readLanceFetch(reader: BodyReader): LanceFetch {
  const bits = reader.u8()
  const include = includeOf(reader.u8())
  const asOf = (bits & FETCH.asOf) === 0 ? null : reader.f64()
  return { ids: readTexts(reader), include, asOf }
}

export interface LancePoints {
  readonly points: readonly (StoredPoint | null)[]
  readonly version: number
}

export function writeLancePoints(writer: FrameWriter, { points, version }: LancePoints): void {
  writer.f64(version)
  writer.u32(points.length)
  for (const point of points) {
    if (point === null) writer.u8(0)
    else writePoint(writer, point)
  }
}

export function readLancePoints(reader: BodyReader): LancePoints {
  const version = reader.f64()
  return { points: readMany(reader, () => readPoint(reader)), version }
}

export function writeLanceScroll(writer: FrameWriter, scroll: LanceScroll): void {
  const { after, filter, asOf } = scroll
  writer.u8(
    (after === null ? 0 : SCROLL.after) |
      (filter === null ? 0 : SCROLL.filter) |
      (asOf === null ? 0 : SCROLL.asOf),
  )
  writer.u8(includeBits(scroll.include))
  writer.u32(scroll.limit)
  if (after !== null) writer.text(after)
  if (filter !== null) writer.text(filter)
  if (asOf !== null) writer.f64(asOf)
}

export function readLanceScroll(reader: BodyReader): LanceScroll {
  const bits = reader.u8()
  const include = includeOf(reader.u8())
  const limit = reader.u32()
  const after = (bits & SCROLL.after) === 0 ? null : reader.text()
  const filter = (bits & SCROLL.filter) === 0 ? null : reader.text()
  const asOf = (bits & SCROLL.asOf) === 0 ? null : reader.f64()
  return { after, limit, filter, include, asOf }
}

export function writeLancePage(writer: FrameWriter, page: LancePage): void {
  writer.f64(page.version)
  writer.u8(page.done ? 1 : 0)
  writer.u32(page.points.length)
  for (const point of page.points) writePoint(writer, point)
}

export function readLancePage(reader: BodyReader): LancePage {
  const version = reader.f64()
  const done = reader.u8() === 1
  return { points: readMany(reader, () => readSome(reader)), done, version }
}

export interface LanceSample {
  readonly ids: readonly string[]
  readonly vectors: Float32Array
}

export function writeLanceSample(writer: FrameWriter, { ids, vectors }: LanceSample): void {
  writeTexts(writer, ids)
  writer.rest(new Uint8Array(vectors.buffer, vectors.byteOffset, vectors.byteLength))
}

export function readLanceSample(reader: BodyReader): LanceSample {
  return { ids: readTexts(reader), vectors: floatsOf(reader.rest()) }
}

function readSome(reader: BodyReader): StoredPoint {
  const point = readPoint(reader)
  invariant(point !== null, 'this list holds points')
  return point
}

/** A copy where the bytes are not aligned for floats. */
function floatsOf(bytes: Buffer): Float32Array {
  const width = Float32Array.BYTES_PER_ELEMENT
  const isAligned = bytes.byteOffset % width === 0
  const from = isAligned ? bytes : new Uint8Array(bytes)
  return new Float32Array(from.buffer, from.byteOffset, bytes.byteLength / width)
}
