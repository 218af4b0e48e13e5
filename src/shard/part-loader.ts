/**
 * Reads the parts of a checkpoint back into a point table: each is checked against its length and
 * SHA-256 before a byte of it is used. The next part is fetched while one is read.
 *
 * A part says when a row began; when it ended is told by what comes after it, the first delete or the
 * next row of its id. That is exact for every row that the table keeps: what came right after it is
 * newer, so it is kept too. Another row of the same version only brings its vector, and takes its place.
 */

import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { ObjectStore } from '../buckets/object-store.ts'
import { hashFile } from '../codecs/file-hash.ts'
import {
  readDeletesPart,
  readPointsPart,
  type RowKeys,
  type PointRows,
} from '../codecs/parquet-part.ts'
import type { PartRef, StoredFile } from '../domain/checkpoint.ts'
import { CLIENT_TAG } from '../domain/pending-text.ts'
import { hasCode, VectordError } from '../lib/errors.ts'
import { DeletedIds } from './deleted-ids.ts'
import { parseMetadata, type MetadataIndex } from './metadata-index.ts'
import type { PointTable } from './point-table.ts'
import { inSteps } from '../lib/steps.ts'

/** Fetches the objects of a checkpoint into scratch files, checked. */
export class Fetcher {
  readonly #store: ObjectStore
  readonly #scratch: string
  readonly #prefix: string
  #files = 0

  /** @param prefix tells its files from those of other fetchers in the folder. */
  constructor(store: ObjectStore, scratch: string, prefix = 'load') {
    this.#store = store
    this.#scratch = scratch
    this.#prefix = prefix
  }

