/**
 * The embedders that this service has, by the names that indexes use: `local` always, `ollama` and
 * `openai` where they are configured. None does anything before it is asked.
 */

import type { Config } from '../config/schema.ts'
import { VectordError } from '../lib/errors.ts'
import { CachedEmbedder } from './cached-embedder.ts'
import type { Embedder, EmbedderLog } from './embedder.ts'
import { EmbeddingCache } from './embedding-cache.ts'
import { LocalEmbedder } from './local-embedder.ts'
import type { ModelServer } from './model-server.ts'
import { ollamaEmbedder } from './ollama-embedder.ts'
import { OllamaServer } from './ollama-server.ts'
import { openAiEmbedder } from './openai-embedder.ts'

export interface EmbeddersOptions {
  readonly config: Pick<Config, 'embedders' | 'embedders.ollama' | 'embedders.openai'>
  /** Where the key of `openai` may be. */
  readonly env: Readonly<Record<string, string | undefined>>
  readonly log: EmbedderLog
}

export class Embedders {
  readonly #embedders = new Map<string, Embedder>()
  readonly #cache: EmbeddingCache
  readonly #modelServer: OllamaServer | null

  constructor({ config, env, log }: EmbeddersOptions) {
    this.#cache = new EmbeddingCache(config.embedders.cacheBytes)
    const ollama = config['embedders.ollama']
    const openai = config['embedders.openai']
    this.#add(new LocalEmbedder(log))
    const ollamaUrl = ollama.url.replace(/\/+$/, '')
    if (ollama.url !== '' && ollama.model !== '') {
      this.#add(ollamaEmbedder({ ...ollama, url: ollamaUrl }))
    }
    if (openai.url !== '') {
      const { keyFile, keyVariable, ...settings } = openai
      const value = { kind: 'value', key: env[keyVariable] ?? '' } as const
      const key = keyFile === '' ? value : ({ kind: 'file', path: keyFile } as const)
      this.#add(openAiEmbedder({ ...settings, key }))
    }
    this.#modelServer = ollama.url === '' ? null : new OllamaServer({ ...ollama, url: ollamaUrl })
  }

  get names(): readonly string[] {
    return [...this.#embedders.keys()]
  }

  /** The server that holds the models of profiles; null where none is configured. */
  get modelServer(): ModelServer | null {
    return this.#modelServer
  }

  /** @throws {VectordError} `not_configured` */
  get(name: string): Embedder {
    const embedder = this.#embedders.get(name)
    if (embedder !== undefined) return embedder
    throw new VectordError('not_configured', `No embedder ${name} is configured here.`, {
      details: { embedder: name, embedders: this.names },
    })
  }

  cacheStats(): { hits: number; misses: number; bytes: number } {
    return this.#cache.stats()
  }

  async close(): Promise<void> {
    this.#modelServer?.close()
    await Promise.all([...this.#embedders.values()].map((embedder) => embedder.close()))
  }

  #add(embedder: Embedder): void {
    this.#embedders.set(embedder.name, new CachedEmbedder(embedder, this.#cache))
  }
}
