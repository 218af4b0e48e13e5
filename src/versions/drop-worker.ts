/**
 * Deletes what nobody needs any more, off the path of every request.
 *
 *     send ─▶ waiting (bounded; merged by kind and key) ─▶ batch ─▶ lanes ─▶ handler ─▶ counted
 *      ╰─ full: the sender waits                                     │ failed: again after a pause
 *                                                                    ╰ open for a reader: when it is let go
 *
 * - A request is never lost while the process lives; what is lost with it, a sweep at the next start
 *   finds again.
 * - One drop at a time for each (kind, key). What fails or is held back does not count against the
 *   bound of the queue: there is one entry for each thing, and a bucket that is down stops only its own.
 * - Statistics count what was deleted, after it was.
 */

import { invariant } from '../lib/invariant.ts'
import { KeyedMutex } from '../lib/keyed-mutex.ts'
import { DropCounts, type DropTotals } from './drop-counts.ts'
import { checkRequest, ofEachKind, type DropKind, type DropRequest } from './drop-request.ts'
import { mergedRules, type DropRule } from './drop-rules.ts'
import { DropWork, Slices, type DropHandler } from './drop-work.ts'
import type { HeldPin, Pins } from './pins.ts'

/** Drops that run side by side: one that waits for its index must not stop the others. */
const LANES = 4
const RETRY_MS_MIN = 1000
const RETRY_MS_MAX = 60_000
/** Failing things that `status` lists. */
const FAULTS_LISTED_MAX = 100

export interface DropWorkerOptions {
  readonly handlers: Readonly<Partial<Record<DropKind, DropHandler>>>
  readonly pins: Pins
  /** Things that may wait; a sender of more waits too. */
  readonly queueMax: number
  /** A batch starts with so many, or when the oldest has waited `batchMs`. */
  readonly batchMax: number
  readonly batchMs: number
  /** Deletions in a slice, and the pause after it. */
  readonly sliceDeletes: number
  readonly tickMs: number
  readonly nowMs: () => number
  /** Told of each drop that failed. */
  readonly onTrouble: (error: unknown, what: string) => void
}

/** How a drop of one thing failed the last time. */
export interface DropFault {
  readonly kind: DropKind
  readonly key: string
  readonly attempts: number
  readonly message: string
  readonly atMs: number
}

export interface DropStatus {
  readonly waiting: number
  readonly waitingMax: number
  /** Senders that wait for room. */
  readonly senders: number
  /** Things with something to drop, whatever it waits for. */
  readonly pending: Readonly<Record<DropKind, number>>
  readonly failing: readonly DropFault[]
  readonly pins: readonly HeldPin[]
  /** Since the start of the process. */
  readonly dropped: DropTotals
}

/** What waits for one thing. */
interface Entry {
  readonly kind: DropKind
  readonly key: string
  readonly rules: readonly DropRule[]
  /** How often it has failed. */
  readonly attempts: number
}

interface Failing extends Entry {
  readonly timer: NodeJS.Timeout
  readonly fault: DropFault
}

interface Sender {
  readonly request: DropRequest
  readonly admit: () => void
}

export class DropWorker {
  readonly #options: DropWorkerOptions
  readonly #slices: Slices
  readonly #counts = new DropCounts()
  readonly #turns = new KeyedMutex()
  /** In the order in which they came. */
  readonly #waiting = new Map<string, Entry>()
  readonly #senders: Sender[] = []
  #batch: Entry[] = []
  /** In work, with what ends when they are done. */
  readonly #lanes = new Map<Entry, Promise<void>>()
  readonly #failing = new Map<string, Failing>()
  /** Spared because a reader has it open. */
  readonly #held = new Map<string, Entry>()
  #timer: NodeJS.Timeout | null = null
  #isClosed = false

  constructor(options: DropWorkerOptions) {
    this.#options = options
    this.#slices = new Slices({ deletes: options.sliceDeletes, tickMs: options.tickMs })
    options.pins.onRelease((kind, key) => {
      this.#again(this.#held, nameOf({ kind, key }))
    })
  }

