/**
 * Bodies of the frames that ask one shard and of its answers.
 *
 * Vectors are raw float32 in the byte order of the machine (little-endian wherever vectord runs),
 * filters and metadata stay the JSON text that they are, and log payloads pass as they are. What is
 * rare and small (`open`, `checkpoint`, `verify`, statistics) is JSON; see `readJson`.
 */

import type { Probe, SampleRequest } from '../domain/recall-sample.ts'
import {
  SEARCH_PATHS,
  type Hit,
  type Include,
  type KeywordQuery,
  type PointVersion,
  type ScrollPage,
  type ScrollPosition,
  type ShardAnswer,
  type ShardQuery,
  type StoredPoint,
  type VersionsPage,
  type VersionsRequest,
} from '../domain/search.ts'
import { invariant } from '../lib/invariant.ts'
import { BodyReader } from './body-reader.ts'
import type { FrameWriter } from './frame-writer.ts'

export interface ApplyRequest {
  readonly lsn: number
  /** The bytes of the log record. They must not change until the frame has left. */
  readonly payload: Uint8Array
}

export interface FetchRequest {
  readonly ids: readonly string[]
  readonly include: Include
}

export interface ScrollPageRequest {
  readonly after: ScrollPosition | null
  readonly limit: number
  readonly filter: string | null
  readonly include: Include
}

const QUERY = {
  ...{ vector: 1, ef: 2, exact: 4, filter: 8, generation: 16, asOf: 32, keywords: 64 },
} as const
const INCLUDE = { metadata: 1, vector: 2, text: 4 } as const
const POINT = { present: 1, metadata: 2, vector: 4, text: 8 } as const
const ANSWER = { exhausted: 1, completeFrom: 2 } as const
const PAGE = { known: 1, done: 2 } as const
const VERSION_KINDS = ['live', 'kept', 'deleted'] as const

export function writeJson(writer: FrameWriter, value: unknown): void {
  writer.rest(Buffer.from(JSON.stringify(value)))
}

/** The other end is our own build: what it wrote has the type that the reader says. */
export function readJson(body: Buffer): unknown {
  return JSON.parse(body.toString('utf8'))
}

export function writeApply(writer: FrameWriter, request: ApplyRequest): void {
  writer.f64(request.lsn)
  writer.rest(request.payload)
}

export function readApply(body: Buffer): ApplyRequest {
  const reader = new BodyReader(body)
  return { lsn: reader.f64(), payload: reader.rest() }
}

export function writeQuery(writer: FrameWriter, query: ShardQuery): void {
  const { target, ef, filter, generation, asOf } = query
  writer.u8(queryBits(query))
  writer.u8(includeBits(query.include))
  writer.u32(query.k)
  if (ef !== null) writer.u32(ef)
  if ('vector' in target) writer.vector(target.vector)
  else if ('id' in target) writer.text(target.id)
  else writer.text(JSON.stringify(target.keywords))
  if (filter !== null) writer.text(filter)
  if (generation !== undefined) writer.f64(generation)
  if (asOf !== undefined) writer.f64(asOf)
}

export function readQuery(body: Buffer): ShardQuery {
  return queryOf(new BodyReader(body))
}

export function writeSample(writer: FrameWriter, { query, probes }: SampleRequest): void {
  writeQuery(writer, query)
  writer.text(JSON.stringify(probes))
}

export function readSample(body: Buffer): SampleRequest {
  const reader = new BodyReader(body)
  const query = queryOf(reader)
  return { query, probes: JSON.parse(reader.text()) as readonly Probe[] }
}

function queryOf(reader: BodyReader): ShardQuery {
  const bits = reader.u8()
  const include = includeOf(reader.u8())
  const k = reader.u32()
  const ef = (bits & QUERY.ef) === 0 ? null : reader.u32()
  const target = targetOf(reader, bits)
  const filter = (bits & QUERY.filter) === 0 ? null : reader.text()
  const exact = (bits & QUERY.exact) !== 0
  return {
    ...{ target, k, ef, exact, filter, include },
    ...((bits & QUERY.generation) !== 0 && { generation: reader.f64() }),
    ...((bits & QUERY.asOf) !== 0 && { asOf: reader.f64() }),
  }
}

