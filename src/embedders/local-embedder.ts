/**
 * The built-in embedder: a small model in a process of its own, started when it is first asked.
 *
 *     embed ──▶ batches ──one at a time──▶ process ──dies──▶ rest, longer each time ──▶ next process
 *
 * Batches of several callers take turns, so a search waits for one batch and not for a backfill. A
 * batch that a process died with is given to one more; if that dies too, the batch is what kills it.
 */

import { setTimeout as delay } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import { abortable } from '../lib/abortable.ts'
import { VectordError } from '../lib/errors.ts'
import { KeyedMutex } from '../lib/keyed-mutex.ts'
import { RestartBackoff } from '../lib/restart-backoff.ts'
import {
  checkedVectors,
  failed,
  unavailable,
  type Embedder,
  type EmbedderIdentity,
  type EmbedderLog,
} from './embedder.ts'
import { BatchRefused, LocalProcess, ProcessGone } from './local-process.ts'

const NAME = 'local'
/**
 * What one turn takes: a search that comes in between waits for no more. The model gains nothing from
 * larger batches: it takes about 12 ms for a sentence, and 100 ms for all that it reads of a text.
 */
const TURN_TEXTS_MAX = 8
const TURN_CHARS_MAX = 600
/** Turns that may wait. */
const TURNS_MAX = 256
const RESTART_MS_MIN = 100
const RESTART_MS_MAX = 30_000
/** Who has to wait longer than this for the next process is told when to come again. */
const REST_MS_MAX = 2000

export class LocalEmbedder implements Embedder {
  readonly name = NAME
  readonly #log: EmbedderLog
  readonly #turns = new KeyedMutex()
  readonly #backoff = new RestartBackoff(RESTART_MS_MIN, RESTART_MS_MAX)
  readonly #closing = new AbortController()
  #waiting = 0
  #life: LocalProcess | null = null
  #identity: EmbedderIdentity | null = null
  /** By `performance.now()`. */
  #restUntilMs = 0

  constructor(log: EmbedderLog) {
    this.#log = log
  }

  /** Of the process that runs now. */
  get pid(): number | null {
    return this.#life?.pid ?? null
  }

  async identity(): Promise<EmbedderIdentity> {
    return this.#identity ?? this.#turn((identity) => Promise.resolve(identity))
  }

  async embed(texts: readonly string[], signal?: AbortSignal): Promise<Float32Array[]> {
    const empty = texts.indexOf('')
    if (empty >= 0) throw failed(NAME, 'An empty text has no vector.', { row: empty })
    const vectors: Float32Array[] = []
    for (const batch of turnsOf(texts)) {
      const turn = this.#turn(({ dimension }, life) => {
        return this.#batch(batch, { dimension, life })
      }, signal)
      vectors.push(...(await abortable(turn, signal)))
    }
    return vectors
  }

  async close(): Promise<void> {
    this.#closing.abort()
    const life = this.#life
    life?.kill()
    await life?.gone
  }

  /** Runs `work` when all earlier turns have ended, twice where the process dies with it. */
  async #turn<T>(
    work: (identity: EmbedderIdentity, life: LocalProcess) => Promise<T>,
    signal?: AbortSignal,
  ): Promise<T> {
    if (this.#waiting >= TURNS_MAX) {
      throw unavailable(NAME, { reason: 'busy', message: 'Too many texts wait to be embedded.' })
    }
    this.#waiting += 1
    try {
      return await this.#turns.run(NAME, async () => {
        signal?.throwIfAborted()
        const again = await this.#try(work)
        return again.isGone ? await this.#last(work) : again.answer
      })
    } finally {
      this.#waiting -= 1
    }
  }

  async #try<T>(
    work: (identity: EmbedderIdentity, life: LocalProcess) => Promise<T>,
  ): Promise<{ readonly isGone: true } | { readonly isGone: false; readonly answer: T }> {
    const [identity, life] = await this.#alive()
    try {
      return { isGone: false, answer: await work(identity, life) }
    } catch (error) {
      if (error instanceof ProcessGone) return { isGone: true }
      throw error
    }
  }

  async #last<T>(work: (identity: EmbedderIdentity, life: LocalProcess) => Promise<T>): Promise<T> {
    const again = await this.#try(work)
    if (!again.isGone) return again.answer
    this.#refuseClosed()
    throw failed(NAME, 'The process of the embedder died with this batch twice.')
  }

  async #batch(
    texts: readonly string[],
    { dimension, life }: { readonly dimension: number; readonly life: LocalProcess },
  ): Promise<Float32Array[]> {
    try {
      const rows = await life.embed(texts)
      return checkedVectors(NAME, rows, { count: texts.length, dimension })
    } catch (error) {
      if (!(error instanceof BatchRefused)) throw error
      throw failed(NAME, 'The model cannot embed a text.', { told: error.message.slice(0, 200) })
    }
  }

  /** A process that has loaded its model. @throws {VectordError} `embedder_unavailable` */
  async #alive(): Promise<readonly [EmbedderIdentity, LocalProcess]> {
    this.#refuseClosed()
    if (this.#life === null || this.#life.isOver) await this.#rest()
    const life = this.#life ?? this.#start()
    try {
      const identity = await life.ready
      this.#identity ??= identity
      if (isDeepStrictEqual(identity, this.#identity)) return [identity, life]
    } catch (error) {
      if (!(error instanceof ProcessGone)) throw error
      this.#refuseClosed()
      throw unavailable(NAME, {
        reason: 'not_started',
        message: 'The process of the embedder ended before it was ready; the log says how.',
      })
    }
    throw new VectordError('embedder_mismatch', 'The built-in model was changed on the disk.', {
      details: { embedder: NAME },
    })
  }

  #start(): LocalProcess {
    const life = new LocalProcess()
    this.#life = life
    life.ready.then(
      (identity) => {
        this.#backoff.up(performance.now())
        this.#log('info', { pid: life.pid, ...identity }, 'embedder started')
      },
      () => null,
    )
    void life.gone.then((exit) => {
      if (this.#closing.signal.aborted) return
      this.#log('error', { pid: life.pid, ...exit }, 'embedder died')
    })
    return life
  }

  /** After a death, until the next process may start. */
  async #rest(): Promise<void> {
    if (this.#life !== null) {
      this.#life = null
      this.#restUntilMs = performance.now() + this.#backoff.died(performance.now())
    }
    const waitMs = this.#restUntilMs - performance.now()
    if (waitMs <= 0) return
    if (waitMs > REST_MS_MAX) {
      throw unavailable(NAME, {
        reason: 'restarting',
        message: 'The process of the embedder died several times; it is started again later.',
        retryAfterS: waitMs / 1000,
      })
    }
    await delay(waitMs, undefined, { signal: this.#closing.signal }).catch(() => null)
    this.#refuseClosed()
  }

  #refuseClosed(): void {
    if (!this.#closing.signal.aborted) return
    throw unavailable(NAME, { reason: 'closed', message: 'The service is stopping.' })
  }
}

/** In order; a text that is too long for a turn has one of its own. */
function turnsOf(texts: readonly string[]): string[][] {
  const turns: string[][] = []
  let chars = 0
  for (const text of texts) {
    const last = turns.at(-1)
    chars += text.length
    if (last !== undefined && last.length < TURN_TEXTS_MAX && chars <= TURN_CHARS_MAX) {
      last.push(text)
      continue
    }
    turns.push([text])
    chars = text.length
  }
  return turns
}
