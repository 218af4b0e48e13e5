/**
 * Objects in memory: what tests use where the backend does not matter.
 *
 * It keeps the whole contract but durability. A map that is handed to the constructor outlives the
 * store, so a test can close one store and go on with another one, as after a restart.
 */

import { readFile, writeFile } from 'node:fs/promises'
import { VectordError } from '../lib/errors.ts'
import { checkKey, checkPrefix, compareKeys } from './object-key.ts'
import type { ListOptions, ObjectInfo, ObjectStore } from './object-store.ts'

export interface MemoryObject {
  readonly body: Uint8Array
  readonly modifiedMs: number
}

export class MemoryStore implements ObjectStore {
  readonly #objects: Map<string, MemoryObject>
  readonly #nowMs: () => number
  #closed = false

  constructor(objects = new Map<string, MemoryObject>(), nowMs: () => number = Date.now) {
    this.#objects = objects
    this.#nowMs = nowMs
  }

  async get(key: string): Promise<Uint8Array> {
    await this.#begin()
    return new Uint8Array(this.#find(key).body)
  }

  async head(key: string): Promise<ObjectInfo> {
    await this.#begin()
    return infoOf(key, this.#find(key))
  }

  async put(key: string, body: Uint8Array): Promise<void> {
    await this.#begin()
    this.#objects.set(checkKey(key), { body: new Uint8Array(body), modifiedMs: this.#nowMs() })
  }

  async putIfAbsent(key: string, body: Uint8Array): Promise<void> {
    await this.#begin()
    if (this.#objects.has(checkKey(key))) {
      throw new VectordError('object_exists', `The object "${key}" exists already.`, {
        details: { key },
      })
    }
    this.#objects.set(key, { body: new Uint8Array(body), modifiedMs: this.#nowMs() })
  }

  async putFile(key: string, path: string): Promise<void> {
    await this.#begin()
    checkKey(key)
    const body = await readFile(path).catch((error: unknown) => {
      throw fileFault(key, error)
    })
    await this.put(key, body)
  }

  async getFile(key: string, path: string): Promise<void> {
    await this.#begin()
    await writeFile(path, this.#find(key).body, { flag: 'wx' }).catch((error: unknown) => {
      throw fileFault(key, error)
    })
  }

  async delete(key: string): Promise<void> {
    await this.#begin()
    this.#objects.delete(checkKey(key))
  }

  async *list(prefix: string, options: ListOptions = {}): AsyncGenerator<ObjectInfo> {
    await this.#begin()
    checkPrefix(prefix)
    const after = options.startAfter ?? ''
    const keys = [...this.#objects.keys()]
      .filter((key) => key.startsWith(prefix) && compareKeys(key, after) > 0)
      .sort(compareKeys)
    for (const key of keys) {
      const object = this.#objects.get(key)
      if (object !== undefined) yield infoOf(key, object)
    }
  }

  close(): Promise<void> {
    this.#closed = true
    return Promise.resolve()
  }

  /** Gives others a turn, as storage does, so that tests meet the races that production meets. */
  async #begin(): Promise<void> {
    await Promise.resolve()
    if (this.#closed) throw new VectordError('storage_error', 'The memory bucket is closed.')
  }

  #find(key: string): MemoryObject {
    const object = this.#objects.get(checkKey(key))
    if (object !== undefined) return object
    throw new VectordError('object_not_found', `There is no object "${key}".`, { details: { key } })
  }
}

function infoOf(key: string, object: MemoryObject): ObjectInfo {
  return { key, bytes: object.body.byteLength, modifiedMs: object.modifiedMs }
}

function fileFault(key: string, cause: unknown): VectordError {
  const message = `The local file beside the object "${key}" failed.`
  return new VectordError('storage_error', message, { details: { key }, cause })
}
