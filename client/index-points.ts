/**
 * The points of one index: writing, reading, scrolling, streaming, searching.
 */

import { VectordApiError } from './errors.ts'
import { importPoints, type ImportOptions, type ImportProgress } from './import-points.ts'
import type { PointSource } from './import-points.ts'
import { pathOf, type Call, type Transport } from './transport.ts'
import type {
  Answer,
  CallOptions,
  Filter,
  Hit,
  HitJson,
  Point,
  PointInput,
  ReadOptions,
  SearchQuery,
  SearchResult,
  StreamResult,
  WriteOptions,
  WriteResult,
} from './types.ts'
import { vectorFromBase64, vectorToBase64 } from './vectors.ts'

export interface ScrollOptions extends ReadOptions {
  readonly filter?: Filter
  /** Points of a page; 500 by default. */
  readonly pagePoints?: number
}

export interface StreamOptions extends CallOptions {
  /** Milliseconds that the service may take to make the points durable. */
  readonly deadlineMs?: number
}

/** What a query of a batch got: its result, or the error in its place. */
export type BatchAnswer =
  | { readonly ok: true; readonly result: SearchResult }
  | { readonly ok: false; readonly error: VectordApiError }

type PageJson = Answer<'/vectors/indexes/{index}/points', 'get'>
type PointJson = Answer<'/vectors/indexes/{index}/points/{id}', 'get'>
type SearchJson = Answer<'/vectors/indexes/{index}/search', 'post'>
type BatchJson = Answer<'/vectors/indexes/{index}/search/batch', 'post'>

const PAGE_POINTS = 500

export class IndexPoints {
  readonly #transport: Transport
  readonly #path: string

  constructor(transport: Transport, index: string) {
    this.#transport = transport
    this.#path = pathOf`/vectors/indexes/${index}`
  }

  /** Upserts all points or none; resolves when they are durable and, by default, searchable. */
  upsert(points: readonly PointInput[], options: WriteOptions = {}): Promise<WriteResult> {
    const query = { ack: options.ack }
    const json = { points: points.map(pointToJson) }
    return this.#transport.json({ ...this.#post('/points', json, options), query })
  }

  /** Unknown ids are no error. */
  delete(ids: readonly string[], options: WriteOptions = {}): Promise<WriteResult> {
    const query = { ack: options.ack }
    return this.#transport.json({ ...this.#post('/points/delete', { ids }, options), query })
  }

