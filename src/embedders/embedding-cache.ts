/**
 * Vectors of texts that were embedded before, by the SHA-256 of the text and of who embedded it.
 *
 * Bounded by bytes; what was not asked for the longest goes first.
 */

import { createHash } from 'node:crypto'
import type { EmbedderIdentity } from './embedder.ts'

/** Beside its numbers, an entry takes a key and places in a map: about as much. */
const ENTRY_BYTES = 256

export class EmbeddingCache {
  readonly #bytesMax: number
  /** Oldest use first. */
  readonly #vectors = new Map<string, Float32Array>()
  #bytes = 0
  #hits = 0
  #misses = 0

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  /** A copy; null where it is not held. */
  get(key: string): Float32Array | null {
    const vector = this.#vectors.get(key)
    if (vector === undefined) {
      this.#misses += 1
      return null
    }
    this.#hits += 1
    this.#vectors.delete(key)
    this.#vectors.set(key, vector)
    return vector.slice()
  }

  put(key: string, vector: Float32Array): void {
    const bytes = bytesOf(vector)
    if (bytes > this.#bytesMax) return
    this.#drop(key)
    this.#vectors.set(key, vector.slice())
    this.#bytes += bytes
    for (const oldest of this.#vectors.keys()) {
      if (this.#bytes <= this.#bytesMax) return
      this.#drop(oldest)
    }
  }

  stats(): { hits: number; misses: number; bytes: number } {
    return { hits: this.#hits, misses: this.#misses, bytes: this.#bytes }
  }

  #drop(key: string): void {
    const vector = this.#vectors.get(key)
    if (vector === undefined) return
    this.#vectors.delete(key)
    this.#bytes -= bytesOf(vector)
  }
}

function bytesOf(vector: Float32Array): number {
  return vector.byteLength + ENTRY_BYTES
}

/** Equal only for the same text of the same embedder. */
export function cacheKey(embedder: string, identity: EmbedderIdentity, text: string): string {
  const { model, version, dimension, normalised } = identity
  return (
    createHash('sha256')
      .update(JSON.stringify([embedder, model, version, dimension, normalised]))
      .update('\0')
      // Lone surrogates are different texts with the same UTF-8.
      .update(Buffer.from(text, 'utf16le'))
      .digest('base64')
  )
}
