/**
 * The checkpoints of one index in its bucket: manifests, and the parts and graphs they name.
 *
 *     _indexes/{index}/checkpoints/{lsn, 20 digits}/manifest.json
 *     _indexes/{index}/parts/…   _indexes/{index}/graphs/…        shared by manifests
 *
 * A checkpoint exists when its manifest does. Only the owner of the index writes here.
 */

import type { ObjectStore } from '../buckets/object-store.ts'
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
   * Deletes all but the newest `keep` checkpoints, and every part and graph that none of the kept
   * ones names. Nothing may be writing parts meanwhile. Where a kept manifest cannot be read it is
   * not known what it names, so no part is deleted.
   */
  async retain(keep: number): Promise<void> {
    const { store } = this.#options
    const lsns = (await this.#lsns()).reverse()
    const kept = await Promise.all(lsns.slice(0, keep).map((lsn) => this.#read(lsn)))
    for (const lsn of lsns.slice(keep)) await store.delete(this.#manifestKey(lsn))
    const named = new Set<string>()
    for (const checkpoint of kept) {
      if (!('content' in checkpoint)) return
      for (const key of keysOf(checkpoint.content)) named.add(key)
    }
    for (const kind of ['parts', 'graphs']) {
      for await (const { key } of store.list(`${this.#folder}${kind}/`)) {
        if (!named.has(key)) await store.delete(key)
      }
    }
  }

  async #lsns(): Promise<number[]> {
    const lsns: number[] = []
    const prefix = `${this.#folder}checkpoints/`
    for await (const { key } of this.#options.store.list(prefix)) {
      const digits = /^(\d{20})\/manifest\.json$/.exec(key.slice(prefix.length))?.[1]
      if (digits !== undefined) lsns.push(Number(digits))
    }
    return lsns
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
