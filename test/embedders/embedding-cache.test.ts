/**
 * The cache gives each text the vector of its embedder, bounded by bytes, and asks for none twice.
 */

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { CachedEmbedder } from '../../src/embedders/cached-embedder.ts'
import type { Embedder, EmbedderIdentity } from '../../src/embedders/embedder.ts'
import { cacheKey, EmbeddingCache } from '../../src/embedders/embedding-cache.ts'
import { embedderSuite, isUnavailable } from './embedder.suite.ts'
import { unavailable } from '../../src/embedders/embedder.ts'
import { vectorOf } from '../support/ollama-server.ts'

const IDENTITY: EmbedderIdentity = { model: 'm', version: '1', dimension: 8, normalised: true }
const ENTRY = 8 * 4 + 256

class CountingEmbedder implements Embedder {
  readonly name = 'counting'
  readonly asked: string[] = []
  #isClosed = false

  identity(): Promise<EmbedderIdentity> {
    return Promise.resolve(IDENTITY)
  }

  embed(texts: readonly string[], signal?: AbortSignal): Promise<Float32Array[]> {
    signal?.throwIfAborted()
    if (this.#isClosed) {
      return Promise.reject(unavailable(this.name, { reason: 'closed', message: 'It is closed.' }))
    }
    this.asked.push(...texts)
    return Promise.resolve(texts.map((text) => Float32Array.from(vectorOf(text, 8))))
  }

  close(): Promise<void> {
    this.#isClosed = true
    return Promise.resolve()
  }
}

embedderSuite('cached', () =>
  Promise.resolve(new CachedEmbedder(new CountingEmbedder(), new EmbeddingCache(1_000_000))),
)

describe('an embedder with a cache', () => {
  it('asks for each text once, in one call and over calls, and keeps the order', async () => {
    const inner = new CountingEmbedder()
    const embedder = new CachedEmbedder(inner, new EmbeddingCache(1_000_000))
    await embedder.embed(['b'])
    const vectors = await embedder.embed(['a', 'b', 'a', 'c'])
    assert.deepEqual(inner.asked, ['b', 'a', 'c'])
    assert.deepEqual(
      vectors.map((vector) => [...vector]),
      ['a', 'b', 'a', 'c'].map((text) => [...Float32Array.from(vectorOf(text, 8))]),
    )
  })

  it('answers what it holds while the embedder cannot, and keeps nothing of what failed', async () => {
    const inner = new CountingEmbedder()
    const cache = new EmbeddingCache(1_000_000)
    const embedder = new CachedEmbedder(inner, cache)
    await embedder.embed(['a'])
    await inner.close()
    assert.equal((await embedder.embed(['a'])).length, 1)
    const { bytes } = cache.stats()
    await assert.rejects(embedder.embed(['a', 'b']), isUnavailable)
    assert.equal(cache.stats().bytes, bytes)
  })

  it('without room it goes on asking', async () => {
    const inner = new CountingEmbedder()
    const embedder = new CachedEmbedder(inner, new EmbeddingCache(0))
    await embedder.embed(['a'])
    await embedder.embed(['a', 'a'])
    assert.deepEqual(inner.asked, ['a', 'a'])
  })
})

describe('the cache', () => {
  const vector = (value: number): Float32Array => new Float32Array(8).fill(value)

  it('drops what was not asked for the longest, and stays below its bound', () => {
    const cache = new EmbeddingCache(3 * ENTRY)
    for (const key of ['a', 'b', 'c']) cache.put(key, vector(1))
    cache.get('a')
    cache.put('d', vector(2))
    assert.deepEqual(
      ['a', 'b', 'c', 'd'].map((key) => cache.get(key) !== null),
      [true, false, true, true],
    )
    assert.equal(cache.stats().bytes, 3 * ENTRY)
    for (let i = 0; i < 100; i += 1) {
      cache.put(`${i}`, vector(i))
      assert.ok(cache.stats().bytes <= 3 * ENTRY)
    }
  })

  it('a key that is put again counts once', () => {
    const cache = new EmbeddingCache(3 * ENTRY)
    cache.put('a', vector(1))
    cache.put('a', vector(2))
    assert.equal(cache.stats().bytes, ENTRY)
    assert.equal(cache.get('a')?.[0], 2)
  })

  it('neither who puts nor who gets can change what it holds', () => {
    const cache = new EmbeddingCache(3 * ENTRY)
    const mine = vector(1)
    cache.put('a', mine)
    mine.fill(9)
    cache.get('a')?.fill(9)
    assert.deepEqual(cache.get('a'), vector(1))
  })

  it('counts hits and misses', () => {
    const cache = new EmbeddingCache(3 * ENTRY)
    cache.get('a')
    cache.put('a', vector(1))
    cache.get('a')
    assert.deepEqual(cache.stats(), { hits: 1, misses: 1, bytes: ENTRY })
  })

  it('has a key of its own for each text of each embedder', () => {
    const keys = [
      cacheKey('local', IDENTITY, 'text'),
      cacheKey('local', IDENTITY, 'text '),
      cacheKey('local', IDENTITY, '\ud800'),
      cacheKey('local', IDENTITY, '\ud801'),
      cacheKey('ollama', IDENTITY, 'text'),
      cacheKey('local', { ...IDENTITY, version: '2' }, 'text'),
      cacheKey('local', { ...IDENTITY, model: 'n' }, 'text'),
      cacheKey('local', { ...IDENTITY, dimension: 9 }, 'text'),
    ]
    assert.equal(new Set(keys).size, keys.length)
    assert.equal(cacheKey('local', { ...IDENTITY }, 'text'), keys[0])
  })
})
