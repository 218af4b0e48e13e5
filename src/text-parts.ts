/**
 * What turns texts into vectors and finds them: embedders, the projection queue, documents, profiles.
 * Built once, over the parts that serve.
 */

import { join } from 'node:path'
import type { Logger } from 'pino'
import type { Config } from './config/schema.ts'
import { embedderTag, isSameEmbedder, type EmbedderStamp } from './domain/pending-text.ts'
import type { EmbedQuery } from './domain/search-target.ts'
import { Embedders } from './embedders/embedders.ts'
import { withDeadline } from './indexes/deadline.ts'
import type { EmbedTexts } from './indexes/lance-rows.ts'
import { VectordError } from './lib/errors.ts'
import { invariant } from './lib/invariant.ts'
import { dataplaneLog, troubleLog, type Parts } from './parts.ts'
import { Profiles } from './profiles/profiles.ts'
import { Projection } from './projection/projection.ts'
import { Documents } from './services/documents.ts'
import { textPoints } from './services/text-points.ts'

export interface TextPartsOptions {
  readonly config: Config
  readonly log: Logger
  readonly nowMs: () => number
  readonly parts: Pick<Parts, 'buckets' | 'indexes'>
}

export class TextParts {
  readonly embedders: Embedders
  readonly projection: Projection
  readonly documents: Documents
  readonly profiles: Profiles
  readonly #nowMs: () => number
  readonly #indexes: Parts['indexes']

  constructor({ config, log, nowMs, parts: { buckets, indexes } }: TextPartsOptions) {
    const onTrouble = troubleLog(log)
    this.#nowMs = nowMs
    this.#indexes = indexes
    this.embedders = new Embedders({ config, env: process.env, log: dataplaneLog(log) })
    this.projection = new Projection({
      ...{ indexes, embedders: this.embedders, rules: config.projection },
      ...{ nowMs, onTrouble },
    })
    this.documents = new Documents({
      texts: textPoints((index) => index.info.embedder !== undefined),
      rowsMax: config.limits.rowsPerRequest,
      nowMs,
    })
    const { root, profileRoot } = config.storage
    this.profiles = new Profiles({
      ...{ buckets, indexes: indexes.all, models: this.embedders.modelServer },
      profileRoot: profileRoot === '' ? join(root, 'profiles') : profileRoot,
      warmDeadlineMs: config.search.deadlineMs,
      ...{ nowMs, onTrouble },
    })
  }

  /** Who an embedder is now. @throws {VectordError} `not_configured`, `embedder_unavailable`. */
  async identityOf(name: string): Promise<EmbedderStamp> {
    return { name, ...(await this.embedders.get(name).identity()) }
  }

  /** Vectors of texts that a Lance index is to store. */
  readonly embed: EmbedTexts = (stamp, texts, deadlineMs) => {
    const message = 'The texts were not embedded in time; nothing was written.'
    return this.#inTime(deadlineMs, message, (signal) => this.#vectorsOf(stamp, texts, signal))
  }

  /** What makes vectors of the queries of an index; null where it has no embedder. */
  embedderOf(index: string): EmbedQuery | null {
    const { embedder: stamp } = this.#indexes.all.get(index).info
    if (stamp === undefined) return null
    return (text, deadlineMs) => this.#embedQuery(stamp, text, deadlineMs)
  }

  /** Requests that wait for a drain are answered. */
  async close(): Promise<void> {
    await this.projection.close()
    await this.embedders.close()
  }

  async #embedQuery(stamp: EmbedderStamp, text: string, deadlineMs: number): Promise<Float32Array> {
    const message = 'The text of the query was not embedded in time.'
    const [vector] = await this.#inTime(deadlineMs, message, (signal) =>
      this.#vectorsOf(stamp, [text], signal),
    )
    invariant(vector !== undefined, 'a text has a vector')
    return vector
  }

  async #inTime<T>(
    deadlineMs: number,
    message: string,
    work: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const abort = new AbortController()
    try {
      return await withDeadline(work(abort.signal), deadlineMs - this.#nowMs(), message)
    } finally {
      // Nobody waits for it any more.
      abort.abort()
    }
  }

  async #vectorsOf(
    stamp: EmbedderStamp,
    texts: readonly string[],
    signal: AbortSignal,
  ): Promise<readonly Float32Array[]> {
    const { name } = stamp
    const now = await this.identityOf(name)
    if (!isSameEmbedder(stamp, now)) throw mismatch(stamp, now)
    return this.embedders.get(name).embed(texts, signal)
  }
}

function mismatch(stamp: EmbedderStamp, now: EmbedderStamp): VectordError {
  return new VectordError(
    'embedder_mismatch',
    `The embedder "${stamp.name}" is another than the one that made the vectors of the index.`,
    { details: { embedder: stamp.name, expected: embedderTag(stamp), found: embedderTag(now) } },
  )
}
