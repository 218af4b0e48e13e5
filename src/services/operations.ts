/**
 * Long work that clients can ask after: what waits, what runs, and what has ended lately.
 *
 *     ofKind('verify').start(index, work) ─▶ queued ─▶ running ─▶ kept for a day, at most 1,000
 *
 * Of one kind one operation runs on an index at a time, and one more waits for each subject: whoever
 * asks for the same meanwhile joins the one that waits. It has not begun, so it will see all that the
 * asker has done before. So the number of open operations is bounded by that of the subjects. Nothing outlives the process.
 */

import { VectordError } from '../lib/errors.ts'
import { invariant } from '../lib/invariant.ts'
import { KeyedMutex } from '../lib/keyed-mutex.ts'
import { newTimeId, TIME_ID_PATTERN } from '../lib/time-id.ts'
import { Operation, type OperationInfo, type OperationWork } from './operation.ts'

/** Ended operations that can still be looked at. */
export const ENDED_MAX = 1000
/** Milliseconds after its end at which an operation is forgotten. */
export const ENDED_AGE_MS = 24 * 3600 * 1000

/** Kinds that hear of the deletion of their index by other means. */
const ENDING_THEMSELVES = ['move', 'snapshot_restore']

/** Younger ids sort behind. */
const ID = new RegExp(TIME_ID_PATTERN)

export interface OperationsOptions {
  readonly nowMs: () => number
  /** Hears of failures that nobody waits for. */
  readonly onTrouble: (error: unknown, what: string) => void
}

export interface OperationPage {
  readonly operations: readonly OperationInfo[]
  /** Id after which the next page starts; null at the end. */
  readonly next: string | null
}

/** Operations of one kind since the start. */
export interface OperationTotals {
  readonly open: number
  readonly succeeded: number
  readonly failed: number
  readonly cancelled: number
}

type MutableTotals = { -readonly [K in keyof OperationTotals]: number }

/** An operation whatever it answers. */
type AnyOperation = Pick<
  Operation<object>,
  'id' | 'info' | 'endedMs' | 'isAwaited' | 'ended' | 'cancel'
>

export class Operations {
  readonly #options: OperationsOptions
  /** By kind. */
  readonly #totals = new Map<string, MutableTotals>()
  readonly #open = new Map<string, AnyOperation>()
  /** In the order of their ends. */
  readonly #ended = new Map<string, AnyOperation>()
  #isClosed = false

  constructor(options: OperationsOptions) {
    this.#options = options
  }

