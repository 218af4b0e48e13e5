/**
 * The datasets of one bucket.
 *
 *     _datasets/{name}/meta/{revision}.json   the document: a revision for each publication
 *     _datasets/{name}/parts/{uuid}.parquet   immutable; each is named by the document or swept
 *
 * A part is staged first, and seen once a revision names it: a publication is that one revision. A
 * part that was replaced stays an hour for those who read it; one that no revision ever named, a week.
 */

import { randomUUID } from 'node:crypto'
import { rm } from 'node:fs/promises'
import type { ObjectStore } from '../buckets/object-store.ts'
import { type Revision, RevisionedDocument } from '../buckets/revisioned-document.ts'
import { type FileHash, hashFile } from '../codecs/file-hash.ts'
import { checkName } from '../domain/names.ts'
import { VectordError } from '../lib/errors.ts'
import { datasetFromJson, datasetToJson } from './dataset-codec.ts'
import { type Dataset, type DatasetPart, type Publication, published } from './dataset.ts'

const FOLDER = '_datasets/'
const REVISIONS_KEPT = 20
const RETIRED_KEPT_MS = 3600 * 1000
/** An ingest stages parts from its first row on and names them at its end, days later maybe. */
const STAGED_KEPT_MS = 7 * 24 * 3600 * 1000

export interface DatasetStoreOptions {
  readonly store: ObjectStore
  readonly nowMs: () => number
}

export interface PublishCondition {
  /**
   * The revision that it follows, null where there must be no dataset: of two that race one is
   * refused. `any`: on top of whatever is there, so that appends that race are both in.
   */
  readonly expected: number | null | 'any'
  /** Who publishes: the name of a key, or of a part of vectord. */
  readonly by: string
}

export interface DatasetFault {
  readonly name: string
  readonly error: VectordError
}

export class DatasetStore {
  readonly #store: ObjectStore
  readonly #nowMs: () => number

  constructor({ store, nowMs }: DatasetStoreOptions) {
    this.#store = store
    this.#nowMs = nowMs
  }

  /** Null where there is none. @throws {VectordError} `object_corrupt`, and those of the bucket. */
  read(name: string): Promise<Revision<Dataset> | null> {
    return this.#document(name).read()
  }

  /** @throws {VectordError} `dataset_not_found`; as `read`. */
  async get(name: string): Promise<Revision<Dataset>> {
    const found = await this.read(name)
    if (found !== null) return found
    throw new VectordError('dataset_not_found', `There is no dataset "${name}".`, {
      details: { dataset: name },
    })
  }

  /** Names of datasets after `after`, in byte order, also of those that cannot be read. */
  async *names(after: string | null = null): AsyncGenerator<string, undefined> {
    let startAfter = after === null ? FOLDER : behind(after)
    for (;;) {
      const name = await this.#nextName(startAfter)
      if (name === null) return
      startAfter = behind(name)
      yield name
    }
  }

  /** Datasets of a page; those that cannot be read are told, and hide no others. */
  async list({
    after,
    limit,
    isWanted = () => true,
  }: {
    readonly after: string | null
    readonly limit: number
    /** Others are not read, and not told of. */
    readonly isWanted?: (name: string) => boolean
  }): Promise<{
    readonly datasets: readonly { readonly name: string; readonly found: Revision<Dataset> }[]
    readonly faults: readonly DatasetFault[]
    /** Where the next page begins; null at the end. */
    readonly next: string | null
  }> {
    const datasets: { readonly name: string; readonly found: Revision<Dataset> }[] = []
    const faults: DatasetFault[] = []
    let last: string | null = null
    for await (const name of this.names(after)) {
      if (datasets.length + faults.length === limit) return { datasets, faults, next: last }
      last = name
      if (!isWanted(name)) continue
      try {
        const found = await this.read(name)
        if (found !== null) datasets.push({ name, found })
      } catch (error) {
        if (!(error instanceof VectordError)) throw error
        faults.push({ name, error })
      }
    }
    return { datasets, faults, next: null }
  }

  /** Puts a local file into the bucket; nobody sees it until it is published. Durable then. */
  async stagePart(
    name: string,
    path: string,
    { rows, bytes, sha256 }: { readonly rows: number } & FileHash,
  ): Promise<DatasetPart> {
    const key = `${this.#prefix(name)}parts/${randomUUID()}.parquet`
    await this.#store.putFile(key, path)
    return { key, rows, bytes, sha256 }
  }

  /** Deletes staged parts that nobody will publish. What it misses the sweep finds. */
  async unstage(parts: readonly DatasetPart[]): Promise<void> {
    for (const { key } of parts) await this.#store.delete(key).catch(() => undefined)
  }

