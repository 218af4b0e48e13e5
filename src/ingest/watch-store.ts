/**
 * Watched prefixes and what became of their files, in the primary bucket:
 *
 *     _watches/{name}/{revision}.json         what is watched: compare and swap, a removal is a revision too
 *     _watch_files/{name}/{revision}.json     what became of each file, whole each time
 *
 * The two are apart: the first changes by people and its revision is the `ETag`, the second by itself.
 */

import type { ObjectStore } from '../buckets/object-store.ts'
import { RevisionedDocument, type Revision } from '../buckets/revisioned-document.ts'
import { NAME_PATTERN } from '../domain/names.ts'
import { VectordError } from '../lib/errors.ts'
import { watchFromJson, watchToJson, type Watch } from './watch.ts'
import { notesFromJson, notesToJson, type FileNote } from './watched-files.ts'

const FOLDER = '_watches/'
const FILES_FOLDER = '_watch_files/'
const KEY = new RegExp(`^${FOLDER}(${NAME_PATTERN.slice(1, -1)})/\\d{10}\\.json$`)
/** Revisions of a watch that stay: who changed what. */
const REVISIONS_KEPT = 20
/** Each lists a bucket again and again. */
const WATCHES_MAX = 100

export interface WatchStoreOptions {
  /** The primary bucket. */
  readonly store: () => ObjectStore
  readonly nowMs: () => number
}

export interface WatchAuthor {
  readonly by: string
  /** The revision that was seen; null takes any. */
  readonly ifRevision: number | null
}

/** A watch that is there and cannot be read. */
export interface WatchFault {
  readonly name: string
  readonly error: VectordError
}

export type FileNotes = ReadonlyMap<string, FileNote>

export class WatchStore {
  readonly #options: WatchStoreOptions
  readonly #files = new Map<string, RevisionedDocument<FileNotes>>()

  constructor(options: WatchStoreOptions) {
    this.#options = options
  }

  /** By name; those that cannot be read are told, and hide no others. */
  async list(): Promise<{
    readonly watches: readonly Revision<Watch>[]
    readonly faults: readonly WatchFault[]
  }> {
    const watches: Revision<Watch>[] = []
    const faults: WatchFault[] = []
    for (const name of await this.#names()) {
      try {
        const found = await this.#document(name).read()
        if (found !== null) watches.push(found)
      } catch (error) {
        if (!(error instanceof VectordError)) throw error
        faults.push({ name, error })
      }
    }
    return { watches, faults }
  }

  /** @throws {VectordError} `watch_not_found`, and every error of the bucket. */
  async get(name: string): Promise<Revision<Watch>> {
    const found = await this.#document(name).read()
    if (found !== null) return found
    throw new VectordError('watch_not_found', `There is no watch "${name}".`, {
      details: { watch: name },
    })
  }

  /**
   * Makes or replaces a watch. Durable once resolved.
   *
   * @throws {VectordError} `revision_mismatch`, `limit_exceeded`, and every error of the bucket.
   */
  async put(
    document: Watch,
    { by: author, ifRevision }: WatchAuthor,
  ): Promise<{ readonly stored: Revision<Watch>; readonly isNew: boolean }> {
    const revisions = this.#document(document.name)
    if ((await revisions.read()) === null) await this.#checkRoom()
    let isNew = false
    const stored = await revisions.modify((current) => {
      checkRevision(document.name, ifRevision, current?.revision ?? 0)
      isNew = current === null
      return { document, author, reason: isNew ? 'made' : 'changed' }
    })
    return { stored, isNew }
  }

  /** @throws {VectordError} `watch_not_found`, `revision_mismatch`; as `put`. */
  async remove(name: string, { by: author, ifRevision }: WatchAuthor): Promise<void> {
    const { revision } = await this.get(name)
    checkRevision(name, ifRevision, revision)
    await this.#document(name).remove(revision, { author, reason: 'removed' })
    const files = this.#filesOf(name)
    const known = await files.read()
    if (known !== null)
      await files.remove(known.revision, { author, reason: 'the watch is removed' })
    this.#files.delete(name)
  }

  async files(name: string): Promise<FileNotes> {
    return (await this.#filesOf(name).read())?.document ?? new Map<string, FileNote>()
  }

  /** Changes the notes of files. @param change pure: it may run several times. */
  async note(name: string, change: (notes: FileNotes) => FileNotes): Promise<FileNotes> {
    const { document } = await this.#filesOf(name).modify((current) => ({
      document: change(current?.document ?? new Map<string, FileNote>()),
      author: 'watch',
      reason: 'files were looked at',
    }))
    return document
  }

  async #checkRoom(): Promise<void> {
    const { watches, faults } = await this.list()
    if (watches.length + faults.length < WATCHES_MAX) return
    throw new VectordError('limit_exceeded', `There are ${WATCHES_MAX} watches already.`, {
      details: { limit: 'watches', max: WATCHES_MAX },
    })
  }

  async #names(): Promise<readonly string[]> {
    const names = new Set<string>()
    for await (const { key } of this.#options.store().list(FOLDER)) {
      const name = KEY.exec(key)?.[1]
      if (name !== undefined) names.add(name)
    }
    return [...names].sort()
  }

  #document(name: string): RevisionedDocument<Watch> {
    return new RevisionedDocument<Watch>({
      store: this.#options.store(),
      prefix: `${FOLDER}${name}/`,
      name: `the watch "${name}"`,
      codec: { toJson: watchToJson, fromJson: (json) => watchFromJson(name, json) },
      keep: REVISIONS_KEPT,
      nowMs: this.#options.nowMs,
    })
  }

  #filesOf(name: string): RevisionedDocument<FileNotes> {
    const known = this.#files.get(name)
    if (known !== undefined) return known
    const files = new RevisionedDocument<FileNotes>({
      store: this.#options.store(),
      prefix: `${FILES_FOLDER}${name}/`,
      name: `the files of the watch "${name}"`,
      codec: { toJson: notesToJson, fromJson: notesFromJson },
      keep: 2,
      nowMs: this.#options.nowMs,
    })
    this.#files.set(name, files)
    return files
  }
}

function checkRevision(name: string, expected: number | null, found: number): void {
  if (expected === null || expected === found) return
  throw new VectordError('revision_mismatch', `The watch "${name}" is at revision ${found}.`, {
    details: { watch: name, revision: found },
  })
}