  /**
   * The starter of all operations of a kind; each kind has one.
   *
   * @param turns kinds that share them run one at a time on an index together.
   */
  ofKind<T extends object>(kind: string, turns = new KeyedMutex()): OperationKind<T> {
    invariant(!this.#totals.has(kind), 'a kind of operations has one starter')
    this.#totals.set(kind, { open: 0, succeeded: 0, failed: 0, cancelled: 0 })
    return new OperationKind<T>((index) => this.#add<T>(kind, index), turns)
  }

  /** By kind; of each that there is a starter of. */
  get totals(): ReadonlyMap<string, OperationTotals> {
    return this.#totals
  }

  /** @throws {VectordError} `operation_not_found`. */
  get(id: string): OperationInfo {
    return this.#find(id).info
  }

  /**
   * Those that `isVisible` lets through, newest first.
   *
   * @param after an id, of an operation that may be gone: only older ones are listed.
   * @throws {VectordError} `invalid_cursor` where `after` is none.
   */
  list(
    isVisible: (info: OperationInfo) => boolean,
    { after, limit }: { readonly after: string | null; readonly limit: number },
  ): OperationPage {
    if (after !== null && !ID.test(after)) {
      throw new VectordError('invalid_cursor', 'The cursor is not one of ours: start from none.')
    }
    this.#forget()
    const found = [...this.#open.values(), ...this.#ended.values()]
      .filter(({ id }) => after === null || id < after)
      .sort((a, b) => (a.id < b.id ? 1 : -1))
      .map((operation) => operation.info)
      .filter(isVisible)
    const page = found.slice(0, limit)
    return { operations: page, next: found.length > limit ? (page.at(-1)?.id ?? null) : null }
  }

  /**
   * Takes it out of the queue, or asks it to stop; the answer may still be `running`.
   *
   * @throws {VectordError} `operation_not_found`.
   */
  cancel(id: string): OperationInfo {
    const operation = this.#find(id)
    operation.cancel(
      new VectordError('operation_cancelled', 'The operation was cancelled.', {
        details: { operation_id: id },
      }),
    )
    return operation.info
  }

  /**
   * Cancels what is open of an index that is being deleted, and waits until it has ended: what it
   * still wrote would stay for ever. A move ends by itself, when it finds the index deleted; a restore
   * is what deletes an index that did not come about.
   */
  async endOf(index: string): Promise<void> {
    const open = [...this.#open.values()].filter(
      ({ info }) => info.index === index && !ENDING_THEMSELVES.includes(info.kind),
    )
    const message = `Index "${index}" was deleted.`
    const gone = new VectordError('operation_cancelled', message, { details: { index } })
    for (const operation of open) operation.cancel(gone)
    await Promise.all(open.map((operation) => operation.ended()))
  }

  /** Starts nothing more, cancels what waits, asks the rest to stop, and waits until all ended. */
  async close(): Promise<void> {
    this.#isClosed = true
    const open = [...this.#open.values()]
    for (const operation of open) operation.cancel(shuttingDown())
    await Promise.all(open.map((operation) => operation.ended()))
  }

  #find(id: string): AnyOperation {
    this.#forget()
    const operation = this.#open.get(id) ?? this.#ended.get(id)
    if (operation === undefined) {
      throw new VectordError('operation_not_found', 'There is no such operation.')
    }
    return operation
  }

  #add<T extends object>(kind: string, index: string | null): Operation<T> {
    if (this.#isClosed) throw shuttingDown()
    const { nowMs } = this.#options
    const id = newTimeId(nowMs())
    const onEnd = (): void => {
      this.#keep(operation)
    }
    const operation = new Operation<T>({ id, kind, index, nowMs, onEnd })
    this.#open.set(id, operation)
    this.#count(kind, 'open', 1)
    return operation
  }

  #keep(operation: AnyOperation): void {
    this.#open.delete(operation.id)
    this.#ended.set(operation.id, operation)
    this.#forget()
    const { kind, index, state, error, id } = operation.info
    this.#count(kind, 'open', -1)
    if (state !== 'queued' && state !== 'running') this.#count(kind, state, 1)
    if (state !== 'failed' || operation.isAwaited) return
    const at = index === null ? '' : ` of index "${index}"`
    this.#options.onTrouble(error, `${kind}${at}, operation ${id}`)
  }

  #count(kind: string, what: keyof OperationTotals, change: 1 | -1): void {
    const totals = this.#totals.get(kind)
    invariant(totals !== undefined, 'an operation is of a kind with a starter')
    totals[what] += change
  }

  #forget(): void {
    const oldestMs = this.#options.nowMs() - ENDED_AGE_MS
    for (const [id, { endedMs }] of this.#ended) {
      const isOld = endedMs !== null && endedMs <= oldestMs
      if (!isOld && this.#ended.size <= ENDED_MAX) return
      this.#ended.delete(id)
    }
  }
}

/** Starts operations of one kind, one at a time on each index. */
export class OperationKind<T extends object> {
  readonly #add: (index: string | null) => Operation<T>
  readonly #turns: KeyedMutex
  /** By index and subject: the one that waits for its turn. */
  readonly #waiting = new Map<string, Operation<T>>()
  /** By index: how many wait or run. */
  readonly #open = new Map<string, number>()

  constructor(add: (index: string | null) => Operation<T>, turns: KeyedMutex) {
    this.#add = add
    this.#turns = turns
  }

  /**
   * Starts `work` on the index, or joins the operation that waits to do the same.
   *
   * @param subject what it is about, where one kind does several things to an index.
   * @throws {VectordError} `shutting_down`.
   */
  start(index: string, work: OperationWork<T>, subject = ''): Operation<T> {
    const key = `${index} ${subject}`
    const waiting = this.#waiting.get(key)
    if (waiting?.state === 'queued') return waiting
    const operation = this.#add(index)
    this.#waiting.set(key, operation)
    this.#count(index, 1)
    void operation.ended().then(() => {
      this.#count(index, -1)
    })
    // Its outcome is with the operation; the turn itself never rejects.
    void this.#turns.run(index, async () => {
      if (this.#waiting.get(key) === operation) this.#waiting.delete(key)
      await operation.run(work)
    })
    return operation
  }

  /**
   * Starts `work` at once, beside others: it minds its own turns, and tells how many there may be.
   *
   * @param index null where it works on none.
   * @throws {VectordError} `shutting_down`.
   */
  begin(index: string | null, work: OperationWork<T>): Operation<T> {
    const operation = this.#add(index)
    void operation.run(work)
    return operation
  }

  /** True while an operation of this kind waits or runs on the index. */
  isOpen(index: string): boolean {
    return this.#open.has(index)
  }

  #count(index: string, change: 1 | -1): void {
    const open = (this.#open.get(index) ?? 0) + change
    if (open === 0) this.#open.delete(index)
    else this.#open.set(index, open)
  }
}

function shuttingDown(): VectordError {
  return new VectordError('shutting_down', 'The service is shutting down.', { retryAfterS: 1 })
}