function targetOf(reader: BodyReader, bits: number): ShardQuery['target'] {
  if ((bits & QUERY.vector) !== 0) return { vector: reader.vector() }
  if ((bits & QUERY.keywords) === 0) return { id: reader.text() }
  return { keywords: JSON.parse(reader.text()) as KeywordQuery }
}

export function writeAnswer(writer: FrameWriter, answer: ShardAnswer): void {
  writer.f64(answer.lsn)
  writer.f64(answer.generation)
  writer.u32(answer.efUsed)
  writer.u8(SEARCH_PATHS.indexOf(answer.path))
  const { completeFrom } = answer
  writer.u8(
    (answer.exhausted ? ANSWER.exhausted : 0) |
      (completeFrom === undefined ? 0 : ANSWER.completeFrom),
  )
  if (completeFrom !== undefined) writer.f64(completeFrom)
  writer.u32(answer.hits.length)
  for (const hit of answer.hits) {
    writer.f64(hit.distance)
    writePoint(writer, hit)
  }
}

export function readAnswer(body: Buffer): ShardAnswer {
  const reader = new BodyReader(body)
  const lsn = reader.f64()
  const generation = reader.f64()
  const efUsed = reader.u32()
  const path = SEARCH_PATHS[reader.u8()]
  invariant(path !== undefined, 'the search path of an answer is known')
  const bits = reader.u8()
  const exhausted = (bits & ANSWER.exhausted) !== 0
  const from = (bits & ANSWER.completeFrom) === 0 ? null : reader.f64()
  const count = reader.u32()
  const hits: Hit[] = []
  for (let i = 0; i < count; i += 1) {
    const distance = reader.f64()
    const point = readPoint(reader)
    invariant(point !== null, 'a hit is a point')
    hits.push({
      id: point.id,
      version: point.version,
      metadata: point.metadata,
      text: point.text,
      vector: point.vector,
      distance,
    })
  }
  const answer = { hits, path, efUsed, generation, exhausted, lsn }
  return from === null ? answer : { ...answer, completeFrom: from }
}

export function writeFetch(writer: FrameWriter, request: FetchRequest): void {
  writer.u8(includeBits(request.include))
  writeTexts(writer, request.ids)
}

export function readFetch(body: Buffer): FetchRequest {
  const reader = new BodyReader(body)
  const include = includeOf(reader.u8())
  return { include, ids: readTexts(reader) }
}

export function writePoints(writer: FrameWriter, points: readonly (StoredPoint | null)[]): void {
  writer.u32(points.length)
  for (const point of points) {
    if (point === null) writer.u8(0)
    else writePoint(writer, point)
  }
}

export function readPoints(body: Buffer): (StoredPoint | null)[] {
  const reader = new BodyReader(body)
  return readMany(reader, () => readPoint(reader))
}

export function writeVersions(writer: FrameWriter, page: VersionsPage): void {
  writer.u8((page.isKnown ? PAGE.known : 0) | (page.done ? PAGE.done : 0))
  writer.u32(page.versions.length)
  for (const version of page.versions) {
    writer.u8(VERSION_KINDS.indexOf(version.kind))
    writer.f64(version.endedAt ?? Infinity)
    writePoint(writer, version)
  }
}

export function readVersions(body: Buffer): VersionsPage {
  const reader = new BodyReader(body)
  const bits = reader.u8()
  const versions = readMany(reader, (): PointVersion => {
    const kind = VERSION_KINDS[reader.u8()]
    invariant(kind !== undefined, 'the kind of a version is known')
    const endLsn = reader.f64()
    const point = readPoint(reader)
    invariant(point !== null, 'a version is a point')
    return { ...point, kind, endedAt: endLsn === Infinity ? null : endLsn }
  })
  return { versions, isKnown: (bits & PAGE.known) !== 0, done: (bits & PAGE.done) !== 0 }
}

