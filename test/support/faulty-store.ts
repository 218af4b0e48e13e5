/**
 * An `ObjectStore` that fails as told: for tests of what a fault at any step leaves behind.
 *
 * Every call counts as one operation, from 1; a list counts when its first object is asked for.
 *
 *     const store = new FaultyStore(new MemoryStore())
 *     store.inject({ kind: 'error', code: 'storage_full', when: 'before', operations: ['put'] })
 *     store.crashAt(5, 'after')   // operation 5 is done, but nobody hears of it or of any later one
 *
 * A crash is what a test of "every step" wants: run the scenario with `crashAt(n, …)` for n = 1, 2, …
 * until it ends without `crashed`, each time opening what is under test again on the inner store.
 */

import { truncate } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ListOptions, ObjectInfo, ObjectStore } from '../../src/buckets/object-store.ts'
import { type ErrorCode, hasCode, VectordError } from '../../src/lib/errors.ts'

export type Operation =
  'get' | 'head' | 'put' | 'putIfAbsent' | 'putFile' | 'getFile' | 'delete' | 'list'

type FaultKind =
  /** `after`: the operation was done, its answer is lost. */
  | { readonly kind: 'error'; readonly code: ErrorCode; readonly when: 'before' | 'after' }
  | { readonly kind: 'latency'; readonly ms: number }
  /** A get answers only the first half of the body, or one flipped bit in its middle. */
  | { readonly kind: 'truncate' | 'flip' }
  /** A list shows the bucket as it was before the last `changes` changes through this store. */
  | { readonly kind: 'stale_list'; readonly changes: number }
  /** A put-if-absent overwrites. */
  | { readonly kind: 'ignore_condition' }

export type Fault = FaultKind & {
  /** Only these operations; all where left out. */
  readonly operations?: readonly Operation[]
  /** Only keys, or prefixes of lists, that start so. */
  readonly keyPrefix?: string
  /** Spares so many operations that match, then strikes. Default 0. */
  readonly skip?: number
  /** Strikes so often; default 1, `Infinity` until `heal`. */
  readonly times?: number
}

/** What every operation throws from the crash on: the process is gone, nothing can handle it. */
export class SimulatedCrash extends Error {
  override readonly name = 'SimulatedCrash'
}

interface Armed {
  readonly fault: Fault
  skip: number
  times: number
}

export class FaultyStore implements ObjectStore {
  /** Every operation so far, in order. */
  readonly log: { readonly operation: Operation; readonly key: string }[] = []
  readonly #inner: ObjectStore
  readonly #changes: { readonly key: string; readonly before: ObjectInfo | null }[] = []
  #armed: Armed[] = []
  #crash: { readonly at: number; readonly when: 'before' | 'after' } | null = null
  #crashed = false

  constructor(inner: ObjectStore) {
    this.#inner = inner
  }

  /** How many operations were asked for so far, failed ones included. */
  get operations(): number {
    return this.log.length
  }

  /** True once the crash that was planned has struck. */
  get crashed(): boolean {
    return this.#crashed
  }

  inject(fault: Fault): void {
    this.#armed.push({ fault, skip: fault.skip ?? 0, times: fault.times ?? 1 })
  }

  /** Crashes at the `n`th operation from now: it is done (`after`) or not (`before`). */
  crashAt(n: number, when: 'before' | 'after'): void {
    this.#crash = { at: this.operations + n, when }
  }

  /** Takes every fault and the crash back. */
  heal(): void {
    this.#armed = []
    this.#crash = null
    this.#crashed = false
  }

  async get(key: string): Promise<Uint8Array> {
    return this.#run('get', key, async (fault) => damaged(await this.#inner.get(key), fault))
  }

  async head(key: string): Promise<ObjectInfo> {
    return this.#run('head', key, () => this.#inner.head(key))
  }

  async put(key: string, body: Uint8Array): Promise<void> {
    await this.#change('put', key, () => this.#inner.put(key, body))
  }