  /** Deletes the points that match now. */
  deleteMatching(
    filter: Filter,
    options: WriteOptions = {},
  ): Promise<{ readonly lsn: number; readonly deleted: number }> {
    const query = { ack: options.ack }
    // A second try would count what is left, and so tell another number: it is not made.
    const again = 'once' as const
    const call = { ...this.#post('/points/delete', { filter }, options), query, again }
    return this.#transport.json(call)
  }

  /** One point. @throws {VectordApiError} `point_not_found`. */
  async fetch(id: string, options: ReadOptions = {}): Promise<Point> {
    const path = `${this.#path}${pathOf`/points/${id}`}`
    const query = readQuery(options)
    const call = { method: 'GET', path, query, again: 'repeatable', options } as const
    return pointFromJson(await this.#transport.json<PointJson>(call))
  }

  /** All points in the order of their writes, page after page, as they are asked for. */
  async *scroll(options: ScrollOptions = {}): AsyncGenerator<Point, void> {
    const { filter, pagePoints: limit = PAGE_POINTS } = options
    const path = `${this.#path}/points`
    const fixed = {
      ...{ ...readQuery(options), limit },
      ...(filter !== undefined && { filter: JSON.stringify(filter) }),
    }
    let cursor: string | undefined
    do {
      const query = { ...fixed, cursor }
      const call = { method: 'GET', path, query, again: 'repeatable', options } as const
      const page = await this.#transport.json<PageJson>(call)
      yield* page.points.map(pointFromJson)
      cursor = page.next_cursor ?? undefined
    } while (cursor !== undefined)
  }

  async search(query: SearchQuery, options?: CallOptions): Promise<SearchResult> {
    const call = this.#post('/search', queryToJson(query), options)
    return resultFromJson(await this.#transport.json<SearchJson>(call))
  }

  /** Many searches in one request; the answers are in the order of the queries. */
  async searchBatch(
    queries: readonly SearchQuery[],
    options?: CallOptions,
  ): Promise<readonly BatchAnswer[]> {
    const call = this.#post('/search/batch', { queries: queries.map(queryToJson) }, options)
    const { answers } = await this.#transport.json<BatchJson>(call)
    return answers.map((answer): BatchAnswer => {
      if (!('error' in answer)) return { ok: true, result: resultFromJson(answer) }
      const { code, message, retryable, details } = answer.error
      const fault = { code, retryable, details, status: answer.status }
      const error = new VectordApiError(message, { ...fault, requestId: null, retryAfterS: null })
      return { ok: false, error }
    })
  }

  /**
   * Hands points to the stream of the index; resolves when all are durable. What a full buffer had
   * no room for is sent again, from the first refused point on, when the service says so.
   */
  async stream(points: readonly PointInput[], options: StreamOptions = {}): Promise<StreamResult> {
    const total = { accepted: 0, deadLettered: 0 }
    const query = { deadline_ms: options.deadlineMs }
    const next = (): unknown => ({ points: points.slice(total.accepted).map(pointToJson) })
    const call = { ...this.#post('/stream', undefined, options), query, jsonOfTry: next }
    const onRefused = (error: VectordApiError): void => {
      total.accepted += numberOf(error.details['accepted'])
      total.deadLettered += numberOf(error.details['dead_lettered'])
    }
    const last = await this.#transport.json<StreamResult>({ ...call, onRefused })
    const dead = total.deadLettered + (last.dead_lettered ?? 0)
    const accepted = total.accepted + last.accepted
    return { accepted, lsn: last.lsn, ...(dead > 0 && { dead_lettered: dead }) }
  }

  /**
   * Upserts everything that `source` gives, in batches, several at once; reads no faster than the
   * service writes.
   *
   * @throws {ImportError} that says where to go on.
   */
  import(source: PointSource, options: ImportOptions = {}): Promise<ImportProgress> {
    return importPoints(source, (points) => this.upsert(points, options), options)
  }

  #post(path: string, json: unknown, options: CallOptions | undefined): Call {
    const full = `${this.#path}${path}`
    // Writes of points may be repeated: an upsert replaces whole points, a deleted id stays deleted.
    return { method: 'POST', path: full, json, again: 'repeatable', options }
  }
}

function readQuery({ include, minLsn }: ReadOptions): NonNullable<Call['query']> {
  return {
    include: include?.join(','),
    min_lsn: minLsn,
    ...(include?.includes('vector') && { vector_encoding: 'base64' }),
  }
}

function pointToJson({ id, vector, text, metadata }: PointInput): object {
  return {
    id,
    ...(vector !== undefined && { vector: vector && vectorToBase64(vector) }),
    ...(text !== undefined && { text }),
    ...(metadata !== undefined && { metadata }),
  }
}

function pointFromJson({ vector, ...point }: PointJson): Point {
  return vector === undefined ? point : { ...point, vector: numbersOf(vector) }
}

function queryToJson({ vector, ...query }: SearchQuery): object {
  return {
    ...query,
    ...(vector !== undefined && { vector: vectorToBase64(vector) }),
    ...(query.include?.includes('vector') && { vector_encoding: 'base64' }),
  }
}

function resultFromJson({ results, ...rest }: SearchJson): SearchResult {
  return { ...rest, results: results.map(hitFromJson) }
}

function hitFromJson({ vector, ...hit }: HitJson): Hit {
  return vector === undefined ? hit : { ...hit, vector: numbersOf(vector) }
}

function numbersOf(vector: string | readonly number[] | null): Float32Array | null {
  if (vector === null) return null
  return typeof vector === 'string' ? vectorFromBase64(vector) : Float32Array.from(vector)
}

function numberOf(value: unknown): number {
  return typeof value === 'number' ? value : 0
}
