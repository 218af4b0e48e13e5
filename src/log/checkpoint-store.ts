/**
 * The checkpoints of one index in its bucket: manifests, and the parts and graphs they name.
 *
 *     _indexes/{index}/checkpoints/{lsn, 20 digits}/manifest.json
 *     _indexes/{index}/parts/…   _indexes/{index}/graphs/…        shared by manifests
 *
 * A checkpoint exists when its manifest does. Only the owner of the index writes here.
 */

import type { ObjectInfo, ObjectStore } from '../buckets/object-store.ts'
import type { CheckpointContent } from '../domain/checkpoint.ts'
import { hasCode, VectordError } from '../lib/errors.ts'
import { decodeManifest, encodeManifest } from './checkpoint-manifest.ts'

const LSN_DIGITS = 20

export interface CheckpointStoreOptions {
  readonly store: ObjectStore
  readonly index: string
  readonly incarnation: string
  readonly nowMs: () => number
}

/** A manifest that is there: readable, or with what is wrong with it. */
export type FoundCheckpoint =
  | { readonly lsn: number; readonly content: CheckpointContent }
  | { readonly lsn: number; readonly fault: VectordError }

/** How old checkpoints are dropped. */
export interface CheckpointDrop {
  /** Which of the checkpoints that are there go. */
  readonly doomed: (lsns: readonly number[]) => readonly number[]
  /** Asks the bucket whether this server still writes the index. @throws where it does not. */
  readonly confirm: () => Promise<void>
  /** Deletes one object. */
  readonly deleting: (object: ObjectInfo) => Promise<void>
}

interface FoundManifest extends ObjectInfo {
  readonly lsn: number
}

export class CheckpointStore {
  readonly #options: CheckpointStoreOptions
  readonly #folder: string

  constructor(options: CheckpointStoreOptions) {
    this.#options = options
    this.#folder = `_indexes/${options.index}/`
  }

  /** Makes the checkpoint exist, replacing one at the same lsn. Durable once resolved. */
  async write(content: CheckpointContent): Promise<void> {
    const { store, index, incarnation, nowMs } = this.#options
    const manifest = { index, incarnation, createdMs: nowMs(), content }
    await store.put(this.#manifestKey(content.lsn), encodeManifest(manifest))
  }

  /** The lsn of the newest checkpoint, readable or not; 0 where there is none. */
  async newestLsn(): Promise<number> {
    return (await this.#lsns()).at(-1) ?? 0
  }

  /**
   * All checkpoints, newest first. @throws only what the bucket throws: `object_not_found` where the
   * owner of the index gave one up meanwhile.
   */
  async found(): Promise<FoundCheckpoint[]> {
    const all: FoundCheckpoint[] = []
    for (const lsn of (await this.#lsns()).reverse()) all.push(await this.#read(lsn))
    return all
  }

  /**
   * Deletes the checkpoints that `doomed` names of those there, and every part and graph that none of
   * the others names. Nothing may be writing parts meanwhile. Where one of the others cannot be read
   * it is not known what it names, so no part is deleted.
   */
  async drop({ doomed, confirm, deleting }: CheckpointDrop): Promise<void> {
    const manifests = await this.#manifests()
    const old = new Set(doomed(manifests.map(({ lsn }) => lsn)))
    if (old.size > 0) await confirm()
    for (const manifest of manifests) if (old.has(manifest.lsn)) await deleting(manifest)
    const unnamed = await this.#unnamed(manifests.filter(({ lsn }) => !old.has(lsn)))
    // Only now: what another server writes since it took over is named by no manifest yet.
    if (unnamed.length > 0) await confirm()
    for (const object of unnamed) await deleting(object)
  }

  /** Parts and graphs that none of the manifests names; none where one of those is not readable. */
  async #unnamed(manifests: readonly FoundManifest[]): Promise<ObjectInfo[]> {
    const { store } = this.#options
    const found: ObjectInfo[] = []
    for (const kind of ['parts', 'graphs']) {
      for await (const object of store.list(`${this.#folder}${kind}/`)) found.push(object)
    }
    const named = new Set<string>()
    for (const { lsn } of manifests) {
      const checkpoint = await this.#read(lsn)
      if (!('content' in checkpoint)) return []
      for (const key of keysOf(checkpoint.content)) named.add(key)
    }
    return found.filter(({ key }) => !named.has(key))
  }

  async #lsns(): Promise<number[]> {
    return (await this.#manifests()).map(({ lsn }) => lsn)
  }

  /** Ascending. */
  async #manifests(): Promise<FoundManifest[]> {
    const manifests: FoundManifest[] = []
    const prefix = `${this.#folder}checkpoints/`
    for await (const object of this.#options.store.list(prefix)) {
      const digits = /^(\d{20})\/manifest\.json$/.exec(object.key.slice(prefix.length))?.[1]
      if (digits !== undefined) manifests.push({ ...object, lsn: Number(digits) })
    }
    return manifests
  }

  async #read(lsn: number): Promise<FoundCheckpoint> {
    const key = this.#manifestKey(lsn)
    try {
      const manifest = decodeManifest(key, await this.#options.store.get(key))
      const { index, incarnation } = this.#options
      if (manifest.index === index && manifest.incarnation === incarnation) {
        if (manifest.content.lsn === lsn) return { lsn, content: manifest.content }
      }
      const message = `The manifest "${key}" belongs to another index or lsn.`
      return { lsn, fault: new VectordError('object_corrupt', message, { details: { key } }) }
    } catch (error) {
      if (hasCode(error, 'object_corrupt', 'format_too_new')) return { lsn, fault: error }
      throw error
    }
  }

  #manifestKey(lsn: number): string {
    return `${this.#folder}checkpoints/${String(lsn).padStart(LSN_DIGITS, '0')}/manifest.json`
  }
}

/** Every object that the checkpoint needs or uses. */
function keysOf(content: CheckpointContent): string[] {
  const graphs = content.graphs.flatMap(({ graph, labels }) => [graph.key, labels.key])
  return [...content.parts.map((part) => part.key), ...graphs]
}
