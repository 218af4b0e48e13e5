/**
 * Embeds with a model of any server that speaks the embeddings protocol of OpenAI:
 * `POST /v1/embeddings`. The name of the model that it answers with is the version: the protocol has no
 * other.
 */

import { readSecretFile, SecretFileFault } from '../lib/secret-file.ts'
import { failed, unavailable } from './embedder.ts'
import {
  HttpEmbedder,
  type EmbeddingAnswer,
  type EmbeddingCall,
  type EmbeddingProtocol,
} from './http-embedder.ts'
import { HttpFault } from './http-fault.ts'
import { fieldOf, JsonClient, type JsonClientOptions } from './json-client.ts'

/** Where the key is: it is read before each request, so that it may change without a restart. */
export type ApiKeySource =
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'value'; readonly key: string }

export interface OpenAiSettings extends Pick<JsonClientOptions, 'url' | 'retries' | 'backoffMs'> {
  readonly model: string
  /** An empty value sends no key: servers of one's own often ask for none. */
  readonly key: ApiKeySource
  /** Of one request. */
  readonly timeoutMs: number
  /** Texts in one request. */
  readonly batchMax: number
}

const NAME = 'openai'

export function openAiEmbedder(settings: OpenAiSettings): HttpEmbedder {
  return new HttpEmbedder(new OpenAiProtocol(settings), settings.batchMax)
}

class OpenAiProtocol implements EmbeddingProtocol {
  readonly name = NAME
  readonly model: string
  readonly #path: string
  readonly #timeoutMs: number
  readonly #client: JsonClient

  constructor({ model, timeoutMs, url, key, ...retrying }: OpenAiSettings) {
    this.model = model
    this.#timeoutMs = timeoutMs
    const base = url.replace(/\/+$/, '')
    // Other clients of this protocol are given the address with its version.
    this.#path = base.endsWith('/v1') ? '/embeddings' : '/v1/embeddings'
    this.#client = new JsonClient({ ...retrying, url: base, headers: () => keyHeaders(key) })
  }

  async embed({ texts, ...call }: EmbeddingCall): Promise<EmbeddingAnswer> {
    const body = { model: this.model, input: texts, encoding_format: 'float' }
    const answer = await this.#client.ask({
      ...{ path: this.#path, body, timeoutMs: this.#timeoutMs },
      ...call,
    })
    const data = fieldOf(answer, 'data')
    if (!Array.isArray(data)) throw new HttpFault('odd_answer')
    const version = fieldOf(answer, 'model')
    return { rows: inOrder(data), version: typeof version === 'string' ? version : this.model }
  }

  close(): void {
    this.#client.close()
  }
}

/** Vectors come with the place of their text, in any order. */
function inOrder(data: readonly unknown[]): unknown[] {
  const places = new Map(data.map((entry) => [fieldOf(entry, 'index'), entry]))
  return data.map((_, i) => {
    if (!places.has(i)) {
      throw failed(NAME, 'The places of the answered vectors are not those of the texts.')
    }
    return fieldOf(places.get(i), 'embedding')
  })
}

async function keyHeaders(source: ApiKeySource): Promise<Record<string, string>> {
  const isFile = source.kind === 'file'
  const key = (isFile ? await keyIn(source.path) : source.key).trim()
  if (key === '' && !isFile) return {}
  // Anything else than visible ASCII would be refused as a header, with the key in the message.
  if (/^[\x21-\x7e]+$/.test(key)) return { authorization: `Bearer ${key}` }
  const place = isFile ? `file ${source.path}` : 'environment variable'
  throw unavailable(NAME, { reason: 'no_key', message: `The ${place} holds no key.` })
}

async function keyIn(path: string): Promise<string> {
  try {
    return await readSecretFile(path, 'key file')
  } catch (error) {
    if (!(error instanceof SecretFileFault)) throw error
    throw unavailable(NAME, { reason: 'no_key', message: `${error.message}.`, cause: error })
  }
}
