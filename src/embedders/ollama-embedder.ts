/**
 * Embeds with a model of an Ollama server: `POST /api/embed`. Its digest is the version.
 *
 * The digest is looked up after the vectors came, so that a model that was pulled anew in between is
 * noticed; a look that is younger than a second counts.
 */

import {
  HttpEmbedder,
  type EmbeddingAnswer,
  type EmbeddingCall,
  type EmbeddingProtocol,
} from './http-embedder.ts'
import { HttpFault } from './http-fault.ts'
import { fieldOf, JsonClient, type JsonClientOptions } from './json-client.ts'
import { taggedModel } from './model-server.ts'

export interface OllamaSettings extends Pick<JsonClientOptions, 'url' | 'retries' | 'backoffMs'> {
  readonly model: string
  /** How long the server keeps the model in memory: `5m`. */
  readonly keepAlive: string
  /** Of one request. */
  readonly timeoutMs: number
  /** Texts in one request. */
  readonly batchMax: number
  /** How old a look at the digest may be. */
  readonly digestAgeMsMax?: number
}

const DIGEST_AGE_MS_MAX = 1000

export function ollamaEmbedder(settings: OllamaSettings): HttpEmbedder {
  return new HttpEmbedder(new OllamaProtocol(settings), settings.batchMax)
}

class OllamaProtocol implements EmbeddingProtocol {
  readonly name = 'ollama'
  readonly model: string
  readonly #settings: OllamaSettings
  readonly #client: JsonClient
  #digest = ''
  #lookedMs = -Infinity

  constructor(settings: OllamaSettings) {
    this.model = settings.model
    this.#settings = settings
    this.#client = new JsonClient(settings)
  }

  async embed({ texts, ...call }: EmbeddingCall): Promise<EmbeddingAnswer> {
    const { timeoutMs, keepAlive } = this.#settings
    const body = { model: this.model, input: texts, keep_alive: keepAliveOf(keepAlive) }
    const answer = await this.#client.ask({ path: '/api/embed', body, timeoutMs, ...call })
    const rows = fieldOf(answer, 'embeddings')
    if (!Array.isArray(rows)) throw new HttpFault('odd_answer')
    return { rows, version: await this.#version(call.signal) }
  }

  close(): void {
    this.#client.close()
  }

  async #version(signal: AbortSignal | undefined): Promise<string> {
    const { timeoutMs, digestAgeMsMax = DIGEST_AGE_MS_MAX } = this.#settings
    const nowMs = performance.now()
    if (nowMs - this.#lookedMs < digestAgeMsMax) return this.#digest
    const answer = await this.#client.ask({ path: '/api/tags', timeoutMs, signal })
    this.#digest = digestOf(answer, this.model)
    this.#lookedMs = nowMs
    return this.#digest
  }
}

/** Ollama takes numbers for seconds; `-1` is for ever. */
export function keepAliveOf(text: string): string | number {
  return text === '-1' ? -1 : text
}

function digestOf(answer: unknown, model: string): string {
  const models: unknown = fieldOf(answer, 'models')
  if (!Array.isArray(models)) throw new HttpFault('odd_answer')
  const tagged = taggedModel(model)
  const own: unknown = models.find((entry: unknown) => fieldOf(entry, 'name') === tagged)
  // It embedded a moment ago: somebody has just removed it.
  if (own === undefined) throw new HttpFault('status', { status: 404 })
  const digest = fieldOf(own, 'digest')
  if (typeof digest !== 'string' || digest === '') throw new HttpFault('odd_answer')
  return digest
}
