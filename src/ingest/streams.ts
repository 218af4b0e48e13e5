/**
 * The streams of all indexes: opened by the first request, from the settings of the index.
 *
 *     settings change ─▶ drain ─▶ store ─▶ the next request opens it with the new ones
 *     index deleted   ─▶ drain ─▶ delete
 *     shutdown        ─▶ drain all
 *
 * What another server changed is seen with the next request, which is answered `stream_draining`
 * while the stream of before ends.
 */

import type { ObjectStore } from '../buckets/object-store.ts'
import { isSameStream, type StreamSettings } from '../domain/stream-settings.ts'
import { rowOf, type UpsertBatch } from '../domain/write-batch.ts'
import type { Indexes, ManagedIndex } from '../indexes/index-api.ts'
import { VectordError } from '../lib/errors.ts'
import { KeyedMutex } from '../lib/keyed-mutex.ts'
import { DeadLetters } from './dead-letters.ts'
import { requeue, type Requeued } from './requeue.ts'
import { Stream, type StreamFill } from './stream.ts'
import type { Bury, StreamOutcome } from './stream-buffer.ts'
import { drainingError, notEnabled } from './stream-errors.ts'
import {
  addTotals,
  noTotals,
  StreamRecord,
  type StreamFault,
  type StreamTotals,
} from './stream-record.ts'

export interface StreamsOptions {
  readonly indexes: Pick<Indexes, 'get' | 'has'>
  /** The home bucket of an index. */
  readonly storeOf: (index: string) => ObjectStore
  readonly nowMs: () => number
  readonly onTrouble: (error: unknown, what: string) => void
}

export interface StreamStatus extends StreamFill {
  readonly settings: StreamSettings
  readonly totals: StreamTotals
  /** Points a second; null before it was measured. */
  readonly drainRate: number | null
  readonly lastFault: StreamFault | null
  /** Null where the bucket cannot tell now. */
  readonly deadLetters: number | null
}

/** What all streams together do. */
export interface StreamsSummary {
  readonly buffered: number
  readonly unapplied: number
  readonly totals: StreamTotals
}

interface Slot {
  /** An index that was made anew by the same name is another one. */
  readonly index: ManagedIndex
  readonly record: StreamRecord
  stream: Stream
}

export class Streams {
  readonly #options: StreamsOptions
  readonly #slots = new Map<string, Slot>()
  readonly #letters = new WeakMap<ManagedIndex, DeadLetters>()
  readonly #turns = new KeyedMutex()
  /** What the streams of indexes did that are gone. */
  readonly #gone = noTotals()
  #isClosed = false

  constructor(options: StreamsOptions) {
    this.#options = options
  }

  /**
   * Takes as many points as fit, and resolves when they are durable. The batch was checked whole.
   *
   * @throws {VectordError} where nothing was taken: `stream_not_enabled`, `stream_draining`,
   *   `stream_stopped`, `shutting_down`.
   */
  take(name: string, batch: UpsertBatch, deadlineMs: number): Promise<StreamOutcome> {
    const letters = this.deadLetters(name)
    const bury: Bury = (rows, row, reason) => {
      if (!(reason instanceof VectordError)) {
        this.#options.onTrouble(reason, `write a point of the stream of index "${name}"`)
      }
      return letters.add(rowOf(rows, row), reason)
    }
    return this.#open(name).take(batch, { deadlineMs, bury })
  }

  /** For a refusal before a body is read. @throws what `take` would refuse any point with. */
  check(name: string): void {
    this.#open(name).check()
  }

  /** @throws {VectordError} `stream_not_enabled`, `index_not_found`. */
  async status(name: string): Promise<StreamStatus> {
    const index = this.#options.indexes.get(name)
    const settings = index.info.stream
    if (settings === undefined) throw notEnabled(name)
    const slot = this.#slots.get(name)
    const isOpen = slot?.index === index
    const record = isOpen ? slot.record : new StreamRecord()
    const { totals, lastFault } = record
    return {
      ...(isOpen ? slot.stream.fill : IDLE),
      ...{ settings, totals, lastFault, drainRate: record.drain.rate },
      deadLetters: await this.deadLetters(name).count().catch(nullIfUnknown),
    }
  }

  deadLetters(name: string): DeadLetters {
    const { indexes, storeOf, nowMs } = this.#options
    const index = indexes.get(name)
    const known = this.#letters.get(index)
    if (known !== undefined) return known
    const letters = new DeadLetters({ index: name, nowMs, store: () => storeOf(name) })
    this.#letters.set(index, letters)
    return letters
  }