  /**
   * Publishes staged parts, in one revision: readers see all of it or nothing. Durable once resolved.
   *
   * @throws {VectordError} `revision_mismatch` where another publication came first,
   *   `dataset_schema_mismatch`, `limit_exceeded`, `object_not_found` for a part that is gone; then
   *   nothing was published.
   */
  async publish(
    name: string,
    publication: Publication,
    { expected, by }: PublishCondition,
  ): Promise<Revision<Dataset>> {
    for (const { key } of publication.parts) await this.#store.head(key)
    const document = this.#document(name)
    const nowMs = this.#nowMs()
    const { mode } = publication
    if (expected === 'any') {
      return document.modify((current) => ({
        document: published(current?.document ?? null, publication, nowMs),
        author: by,
        reason: mode,
      }))
    }
    const before = await document.read()
    return document.update(expected, {
      document: published(before?.document ?? null, publication, nowMs),
      author: by,
      reason: mode,
    })
  }

  /**
   * Says durably that the dataset is deleted, then drops its parts.
   *
   * @param expected its revision, or null for whichever it has.
   * @throws {VectordError} `dataset_not_found`, `revision_mismatch`; as `read`.
   */
  async delete(
    name: string,
    { expected, by }: { readonly expected: number | null; readonly by: string },
  ): Promise<void> {
    const { revision, document } = await this.get(name)
    if (expected !== null && expected !== revision) throw stale(name, expected, revision)
    await this.#document(name).remove(revision, { author: by, reason: 'deleted' })
    // The sweep finds what is left.
    for (const { key } of [...document.parts, ...document.retired]) {
      await this.#store.delete(key).catch(() => undefined)
    }
  }

  /**
   * Copies a part to a new local file and compares it with what was published.
   *
   * @throws {VectordError} `object_corrupt`, and those of the bucket; then there is no file.
   */
  async fetchPart({ key, bytes, sha256 }: DatasetPart, path: string): Promise<void> {
    await this.#store.getFile(key, path)
    const found = await hashFile(path)
    if (found.bytes === bytes && found.sha256 === sha256) return
    await rm(path, { force: true })
    throw new VectordError('object_corrupt', `The part "${key}" is not the one that was written.`, {
      details: { key },
    })
  }

  /** Deletes parts that nobody reads any more. @returns how many. */
  async sweep(name: string): Promise<number> {
    const nowMs = this.#nowMs()
    const parts: { readonly key: string; readonly modifiedMs: number }[] = []
    for await (const part of this.#store.list(`${this.#prefix(name)}parts/`)) parts.push(part)
    // Read after the list: what was published meanwhile is named.
    const dataset = (await this.read(name))?.document
    const named = new Set(dataset?.parts.map(({ key }) => key))
    const retired = new Map(dataset?.retired.map(({ key, retiredMs }) => [key, retiredMs]))
    let deleted = 0
    for (const { key, modifiedMs } of parts) {
      if (named.has(key)) continue
      const retiredMs = retired.get(key)
      const isDue =
        retiredMs === undefined
          ? nowMs - modifiedMs > STAGED_KEPT_MS
          : nowMs - retiredMs > RETIRED_KEPT_MS
      if (!isDue) continue
      await this.#store.delete(key)
      deleted += 1
    }
    return deleted
  }

  async #nextName(startAfter: string): Promise<string | null> {
    for await (const { key } of this.#store.list(FOLDER, { startAfter })) {
      const name = /^_datasets\/([A-Za-z0-9_-]{1,128})\//.exec(key)?.[1]
      if (name !== undefined) return name
    }
    return null
  }

  #prefix(name: string): string {
    return `${FOLDER}${checkName('dataset', name)}/`
  }

  #document(name: string): RevisionedDocument<Dataset> {
    return new RevisionedDocument<Dataset>({
      store: this.#store,
      prefix: `${this.#prefix(name)}meta/`,
      name: `the dataset "${name}"`,
      codec: {
        toJson: (dataset) => datasetToJson(name, dataset),
        fromJson: datasetFromJson,
      },
      keep: REVISIONS_KEPT,
      nowMs: this.#nowMs,
    })
  }
}

/** Behind every key of a dataset, and before those of every other that comes later: 0 follows the slash. */
function behind(name: string): string {
  return `${FOLDER}${name}0`
}

function stale(name: string, expected: number, found: number): VectordError {
  return new VectordError('revision_mismatch', `The dataset "${name}" is at revision ${found}.`, {
    details: { dataset: name, expected, found },
  })
}
