/**
 * The memory of an Ollama server: loads, unloads and lists models.
 */

import { VectordError } from '../lib/errors.ts'
import { HttpFault } from './http-fault.ts'
import { fieldOf, JsonClient, type JsonCall, type JsonClientOptions } from './json-client.ts'
import type { LoadedModel, ModelServer } from './model-server.ts'
import { keepAliveOf } from './ollama-embedder.ts'

export interface OllamaServerSettings extends Pick<
  JsonClientOptions,
  'url' | 'retries' | 'backoffMs'
> {
  /** Of loading or unloading a model. */
  readonly loadTimeoutMs: number
  /** Of every other request. */
  readonly timeoutMs: number
}

export class OllamaServer implements ModelServer {
  readonly #settings: OllamaServerSettings
  readonly #client: JsonClient

  constructor(settings: OllamaServerSettings) {
    this.#settings = settings
    this.#client = new JsonClient(settings)
  }

  async preload(model: string, keepAlive: string): Promise<void> {
    await this.#keep(model, keepAliveOf(keepAlive))
  }

  async unload(model: string): Promise<void> {
    await this.#keep(model, 0)
  }

  async loaded(): Promise<readonly LoadedModel[]> {
    const call = { path: '/api/ps', timeoutMs: this.#settings.timeoutMs }
    const models = fieldOf(await this.#ask(call), 'models')
    if (!Array.isArray(models)) throw unusable('its list of loaded models is none')
    return models.map(loadedModel)
  }

  close(): void {
    this.#client.close()
  }

  /** An empty prompt loads and computes nothing. Models that only embed have no prompt. */
  async #keep(model: string, keepAlive: string | number): Promise<void> {
    const timeoutMs = this.#settings.loadTimeoutMs
    const shared = { model, keep_alive: keepAlive }
    try {
      const body = { ...shared, prompt: '', stream: false }
      await this.#client.ask({ path: '/api/generate', body, timeoutMs })
    } catch (error) {
      if (!(error instanceof HttpFault) || error.status !== 400) throw refusal(error, model)
      await this.#ask({ path: '/api/embed', body: { ...shared, input: [] }, timeoutMs }, model)
    }
  }

  async #ask(call: JsonCall, model = ''): Promise<unknown> {
    try {
      return await this.#client.ask(call)
    } catch (error) {
      throw refusal(error, model)
    }
  }
}

function loadedModel(entry: unknown): LoadedModel {
  const model = fieldOf(entry, 'name')
  const bytes = fieldOf(entry, 'size')
  const vramBytes = fieldOf(entry, 'size_vram') ?? 0
  const expiresAt = fieldOf(entry, 'expires_at') ?? null
  if (typeof model !== 'string' || !isBytes(bytes) || !isBytes(vramBytes)) {
    throw unusable('an entry of its list of loaded models has no name or no size')
  }
  return { model, bytes, vramBytes, expiresAt: typeof expiresAt === 'string' ? expiresAt : null }
}

function isBytes(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) >= 0
}

function refusal(error: unknown, model: string): unknown {
  if (!(error instanceof HttpFault)) return error
  const { status, code, told, retryAfterS } = error
  if (status === 404 && model !== '') {
    return new VectordError('model_not_found', `The model server has no model ${model}.`, {
      details: { model },
      cause: error,
    })
  }
  return new VectordError(
    'model_server_unavailable',
    `The model server gave no answer that can be used: ${error.message}.`,
    { details: { reason: code, told }, retryAfterS: retryAfterS ?? 1, cause: error },
  )
}

function unusable(why: string): VectordError {
  return new VectordError(
    'model_server_unavailable',
    `The model server gave no answer that can be used: ${why}.`,
    { details: { reason: 'odd_answer' }, retryAfterS: 1 },
  )
}
