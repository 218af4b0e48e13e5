/**
 * A Lance table as the front sees it: the verbs of `LanceTable`, across to the Lance core.
 *
 * Calls reject with `core_unavailable` when the core dies meanwhile; what a write that was under way
 * then did is seen by the next read.
 */

import type {
  LanceAnswer,
  LanceBounds,
  LanceIndexKind,
  LancePage,
  LanceRows,
  LanceScroll,
  LanceSearch,
  LanceStats,
  LanceTable,
  LanceTableSpec,
  LanceVersion,
} from '../domain/lance-table.ts'
import type { Include } from '../domain/search.ts'
import { traced } from '../tracing/tracer.ts'
import { BodyReader } from './body-reader.ts'
import type { CoreRequest } from './core-request.ts'
import { FRAME } from './frame.ts'
import type { FrameWriter } from './frame-writer.ts'
import {
  readLanceAnswer,
  readLancePage,
  readLancePoints,
  readLanceSample,
  writeLanceFetch,
  writeLanceHead,
  writeLanceScroll,
  writeLanceSearch,
  writeRows,
  type LancePoints,
  type LanceSample,
  type LanceVerb,
} from './lance-codec.ts'
import { readJson, writeJson } from './shard-codec.ts'

type Versioned = Promise<{ readonly version: number }>

/** What one call asks; `read` makes the answer from the body of the frame that comes back. */
interface Call<T> {
  readonly verb: LanceVerb
  readonly bounds?: LanceBounds | undefined
  readonly write: (writer: FrameWriter) => void
  readonly read: (reader: BodyReader) => T
}

export class RemoteLanceTable implements LanceTable {
  readonly #spec: string
  readonly #index: string
  readonly #send: <T>(request: CoreRequest<T>) => Promise<T>

  constructor(spec: LanceTableSpec, send: <T>(request: CoreRequest<T>) => Promise<T>) {
    this.#spec = JSON.stringify(spec)
    this.#index = spec.index
    this.#send = send
  }

  /** Makes the table, empty, where there is none. */
  async create(bounds?: LanceBounds): Promise<void> {
    await this.#json('create', null, bounds)
  }

  /** Removes the table with all its versions; nothing happens where there is none. */
  async drop(bounds?: LanceBounds): Promise<void> {
    await this.#json('drop', null, bounds)
  }

  upsert(rows: LanceRows, bounds?: LanceBounds): Versioned {
    return this.#rows('upsert', rows, bounds)
  }

  append(rows: LanceRows, bounds?: LanceBounds): Versioned {
    return this.#rows('append', rows, bounds)
  }

  delete(ids: readonly string[], bounds?: LanceBounds): Versioned {
    return this.#json('delete', { ids }, bounds)
  }

  deleteMatching(
    filter: string,
    bounds?: LanceBounds,
  ): Promise<{ readonly version: number; readonly deleted: number }> {
    return this.#json('deleteMatching', { filter }, bounds)
  }

  /** The vector must not change until the answer is there. */
  search(search: LanceSearch, bounds?: LanceBounds): Promise<LanceAnswer> {
    return this.#call({
      verb: 'search',
      bounds,
      write: (writer) => writeLanceSearch(writer, search),
      read: readLanceAnswer,
    })
  }

  fetch(
    ids: readonly string[],
    include: Include,
    asOf: number | null,
    bounds?: LanceBounds,
  ): Promise<LancePoints> {
    return this.#call({
      verb: 'fetch',
      bounds,
      write: (writer) => writeLanceFetch(writer, { ids, include, asOf }),
      read: readLancePoints,
    })
  }

  scroll(page: LanceScroll, bounds?: LanceBounds): Promise<LancePage> {
    return this.#call({
      verb: 'scroll',
      bounds,
      write: (writer) => writeLanceScroll(writer, page),
      read: readLancePage,
    })
  }

  count(
    filter: string | null,
    bounds?: LanceBounds,
  ): Promise<{ readonly count: number; readonly version: number }> {
    return this.#json('count', { filter }, bounds)
  }

  sample(rows: number, seed: number, bounds?: LanceBounds): Promise<LanceSample> {
    return this.#call({
      verb: 'sample',
      bounds,
      write: (writer) => writeJson(writer, { rows, seed }),
      read: readLanceSample,
    })
  }

  repeated(bounds?: LanceBounds): Promise<readonly string[]> {
    return this.#json('repeated', null, bounds)
  }

  buildIndex(kind: LanceIndexKind): Versioned {
    return this.#json('buildIndex', { kind })
  }

  buildScalarIndex(): Versioned {
    return this.#json('buildScalarIndex', null)
  }

  optimize(olderThanMs: number): Versioned {
    return this.#json('optimize', { olderThanMs })
  }

  versions(bounds?: LanceBounds): Promise<readonly LanceVersion[]> {
    return this.#json('versions', null, bounds)
  }

  stats(bounds?: LanceBounds): Promise<LanceStats> {
    return this.#json('stats', null, bounds)
  }

  #rows(verb: 'upsert' | 'append', rows: LanceRows, bounds?: LanceBounds): Versioned {
    return this.#call({
      verb,
      bounds,
      write: (writer) => writeRows(writer, rows),
      read: (reader) => ({ version: reader.f64() }),
    })
  }

  #json<T>(verb: LanceVerb, question: unknown, bounds?: LanceBounds): Promise<T> {
    return this.#call({
      verb,
      bounds,
      write: (writer) => writeJson(writer, question),
      // The core answers a verb of this kind with what `LanceTable` says.
      read: (reader) => readJson(reader.rest()) as T,
    })
  }

  #call<T>(call: Call<T>): Promise<T> {
    return traced({ name: `lance ${call.verb}` }, () => this.#ask(call))
  }

  async #ask<T>({ verb, bounds, write, read }: Call<T>): Promise<T> {
    return this.#send({
      type: FRAME.lance,
      shard: 0,
      background: false,
      deadlineMs: bounds?.deadlineMs ?? Infinity,
      subject: `lance ${this.#index}`,
      write: (writer) => {
        writeLanceHead(writer, verb, this.#spec)
        write(writer)
      },
      read: (body) => read(new BodyReader(body)),
    })
  }
}
