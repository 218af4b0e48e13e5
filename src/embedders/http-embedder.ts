/**
 * An embedder behind HTTP: batches, checks and the identity, whatever protocol its server speaks.
 *
 * The version is asked with every batch. A server that has got other weights under the same name, or
 * whose vectors have another length, is refused until it is as it was, or until a restart has learned
 * who it is now.
 */

import { VectordError } from '../lib/errors.ts'
import { abortable } from '../lib/abortable.ts'
import {
  checkedVectors,
  failed,
  isNormalised,
  PROBE_TEXTS,
  unavailable,
  type Embedder,
  type EmbedderIdentity,
} from './embedder.ts'
import { HttpFault } from './http-fault.ts'
import type { JsonCall } from './json-client.ts'

/** What a server answered for one batch. */
export interface EmbeddingAnswer {
  /** In the order of the texts; not checked yet. */
  readonly rows: readonly unknown[]
  /** Of the weights that made them. */
  readonly version: string
}

/** One request. */
export interface EmbeddingCall extends Pick<JsonCall, 'isBodySuspect'> {
  readonly texts: readonly string[]
  readonly signal: AbortSignal | undefined
}

/** One protocol. */
export interface EmbeddingProtocol {
  readonly name: string
  readonly model: string
  /** @throws {HttpFault}, or the reason of the signal. */
  embed(call: EmbeddingCall): Promise<EmbeddingAnswer>
  close(): void
}

/** Statuses by which servers say that a text is at fault: too long, empty, refused. */
const INPUT_STATUSES: readonly number[] = [400, 413, 422]
/** A text is at fault when so many requests with it were answered 500, and one without it was not. */
const TRIES_OF_TEXTS = 2

export class HttpEmbedder implements Embedder {
  readonly name: string
  readonly #protocol: EmbeddingProtocol
  readonly #batchMax: number
  #identity: Promise<EmbedderIdentity> | null = null

  constructor(protocol: EmbeddingProtocol, batchMax: number) {
    this.name = protocol.name
    this.#protocol = protocol
    this.#batchMax = batchMax
  }

  identity(): Promise<EmbedderIdentity> {
    this.#identity ??= this.#learn().catch((error: unknown) => {
      this.#identity = null
      throw error
    })
    return this.#identity
  }

  async embed(texts: readonly string[], signal?: AbortSignal): Promise<Float32Array[]> {
    if (texts.length === 0) return []
    const { version, dimension } = await abortable(this.identity(), signal)
    const vectors: Float32Array[] = []
    for (let start = 0; start < texts.length; start += this.#batchMax) {
      const batch = texts.slice(start, start + this.#batchMax)
      const answer = await this.#ask(batch, signal)
      if (answer.version !== version) throw this.#mismatch(version, answer.version)
      if (hasOtherLength(answer.rows, dimension)) await this.#checkSelf(dimension, signal)
      vectors.push(...checkedVectors(this.name, answer.rows, { count: batch.length, dimension }))
    }
    return vectors
  }

  close(): Promise<void> {
    this.#protocol.close()
    return Promise.resolve()
  }

  async #learn(): Promise<EmbedderIdentity> {
    try {
      const { rows, version } = await this.#probe(undefined)
      const vectors = checkedVectors(this.name, rows, {
        count: PROBE_TEXTS.length,
        dimension: null,
      })
      const dimension = vectors[0]?.length ?? 0
      return { model: this.#protocol.model, version, dimension, normalised: isNormalised(vectors) }
    } catch (error) {
      if (!(error instanceof VectordError) || error.code !== 'embedder_failed') throw error
      // Nothing is wrong with the probe: no text can be embedded there.
      throw unavailable(this.name, {
        reason: 'probe_failed',
        message: `The embedder ${this.name} cannot embed a text that is surely fine.`,
        cause: error,
      })
    }
  }

  async #probe(signal: AbortSignal | undefined): Promise<EmbeddingAnswer> {
    try {
      return await this.#protocol.embed({ texts: PROBE_TEXTS, signal })
    } catch (error) {
      throw error instanceof HttpFault ? this.#meaning(error) : error
    }
  }

  async #ask(texts: readonly string[], signal: AbortSignal | undefined): Promise<EmbeddingAnswer> {
    for (let tries = 1; ; tries += 1) {
      try {
        return await this.#protocol.embed({ texts, signal, isBodySuspect: true })
      } catch (error) {
        if (!(error instanceof HttpFault)) throw error
        if (!isOfEither(error)) throw this.#meaning(error)
        await this.#checkServes(error, signal)
        // What took too long would take as long again.
        if (tries === TRIES_OF_TEXTS || error.reason === 'timeout') throw this.#failure(error)
      }
    }
  }

  /** Vectors of another length for any text are no fault of the texts: it is another model by now. */
  async #checkSelf(dimension: number, signal: AbortSignal | undefined): Promise<void> {
    const { rows, version } = await this.#probe(signal)
    if (!hasOtherLength(rows, dimension)) return
    const found = rows.find(Array.isArray)?.length ?? 0
    throw this.#mismatch(`${version}, ${dimension} numbers`, `${version}, ${found} numbers`)
  }

  /** Returns where the server embeds another text right after the fault: then it is the text. */
  async #checkServes(fault: HttpFault, signal: AbortSignal | undefined): Promise<void> {
    try {
      await this.#protocol.embed({ texts: PROBE_TEXTS, signal })
    } catch (error) {
      throw error instanceof HttpFault ? this.#outage(fault) : error
    }
  }

  #meaning(fault: HttpFault): VectordError {
    return INPUT_STATUSES.includes(fault.status) ? this.#failure(fault) : this.#outage(fault)
  }

  #failure({ code, told }: HttpFault): VectordError {
    const { name } = this
    const message = `The server of the embedder ${name} cannot embed a text.`
    return failed(name, message, { reason: code, told })
  }

  #outage(fault: HttpFault): VectordError {
    const { name } = this
    if (fault.status === 404) {
      return unavailable(name, {
        reason: 'model_not_found',
        message: `The server of the embedder ${name} does not know the model ${this.#protocol.model}.`,
        cause: fault,
      })
    }
    return unavailable(name, {
      reason: fault.code,
      message: `The server of the embedder ${name} gave no answer that can be used: ${fault.message}.`,
      ...(fault.retryAfterS !== null && { retryAfterS: fault.retryAfterS }),
      cause: fault,
    })
  }

  #mismatch(expected: string, found: string): VectordError {
    const { name } = this
    return new VectordError(
      'embedder_mismatch',
      `The embedder ${name} has changed under its name since this service started.`,
      { details: { embedder: name, model: this.#protocol.model, expected, found } },
    )
  }
}

/** True where there are vectors, and none of them is as long as it should be. */
function hasOtherLength(rows: readonly unknown[], dimension: number): boolean {
  return rows.length > 0 && rows.every((row) => Array.isArray(row) && row.length !== dimension)
}

/**
 * Servers answer 500, or nothing in time, for a text that they stumble over as well as for a fault of
 * their own.
 */
function isOfEither({ status, reason }: HttpFault): boolean {
  return status === 500 || reason === 'timeout'
}