  async putIfAbsent(key: string, body: Uint8Array): Promise<void> {
    await this.#change('putIfAbsent', key, (fault) =>
      fault?.kind === 'ignore_condition'
        ? this.#inner.put(key, body)
        : this.#inner.putIfAbsent(key, body),
    )
  }

  async putFile(key: string, path: string): Promise<void> {
    await this.#change('putFile', key, () => this.#inner.putFile(key, path))
  }

  async getFile(key: string, path: string): Promise<void> {
    await this.#run('getFile', key, async (fault) => {
      await this.#inner.getFile(key, path)
      if (fault?.kind === 'truncate') await truncate(path, (await this.#inner.head(key)).bytes >> 1)
    })
  }

  async delete(key: string): Promise<void> {
    await this.#change('delete', key, () => this.#inner.delete(key))
  }

  async *list(prefix: string, options: ListOptions = {}): AsyncGenerator<ObjectInfo> {
    const listed = await this.#run('list', prefix, async (fault) => {
      const objects: ObjectInfo[] = []
      for await (const object of this.#inner.list(prefix, options)) objects.push(object)
      return fault?.kind === 'stale_list' ? this.#stale(objects, fault.changes) : objects
    })
    for (const object of listed) {
      if (this.#crashed) throw new SimulatedCrash('the process is gone')
      yield object
    }
  }

  async close(): Promise<void> {
    await this.#inner.close()
  }

  /** Remembers what the key was before, for stale lists. */
  async #change(
    operation: Operation,
    key: string,
    work: (fault: Fault | null) => Promise<void>,
  ): Promise<void> {
    await this.#run(operation, key, async (fault) => {
      const before = await this.#inner.head(key).catch((error: unknown) => {
        if (hasCode(error, 'object_not_found')) return null
        throw error
      })
      await work(fault)
      this.#changes.push({ key, before })
    })
  }

  async #run<T>(
    operation: Operation,
    key: string,
    work: (fault: Fault | null) => Promise<T>,
  ): Promise<T> {
    this.log.push({ operation, key })
    await this.#mayCrash(() => work(null))
    const fault = this.#strike(operation, key)
    if (fault?.kind === 'latency') await sleep(fault.ms)
    if (fault?.kind !== 'error') return work(fault)
    if (fault.when === 'after') await work(fault)
    throw new VectordError(fault.code, `Injected into ${operation} of "${key}".`)
  }

  async #mayCrash(work: () => Promise<unknown>): Promise<void> {
    if (this.#crashed) throw new SimulatedCrash('the process is gone')
    const number = this.operations
    if (this.#crash?.at !== number) return
    this.#crashed = true
    if (this.#crash.when === 'after') await work().catch(() => undefined)
    throw new SimulatedCrash(`crash at operation ${number}`)
  }

  #strike(operation: Operation, key: string): Fault | null {
    for (const armed of this.#armed) {
      const { operations, keyPrefix } = armed.fault
      if (operations !== undefined && !operations.includes(operation)) continue
      if (keyPrefix !== undefined && !key.startsWith(keyPrefix)) continue
      if (armed.times === 0) continue
      if (armed.skip > 0) {
        armed.skip -= 1
        continue
      }
      armed.times -= 1
      return armed.fault
    }
    return null
  }

  #stale(now: readonly ObjectInfo[], changes: number): ObjectInfo[] {
    const then = new Map(now.map((object) => [object.key, object]))
    for (const { key, before } of this.#changes.slice(-changes).reverse()) {
      if (before === null) then.delete(key)
      else then.set(key, before)
    }
    return [...then.values()].sort((a, b) => Buffer.compare(Buffer.from(a.key), Buffer.from(b.key)))
  }
}

function damaged(body: Uint8Array, fault: Fault | null): Uint8Array {
  if (fault?.kind === 'truncate') return body.subarray(0, body.byteLength >> 1)
  if (fault?.kind !== 'flip') return body
  const copy = new Uint8Array(body)
  const middle = copy.byteLength >> 1
  copy[middle] = (copy[middle] ?? 0) ^ 1
  return copy
}