export function readVersionsRequest(body: Buffer): VersionsRequest {
  return readJson(body) as VersionsRequest
}

export function writeScroll(writer: FrameWriter, request: ScrollPageRequest): void {
  const { after, limit, filter, include } = request
  writeJson(writer, { after, limit, filter, include })
}

export function readScroll(body: Buffer): ScrollPageRequest {
  return readJson(body) as ScrollPageRequest
}

export function writePage(writer: FrameWriter, page: ScrollPage): void {
  invariant(page.points.length === page.positions.length, 'each point of a page has a position')
  writer.u8(page.done ? 1 : 0)
  writer.u32(page.positions.length)
  for (const position of page.positions) {
    writer.f64(position.lsn)
    writer.u32(position.row)
  }
  for (const point of page.points) writePoint(writer, point)
}

export function readPage(body: Buffer): ScrollPage {
  const reader = new BodyReader(body)
  const done = reader.u8() === 1
  const positions = readMany(reader, () => ({ lsn: reader.f64(), row: reader.u32() }))
  const points = positions.map(() => {
    const point = readPoint(reader)
    invariant(point !== null, 'a page holds points')
    return point
  })
  return { points, positions, done }
}

export function writeIds(writer: FrameWriter, ids: readonly string[]): void {
  writeTexts(writer, ids)
}

export function readIds(body: Buffer): string[] {
  return readTexts(new BodyReader(body))
}

export function writePoint(writer: FrameWriter, point: StoredPoint): void {
  const { metadata, vector, text } = point
  writer.u8(
    POINT.present |
      (metadata === null ? 0 : POINT.metadata) |
      (vector === null ? 0 : POINT.vector) |
      (text === null ? 0 : POINT.text),
  )
  writer.text(point.id)
  writer.f64(point.version)
  if (metadata !== null) writer.text(metadata)
  if (vector !== null) writer.vector(vector)
  if (text !== null) writer.text(text)
}

export function readPoint(reader: BodyReader): StoredPoint | null {
  const bits = reader.u8()
  if (bits === 0) return null
  const id = reader.text()
  const version = reader.f64()
  const metadata = (bits & POINT.metadata) === 0 ? null : reader.text()
  const vector = (bits & POINT.vector) === 0 ? null : reader.vector()
  const text = (bits & POINT.text) === 0 ? null : reader.text()
  return { id, version, metadata, text, vector }
}

export function writeTexts(writer: FrameWriter, texts: readonly string[]): void {
  writer.u32(texts.length)
  for (const text of texts) writer.text(text)
}

export function readTexts(reader: BodyReader): string[] {
  return readMany(reader, () => reader.text())
}

export function readMany<T>(reader: BodyReader, read: () => T): T[] {
  const count = reader.u32()
  const all: T[] = []
  for (let i = 0; i < count; i += 1) all.push(read())
  return all
}

function queryBits({ target, ef, exact, filter, generation, asOf }: ShardQuery): number {
  return (
    ('vector' in target ? QUERY.vector : 0) |
    ('keywords' in target ? QUERY.keywords : 0) |
    (ef === null ? 0 : QUERY.ef) |
    (exact ? QUERY.exact : 0) |
    (filter === null ? 0 : QUERY.filter) |
    (generation === undefined ? 0 : QUERY.generation) |
    (asOf === undefined ? 0 : QUERY.asOf)
  )
}

export function includeBits(include: Include): number {
  return (
    (include.metadata ? INCLUDE.metadata : 0) |
    (include.vector ? INCLUDE.vector : 0) |
    (include.text ? INCLUDE.text : 0)
  )
}

export function includeOf(bits: number): Include {
  return {
    metadata: (bits & INCLUDE.metadata) !== 0,
    vector: (bits & INCLUDE.vector) !== 0,
    text: (bits & INCLUDE.text) !== 0,
  }
}
