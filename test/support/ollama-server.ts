/**
 * A server that speaks the part of Ollama's protocol that vectord uses, and goes wrong as told.
 *
 *     const ollama = await startOllama()           // ollama.url; one model: "embed-small"
 *     ollama.addModel('llama3.2', { bytes: 2e9 })
 *     ollama.arm('/api/embed', 'status_429', 2)    // the next two requests of that path
 *     ollama.calls('/api/generate')                // the bodies that were asked, in order
 *     ollama.loaded                                // names of the models that are in memory
 *
 * As with Ollama: a request of a model loads it, `keep_alive: 0` unloads it, an unknown one is 404.
 * Vectors are a function of the text alone, of length 1; those of equal words are near each other.
 */

import { createHash } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { text as readText } from 'node:stream/consumers'

export type OllamaFault =
  /** Answers nothing until `release()`. */
  | 'hang'
  /** 404, as for a model that was not pulled. */
  | 'no_model'
  /** Vectors are one number short. */
  | 'wrong_dimension'
  /** One vector less than texts. */
  | 'missing_vector'
  /** Valid headers, then half of the body, then the connection breaks. */
  | 'half_answer'
  /** 200 with a page of HTML. */
  | 'not_json'
  /** 200 with more than 64 MiB. */
  | 'huge'
  /** 429 with `Retry-After: 0`. */
  | 'status_429'
  | 'status_500'
  | 'status_503'
  /** 400, as for a text that the model cannot take. */
  | 'status_400'
  /** The connection breaks before an answer. */
  | 'closed'

export interface OllamaModel {
  /** What it takes of memory when it is loaded. */
  readonly bytes?: number
  /** Of it, in the memory of the GPU. */
  readonly vramBytes?: number
  readonly digest?: string
  /** Length of its vectors. */
  readonly dimension?: number
  /** False for one that only embeds: `/api/generate` is 400 for it, unless it is to be unloaded. */
  readonly generates?: boolean
}

export interface OllamaServer {
  readonly url: string
  /** Names of the models in memory, oldest first. */
  readonly loaded: readonly string[]
  /** Installs a model, or another version of it. */
  addModel(name: string, model?: OllamaModel): void
  /** Removes a model, as `ollama rm` does. */
  removeModel(name: string): void
  /** Goes wrong at the next `times` requests of `path`, such as `/api/embed`. */
  arm(path: string, fault: OllamaFault, times: number): void
  /** Bodies of the requests of `path` so far, in order; null for a GET. */
  calls(path: string): readonly unknown[]
  /** Resolves when `path` has been asked `count` times in all. */
  asked(path: string, count: number): Promise<void>
  /** Lets the requests go on that a `hang` holds. */
  release(): void
  close(): Promise<void>
}

const DIMENSION = 32
const HUGE_BYTES = 64 * 1024 * 1024
const MODEL = 'embed-small'

export async function startOllama(): Promise<OllamaServer> {
  const world = new OllamaWorld()
  const http = createServer((request, reply) => {
    void world.serve(request, reply)
  })
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
  const address = http.address()
  if (address === null || typeof address === 'string') throw new Error('it listens on no port')
  world.addModel(MODEL, {})
  return {
    url: `http://127.0.0.1:${address.port}`,
    get loaded() {
      return [...world.expiry.keys()]
    },
    addModel: (name, model = {}) => {
      world.addModel(name, model)
    },
    removeModel: (name) => {
      world.models.delete(tagged(name))
      world.expiry.delete(tagged(name))
    },
    arm: (path, fault, times) => {
      for (let i = 0; i < times; i += 1) world.faults.push({ path, fault })
    },
    calls: (path) => world.callsOf(path),
    asked: (path, count) => world.asked(path, count),
    release: () => {
      world.release()
    },
    close: async () => {
      world.release()
      http.closeAllConnections()
      await new Promise((resolve) => http.close(resolve))
    },
  }
}

type Installed = Required<OllamaModel>

interface Call {
  readonly path: string
  readonly body: unknown
}

class OllamaWorld {
  readonly models = new Map<string, Installed>()
  /** Models in memory, with the time at which they are to be unloaded. */
  readonly expiry = new Map<string, string>()
  readonly faults: { readonly path: string; readonly fault: OllamaFault }[] = []
  readonly #calls: Call[] = []
  readonly #watchers = new Set<() => void>()
  #held = Promise.withResolvers<null>()

  addModel(name: string, model: OllamaModel): void {
    const digest = createHash('sha256').update(name).digest('hex')
    const bytes = model.bytes ?? 100_000_000
    const standard = { bytes, vramBytes: bytes, digest, dimension: DIMENSION, generates: true }
    this.models.set(tagged(name), { ...standard, ...model })
  }

  callsOf(path: string): unknown[] {
    return this.#calls.filter((call) => call.path === path).map(({ body }) => body)
  }

  async asked(path: string, count: number): Promise<void> {
    while (this.callsOf(path).length < count) {
      await new Promise<void>((resolve) => {
        this.#watchers.add(resolve)
      })
    }
  }

  release(): void {
    this.#held.resolve(null)
    this.#held = Promise.withResolvers()
  }