  /**
   * Resolves when the request is taken in; what it names is deleted later. Never rejects: after
   * `close` it is left to the sweep of the next start.
   */
  async send(request: DropRequest): Promise<void> {
    checkRequest(request)
    invariant(this.#options.handlers[request.kind] !== undefined, 'each kind has its handler')
    if (this.#senders.length === 0 && this.#take(request)) return
    const { promise, resolve } = Promise.withResolvers<null>()
    const admit = (): void => {
      resolve(null)
    }
    this.#senders.push({ request, admit })
    await promise
  }

  /** Starts what waits at once, and resolves when all of it is done, has failed, or is held back. */
  async flush(): Promise<void> {
    while (this.#waiting.size + this.#batch.length + this.#lanes.size > 0 && !this.#isClosed) {
      this.#startBatch()
      await Promise.race(this.#lanes.values())
    }
  }

  get status(): DropStatus {
    return {
      waiting: this.#waiting.size,
      waitingMax: this.#options.queueMax,
      senders: this.#senders.length,
      pending: this.#pending(),
      failing: [...this.#failing.values()].slice(0, FAULTS_LISTED_MAX).map(({ fault }) => fault),
      pins: this.#options.pins.list(),
      dropped: this.#counts.all,
    }
  }

  /** What was deleted of one key since the start of the process. */
  droppedOf(key: string): DropTotals {
    return this.#counts.of(key)
  }

  /** Forgets what was deleted of a key that is of nothing any more. */
  forget(key: string): void {
    this.#counts.forget(key)
  }

  /** Starts nothing more and waits for the deletions under way. Idempotent. */
  async close(): Promise<void> {
    this.#isClosed = true
    this.#stopTimer()
    for (const { timer } of this.#failing.values()) clearTimeout(timer)
    this.#slices.close()
    this.#batch = []
    for (const { admit } of this.#senders.splice(0)) admit()
    await Promise.all(this.#lanes.values())
  }

  /** False where there is no room for it. */
  #take(request: DropRequest): boolean {
    if (this.#isClosed) return true
    const { kind, key, ...rule } = request
    const name = nameOf(request)
    const failing = this.#failing.get(name)
    const known = failing ?? this.#waiting.get(name)
    const rules = mergedRules(known?.rules ?? [], rule)
    if (rules === null) return false
    if (failing !== undefined) {
      this.#failing.set(name, { ...failing, rules })
      return true
    }
    if (known === undefined && this.#waiting.size >= this.#options.queueMax) return false
    this.#waiting.set(name, { kind, key, rules, attempts: 0 })
    this.#schedule()
    return true
  }

  #schedule(): void {
    if (this.#waiting.size === 0 || this.#batch.length > 0) return
    if (this.#waiting.size >= this.#options.batchMax) {
      this.#startBatch()
      return
    }
    this.#timer ??= setTimeout(() => {
      this.#startBatch()
    }, this.#options.batchMs)
  }

  #startBatch(): void {
    this.#stopTimer()
    for (const [name, entry] of this.#waiting) {
      if (this.#batch.length >= this.#options.batchMax) break
      this.#waiting.delete(name)
      this.#batch.push(entry)
    }
    this.#fill()
    for (let next = this.#senders[0]; next !== undefined; next = this.#senders[0]) {
      if (!this.#take(next.request)) return
      this.#senders.shift()?.admit()
    }
  }

  /** Gives free lanes what is to be done next. */
  #fill(): void {
    while (this.#lanes.size < LANES && !this.#isClosed) {
      const entry = this.#batch.shift()
      if (entry === undefined) break
      const work = this.#run(entry).finally(() => {
        this.#lanes.delete(entry)
        this.#fill()
      })
      this.#lanes.set(entry, work)
    }
    this.#schedule()
  }

  /** Never rejects. */
  async #run(entry: Entry): Promise<void> {
    const { kind, key, rules } = entry
    const { handlers, pins } = this.#options
    const work = new DropWork({
      ...{ kind, key, rules },
      pinned: () => pins.of(kind, key),
      turn: () => this.#slices.turn(),
      onDeleted: (bytes) => {
        this.#counts.add(kind, key, bytes)
      },
    })
    try {
      await this.#turns.run(nameOf(entry), async () => handlers[kind]?.drop(work))
    } catch (error) {
      if (!this.#isClosed) this.#failed(entry, error)
      return
    }
    if (!work.isHeld || this.#isClosed) return
    const name = nameOf(entry)
    this.#held.set(name, { ...entry, attempts: 0, rules: joined(this.#held.get(name), rules) })
    // What held it may have been let go meanwhile.
    if (pins.of(kind, key).length === 0) this.#again(this.#held, name)
  }

  #failed(entry: Entry, error: unknown): void {
    const { nowMs, onTrouble } = this.#options
    const name = nameOf(entry)
    const { kind, key } = entry
    const attempts = entry.attempts + 1
    const message = error instanceof Error ? error.message : String(error)
    const timer = setTimeout(
      () => {
        this.#again(this.#failing, name)
      },
      Math.min(RETRY_MS_MAX, RETRY_MS_MIN * 2 ** (attempts - 1)),
    )
    timer.unref()
    clearTimeout(this.#failing.get(name)?.timer)
    const fault = { kind, key, attempts, message, atMs: nowMs() }
    const rules = joined(this.#failing.get(name), entry.rules)
    this.#failing.set(name, { kind, key, attempts, rules, timer, fault })
    // Told once: a bucket that is down would be told of at every try.
    if (attempts === 1) onTrouble(error, `drop ${kind} of "${key}"`)
  }

  /** Puts what was set aside to the front of the work. */
  #again(aside: Map<string, Entry>, name: string): void {
    const entry = aside.get(name)
    if (entry === undefined || this.#isClosed) return
    aside.delete(name)
    const { kind, key, rules, attempts } = entry
    this.#batch.push({ kind, key, rules, attempts })
    this.#fill()
  }

  #pending(): Readonly<Record<DropKind, number>> {
    const names = new Map<string, DropKind>()
    const places = [this.#waiting, this.#failing, this.#held].map((place) => [...place.values()])
    for (const entry of [...places.flat(), ...this.#batch, ...this.#lanes.keys()]) {
      names.set(nameOf(entry), entry.kind)
    }
    const kinds = [...names.values()]
    return ofEachKind((kind) => kinds.filter((one) => one === kind).length)
  }

  #stopTimer(): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = null
  }
}

function nameOf({ kind, key }: Pick<Entry, 'kind' | 'key'>): string {
  return `${kind} ${key}`
}

function joined(known: Entry | undefined, rules: readonly DropRule[]): readonly DropRule[] {
  return rules.reduce((all, rule) => mergedRules(all, rule) ?? [...all, rule], known?.rules ?? [])
}