  /**
   * The path of a file with exactly the bytes that were stored; the caller removes it.
   *
   * @throws {VectordError} `object_corrupt` where the object is absent or has other bytes.
   */
  async fetch(stored: StoredFile): Promise<string> {
    this.#files += 1
    const path = join(this.#scratch, `${this.#prefix}-${this.#files}`)
    try {
      await this.#store.getFile(stored.key, path)
      const { bytes, sha256 } = await hashFile(path)
      if (bytes !== stored.bytes || sha256 !== stored.sha256) {
        throw corrupt(stored.key, 'its checksum differs')
      }
      return path
    } catch (error) {
      await rm(path, { force: true })
      throw hasCode(error, 'object_not_found') ? corrupt(stored.key, 'it is missing', error) : error
    }
  }
}

export interface PartTarget {
  readonly table: PointTable
  /** Null where only vectors are wanted: then metadata and texts are left out. */
  readonly metadata: MetadataIndex | null
  /** Over all deletes parts. */
  readonly deleted: DeletedIds
  readonly onRows: (rows: number) => void
}

/** @param parts points parts in order of lsn. */
export async function loadPoints(
  fetcher: Fetcher,
  parts: readonly PartRef[],
  target: PartTarget,
): Promise<void> {
  for await (const { part, path } of partFiles(fetcher, parts)) {
    for await (const rows of readPointsPart(path)) await addRows(target, part, rows)
  }
}

/**
 * Each part with the path of its file, checked; the next is fetched while one is used. A file is
 * removed when the next is asked for, and at the end in whatever way that comes.
 *
 * @throws {VectordError} as `Fetcher.fetch`.
 */
export async function* partFiles(
  fetcher: Fetcher,
  parts: readonly PartRef[],
): AsyncGenerator<{ readonly part: PartRef; readonly path: string }, undefined> {
  let next = startFetch(fetcher, parts[0])
  try {
    for (const [i, part] of parts.entries()) {
      const path = await next()
      next = startFetch(fetcher, parts[i + 1])
      try {
        yield { part, path }
      } finally {
        await rm(path, { force: true })
      }
    }
  } finally {
    await removeFetched(next)
  }
}

/** @param kind.only the last delete of each id is enough. */
export async function loadDeletes(
  fetcher: Fetcher,
  parts: readonly PartRef[],
  kind: { readonly only: boolean },
): Promise<DeletedIds> {
  const deleted = new DeletedIds()
  for await (const { path } of partFiles(fetcher, parts)) {
    for await (const rows of readDeletesPart(path)) noteAll(deleted, rows, kind)
  }
  return deleted
}

function noteAll(
  deleted: DeletedIds,
  { ids, lsns }: RowKeys,
  kind: { readonly only: boolean },
): void {
  for (const [i, id] of ids.entries()) deleted.note(id, lsns[i] ?? 0, kind)
}

/** Ends what a delete ended last: to be called once, when every row is in. */
export async function endDeleted(table: PointTable, deleted: DeletedIds): Promise<void> {
  const ids = [...deleted.ids()]
  await inSteps(ids.length, (n) => {
    const id = ids[n] ?? ''
    const slot = table.slotOf(id)
    if (slot === undefined) return
    const lsn = deleted.firstAfter(id, table.lsn(slot))
    if (lsn !== Infinity) table.end(slot, { lsn, by: 'delete' })
  })
}

/** Begins a fetch at once; its failure waits for whoever asks. */
function startFetch(fetcher: Fetcher, part: PartRef | undefined): () => Promise<string> {
  if (part === undefined) return () => Promise.resolve('')
  const path = fetcher.fetch(part).then(
    (value) => ({ value }),
    (error: unknown) => ({ error }),
  )
  return async () => {
    const outcome = await path
    if ('error' in outcome) throw outcome.error
    return outcome.value
  }
}

async function removeFetched(next: () => Promise<string>): Promise<void> {
  const path = await next().catch(() => '')
  if (path !== '') await rm(path, { force: true })
}

async function addRows(target: PartTarget, part: PartRef, rows: PointRows): Promise<void> {
  const { dimension } = target.table.vectors
  if (rows.vectors.length !== rows.ids.length * dimension) {
    throw corrupt(part.key, 'its vectors have another dimension')
  }
  target.table.reserve(rows.ids.length)
  await inSteps(rows.ids.length, (i) => {
    addRow(target, part, rows, i)
  })
  target.onRows(rows.ids.length)
}

function addRow(target: PartTarget, part: PartRef, rows: PointRows, i: number): void {
  const { table, metadata, deleted } = target
  const found = rowAt(rows, i)
  const { id, lsn, version, tag, text, json } = found
  checkOrder(table, part, found)
  const isHidden = table.keepLastVersions === 1 && deleted.lastOf(id) > lsn
  const waiting = endOlder(target, { id, version, isHidden })
  if (isHidden) {
    if (waiting !== null) table.giveWay(waiting)
    table.raiseHorizon(deleted.lastOf(id))
    return
  }
  // Where only vectors are wanted, a row that has none is not.
  if (metadata === null && tag === null) return
  const strings = metadata === null ? NO_STRINGS : { text, metadata: json }
  const vector = { vectors: rows.vectors, offset: i * table.vectors.dimension, tag }
  const point = { id, lsn, row: found.row, version, ...vector, ...strings }
  const fields = parseMetadata(strings.metadata)
  const slot = waiting === null ? table.append(point) : table.replace(waiting, point)
  metadata?.add(slot, fields)
}

function checkOrder(table: PointTable, part: PartRef, { lsn, row }: PartRow): void {
  const isLast = table.firstAfter({ lsn, row }) === table.slots
  if (isLast && lsn >= part.firstLsn && lsn <= part.lastLsn) return
  throw corrupt(part.key, 'its rows are out of order')
}

const NO_STRINGS = { text: null, metadata: null }

/** Ends the version before this one. @returns the live slot of the same version, or null. */
function endOlder(
  { table, deleted }: PartTarget,
  { id, version, isHidden }: Pick<PartRow, 'id' | 'version'> & { readonly isHidden: boolean },
): number | null {
  const older = table.slotOf(id)
  if (older === undefined) return null
  if (table.version(older) === version) return older
  const deleteLsn = deleted.firstAfter(id, table.lsn(older))
  const isByDelete = deleteLsn < version || isHidden
  table.end(older, { lsn: Math.min(deleteLsn, version), by: isByDelete ? 'delete' : 'upsert' })
  return null
}

interface PartRow {
  readonly id: string
  readonly lsn: number
  readonly row: number
  readonly version: number
  readonly tag: string | null
  readonly text: string | null
  readonly json: string | null
}

function rowAt(rows: PointRows, i: number): PartRow {
  const lsn = rows.lsns[i] ?? 0
  return {
    id: rows.ids[i] ?? '',
    lsn,
    row: rows.rows[i] ?? 0,
    ...originAt(rows, i, lsn),
    text: rows.texts[i] ?? null,
    json: rows.metadata[i] ?? null,
  }
}

function originAt(
  { origins }: PointRows,
  i: number,
  lsn: number,
): Pick<PartRow, 'version' | 'tag'> {
  if (origins === undefined) return { version: lsn, tag: CLIENT_TAG }
  const { versions, embedders, hasVector } = origins
  const tag = hasVector[i] === true ? (embedders[i] ?? CLIENT_TAG) : null
  return { version: versions[i] ?? lsn, tag }
}

function corrupt(key: string, problem: string, cause?: unknown): VectordError {
  return new VectordError('object_corrupt', `The object "${key}" is damaged: ${problem}.`, {
    details: { key, problem },
    cause,
  })
}