  /**
   * Puts dead letters into the stream again, the oldest first; what is logged is deleted.
   *
   * @param ids Null takes the oldest `lettersMax`.
   */
  requeue(
    name: string,
    ids: readonly string[] | null,
    bounds: { readonly deadlineMs: number; readonly lettersMax: number },
  ): Promise<Requeued> {
    return this.#turns.run(`requeue ${name}`, async () => {
      const letters = this.deadLetters(name)
      const page = { after: null, limit: bounds.lettersMax }
      const wanted = ids === null ? (await letters.list(page)).letters : await letters.get(ids)
      const { dimension } = this.#options.indexes.get(name).info
      return requeue({
        ...{ letters, wanted, dimension },
        take: (batch, bury) =>
          this.#open(name).take(batch, { deadlineMs: bounds.deadlineMs, bury }),
      })
    })
  }

  /** Answers what the stream has taken, then does `work`, while it takes nothing. */
  whileDrained<T>(name: string, work: () => Promise<T>): Promise<T> {
    return this.#turns.run(name, async () => {
      const slot = this.#slots.get(name)
      await slot?.stream.drain()
      try {
        return await work()
      } finally {
        if (slot !== undefined) this.#reopen(name, slot)
      }
    })
  }

  get summary(): StreamsSummary {
    const slots = [...this.#slots.values()]
    const totals = noTotals()
    for (const more of [this.#gone, ...slots.map(({ record }) => record.totals)]) {
      addTotals(totals, more)
    }
    const fills = slots.map(({ stream }) => stream.fill)
    return {
      buffered: fills.reduce((sum, { buffered }) => sum + buffered, 0),
      unapplied: fills.reduce((sum, { unapplied }) => sum + unapplied, 0),
      totals,
    }
  }

  /** Takes nothing any more, and answers everything that was taken. Idempotent. */
  async close(): Promise<void> {
    this.#isClosed = true
    await Promise.all([...this.#slots.values()].map(({ stream }) => stream.drain()))
  }

  /** The stream of an index that takes one. */
  #open(name: string): Stream {
    if (this.#isClosed) throw new VectordError('shutting_down', 'The service is shutting down.')
    const index = this.#options.indexes.get(name)
    const settings = index.info.stream
    if (settings === undefined) throw notEnabled(name)
    const slot = this.#slots.get(name)
    if (slot === undefined) return this.#newSlot(name, index, settings).stream
    if (slot.index === index && isSameStream(slot.stream.settings, settings)) return slot.stream
    // Another server has changed it, or the index is another one: the next request finds it so.
    if (slot.stream.fill.state !== 'draining') {
      this.whileDrained(name, () => Promise.resolve()).catch((error: unknown) => {
        this.#options.onTrouble(error, `drain the stream of index "${name}"`)
      })
    }
    throw drainingError(name)
  }

  #newSlot(name: string, index: ManagedIndex, settings: StreamSettings): Slot {
    const record = new StreamRecord()
    const slot = { index, record, stream: this.#newStream({ name, index, record, settings }) }
    this.#slots.set(name, slot)
    return slot
  }

  /** After it was drained: as its index is now. */
  #reopen(name: string, slot: Slot): void {
    const { indexes } = this.#options
    const index = indexes.has(name) ? indexes.get(name) : null
    const settings = index?.info.stream
    if (index !== slot.index || settings === undefined) {
      this.#slots.delete(name)
      addTotals(this.#gone, slot.record.totals)
      return
    }
    slot.stream = this.#newStream({ name, index, record: slot.record, settings })
  }

  #newStream(of: {
    readonly name: string
    readonly index: ManagedIndex
    readonly record: StreamRecord
    readonly settings: StreamSettings
  }): Stream {
    const { name, index, record, settings } = of
    return new Stream({
      ...{ index: name, target: index, settings, record, nowMs: this.#options.nowMs },
      onTrouble: (error) => {
        this.#options.onTrouble(error, `the stream of index "${name}"`)
      },
    })
  }
}

const IDLE: StreamFill = {
  ...{ state: 'running', buffered: 0, unapplied: 0, waitingRequests: 0, oldestMs: null },
}

function nullIfUnknown(error: unknown): null {
  if (error instanceof VectordError) return null
  throw error
}