  async serve(request: IncomingMessage, reply: ServerResponse): Promise<void> {
    const path = request.url ?? ''
    const raw = await readText(request).catch(() => '')
    const body: unknown = raw === '' ? null : JSON.parse(raw)
    this.#calls.push({ path, body })
    for (const watcher of this.#watchers) watcher()
    this.#watchers.clear()
    const fault = this.#nextFault(path)
    if (fault === 'hang') await this.#held.promise
    const answer = this.#answer(path, fieldsOf(body), fault)
    if (fault === null || !breaks(reply, fault, answer)) send(reply, 200, answer)
  }

  #nextFault(path: string): OllamaFault | null {
    const at = this.faults.findIndex((armed) => armed.path === path)
    const [armed] = at < 0 ? [] : this.faults.splice(at, 1)
    return armed?.fault ?? null
  }

  #answer(path: string, fields: Fields, fault: OllamaFault | null): object {
    if (path === '/api/tags') return { models: [...this.models].map(tagOf) }
    if (path === '/api/ps') {
      return { models: [...this.expiry].map((entry) => this.#loadedOf(entry)) }
    }
    const { model: name = '' } = fields
    const model = this.models.get(tagged(name))
    if (model === undefined || fault === 'no_model') {
      return { status: 404, error: `model '${name}' not found` }
    }
    if (path === '/api/generate') return this.#generate(name, model, fields)
    if (path === '/api/embed') return this.#embed(name, model, { ...fields, fault })
    if (path === '/api/show') return { details: { family: 'fake' }, model_info: {} }
    return { status: 404, error: 'page not found' }
  }

  #generate(name: string, model: Installed, { keep_alive }: Fields): object {
    if (!model.generates && !isUnload(keep_alive)) {
      return { status: 400, error: `"${name}" does not support generate` }
    }
    this.#keep(name, keep_alive)
    const reason = isUnload(keep_alive) ? 'unload' : 'load'
    return { model: name, response: '', done: true, done_reason: reason }
  }

  #embed(name: string, model: Installed, { input = [], keep_alive, fault }: FaultyFields): object {
    this.#keep(name, keep_alive)
    const texts = typeof input === 'string' ? [input] : input
    const dimension = model.dimension - (fault === 'wrong_dimension' ? 1 : 0)
    const embeddings = texts.map((text) => vectorOf(text, dimension))
    return {
      model: name,
      embeddings: fault === 'missing_vector' ? embeddings.slice(1) : embeddings,
    }
  }

  #keep(name: string, keepAlive: Fields['keep_alive']): void {
    this.expiry.delete(tagged(name))
    if (!isUnload(keepAlive)) this.expiry.set(tagged(name), '2030-01-01T00:05:00Z')
  }

  #loadedOf([name, expiresAt]: [string, string]): object {
    const model = this.models.get(name)
    return {
      ...{ name, model: name, digest: model?.digest },
      ...{ size: model?.bytes, size_vram: model?.vramBytes, expires_at: expiresAt },
    }
  }
}

interface Fields {
  readonly model?: string
  readonly keep_alive?: string | number
  readonly input?: string | readonly string[]
}

interface FaultyFields extends Fields {
  readonly fault: OllamaFault | null
}

function isUnload(keepAlive: Fields['keep_alive']): boolean {
  return keepAlive === 0 || keepAlive === '0'
}

function fieldsOf(body: unknown): Fields {
  return body !== null && typeof body === 'object' ? body : {}
}

/** Ollama's name of a model always has a tag. */
function tagged(name: string): string {
  return name.includes(':') ? name : `${name}:latest`
}

function tagOf([name, model]: [string, Installed]): object {
  return { name, model: name, digest: model.digest, size: model.bytes }
}

/** Words point in directions of their own; a text is their sum, of length 1. */
export function vectorOf(text: string, dimension: number): number[] {
  const sum = new Array<number>(dimension).fill(0)
  for (const word of text.toLowerCase().split(/\s+/)) {
    const bytes = createHash('shake256', { outputLength: dimension }).update(word).digest()
    bytes.forEach((byte, i) => (sum[i] = (sum[i] ?? 0) + byte - 127.5))
  }
  const length = Math.hypot(...sum)
  return sum.map((value) => value / length)
}

/** True where the fault was the answer. */
function breaks(reply: ServerResponse, fault: OllamaFault, answer: object): boolean {
  const status = STATUS_FAULTS[fault]
  if (status !== undefined) {
    reply.setHeader('retry-after', '0')
    send(reply, status, { error: 'told to go wrong' })
    return true
  }
  if (fault === 'closed') reply.destroy()
  else if (fault === 'not_json') reply.end('<html>It works!</html>')
  else if (fault === 'huge') reply.end(`{"a":"${'x'.repeat(HUGE_BYTES)}"}`)
  else if (fault === 'half_answer') {
    const text = JSON.stringify(answer)
    reply.writeHead(200, { 'content-length': text.length })
    reply.write(text.slice(0, text.length / 2), () => reply.destroy())
  } else return false
  return true
}

const STATUS_FAULTS: { readonly [fault in OllamaFault]?: number } = {
  status_429: 429,
  status_500: 500,
  status_503: 503,
  status_400: 400,
}

function send(reply: ServerResponse, status: number, answer: object): void {
  const told = 'status' in answer && typeof answer.status === 'number' ? answer.status : status
  reply.writeHead(told, { 'content-type': 'application/json' })
  reply.end(JSON.stringify(answer))
}
