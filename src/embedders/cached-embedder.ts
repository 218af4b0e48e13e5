/**
 * An embedder that asks another one only for what it has not embedded lately, and for each text once.
 */

import type { Embedder, EmbedderIdentity } from './embedder.ts'
import { abortable } from '../lib/abortable.ts'
import { invariant } from '../lib/invariant.ts'
import { cacheKey, type EmbeddingCache } from './embedding-cache.ts'

export class CachedEmbedder implements Embedder {
  readonly name: string
  readonly #inner: Embedder
  readonly #cache: EmbeddingCache

  constructor(inner: Embedder, cache: EmbeddingCache) {
    this.name = inner.name
    this.#inner = inner
    this.#cache = cache
  }

  identity(): Promise<EmbedderIdentity> {
    return this.#inner.identity()
  }

  async embed(texts: readonly string[], signal?: AbortSignal): Promise<readonly Float32Array[]> {
    if (texts.length === 0) return []
    const identity = await abortable(this.identity(), signal)
    const keys = texts.map((text) => cacheKey(this.name, identity, text))
    const found = keys.map((key) => this.#cache.get(key))
    const missing = new Map<string, string>()
    texts.forEach((text, i) => {
      if (found[i] === null) missing.set(keys[i] ?? '', text)
    })
    if (missing.size === 0) return present(found)
    const vectors = await this.#inner.embed([...missing.values()], signal)
    const made = new Map([...missing.keys()].map((key, i) => [key, vectors[i]]))
    for (const [key, vector] of made) if (vector !== undefined) this.#cache.put(key, vector)
    return present(found.map((vector, i) => vector ?? made.get(keys[i] ?? '')?.slice()))
  }

  close(): Promise<void> {
    return this.#inner.close()
  }
}

function present(vectors: readonly (Float32Array | null | undefined)[]): Float32Array[] {
  return vectors.map((vector) => {
    invariant(vector instanceof Float32Array, 'an embedder answers a vector for each text')
    return vector
  })
}
