/**
 * Random operations of an `ObjectStore` under faults, held against what may be in the bucket.
 *
 * A write without an answer leaves both states possible, until a read settles it. Two faults cannot
 * be told from the truth by any client, and are the only ones that are excused: a list that lags or
 * was changed on its way (S3 has no checksum for it), and a server that ignores conditions.
 */

import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Actor, assertHonest, type Outcome, outcomeOf, pick } from './s3-chaos.ts'
import { collect } from './collect.ts'
import type { S3Fault } from './s3-fault-proxy.ts'

const KEYS = 6
const BYTES_MAX = 4000
/** More than one part of an upload. */
const LARGE_BYTES = 6 * 1024 * 1024
const LARGE_SHARE = 0.002

/** Bytes of an object, or null for its absence. */
type State = Buffer | null

export class StoreActor {
  readonly #actor: Actor
  readonly #folder: string
  /** What may be under each key; never empty. */
  readonly #possible = new Map<string, readonly State[]>()

  constructor(actor: Actor, folder: string) {
    this.#actor = actor
    this.#folder = folder
    for (let i = 0; i < KEYS; i += 1) this.#possible.set(`${actor.prefix}k${i}`, [null])
  }

  async operate(): Promise<void> {
    const { random } = this.#actor
    this.#actor.begin()
    const key = pick([...this.#possible.keys()], random)
    const operations = [
      () => this.#put(key),
      () => this.#putIfAbsent(key),
      () => this.#putFile(key),
      () => this.#read(key, this.#actor.faulty.get(key)),
      () => this.#getFile(key),
      () => this.#head(key),
      () => this.#delete(key),
      () => this.#list(),
    ]
    await pick(operations, random)()
  }

  /** Every object is what it may be, read past the faults. */
  async check(): Promise<void> {
    this.#actor.begin()
    for (const key of this.#possible.keys()) await this.#read(key, this.#actor.direct.get(key))
  }

  async #put(key: string): Promise<void> {
    const body = this.#body()
    this.#wrote(key, body, await outcomeOf(this.#actor.faulty.put(key, body)))
  }

  async #putFile(key: string): Promise<void> {
    const body = this.#body()
    const path = join(this.#folder, randomUUID())
    await writeFile(path, body)
    this.#wrote(key, body, await outcomeOf(this.#actor.faulty.putFile(key, path)))
    await rm(path)
  }

  async #delete(key: string): Promise<void> {
    this.#wrote(key, null, await outcomeOf(this.#actor.faulty.delete(key)))
  }

  #wrote(key: string, state: State, outcome: Outcome<void>): void {
    assertHonest(this.#actor, outcome)
    this.#possible.set(key, outcome.done ? [state] : [...this.#of(key), state])
  }

  async #putIfAbsent(key: string): Promise<void> {
    const body = this.#body()
    const outcome = await outcomeOf(this.#actor.faulty.putIfAbsent(key, body))
    assertHonest(this.#actor, outcome, ['object_exists'])
    const before = this.#of(key)
    const mayWrite = before.includes(null) || this.#actor.struck.has('ignored_condition')
    if (outcome.done) {
      assert.ok(mayWrite, `${key} was there and put-if-absent went through`)
      this.#possible.set(key, [body])
      return
    }
    const isAbsent = before.every((state) => state === null)
    // After a fault its own first try may be what exists.
    assert.ok(outcome.code !== 'object_exists' || !isAbsent || this.#actor.struck.size > 0, key)
    if (mayWrite) this.#possible.set(key, [...before, body])
  }

  async #getFile(key: string): Promise<void> {
    const path = join(this.#folder, randomUUID())
    const read = this.#actor.faulty.getFile(key, path).then(() => readFile(path))
    await this.#read(key, read)
    await rm(path, { force: true })
  }

  async #read(key: string, read: Promise<Uint8Array>): Promise<void> {
    const outcome = await outcomeOf(read)
    assertHonest(this.#actor, outcome, ['object_not_found'])
    if (!outcome.done && outcome.code !== 'object_not_found') return
    const found = outcome.done ? Buffer.from(outcome.value) : null
    const isPossible = this.#of(key).some((state) => isSame(state, found))
    assert.ok(isPossible, `${key}: a read gave ${found === null ? 'absent' : 'wrong bytes'}`)
    this.#possible.set(key, [found])
  }

  async #head(key: string): Promise<void> {
    const outcome = await outcomeOf(this.#actor.faulty.head(key))
    assertHonest(this.#actor, outcome, ['object_not_found'])
    if (!outcome.done && outcome.code !== 'object_not_found') return
    const bytes = outcome.done ? outcome.value.bytes : null
    const isPossible = this.#of(key).some((state) => (state?.length ?? null) === bytes)
    assert.ok(isPossible, `${key}: head gave ${bytes}`)
  }

  async #list(): Promise<void> {
    const { faulty, prefix, struck } = this.#actor
    const outcome = await outcomeOf(collect(faulty.list(prefix)))
    assertHonest(this.#actor, outcome)
    if (!outcome.done) return
    const excuses: S3Fault[] = ['stale_list', 'corrupt_body', 'truncated_body']
    if (excuses.some((fault) => struck.has(fault))) return
    const listed = new Set(outcome.value.map(({ key }) => key))
    for (const [key, states] of this.#possible) {
      if (listed.has(key)) assert.ok(states.some(isThere), `${key} is listed and cannot be there`)
      else assert.ok(states.includes(null), `${key} is there and not listed`)
      listed.delete(key)
    }
    assert.deepEqual([...listed], [])
  }

  #of(key: string): readonly State[] {
    return this.#possible.get(key) ?? []
  }

  #body(): Buffer {
    const { random } = this.#actor
    const isLarge = random() < LARGE_SHARE
    const body = Buffer.alloc(isLarge ? LARGE_BYTES : 1 + Math.floor(random() * BYTES_MAX))
    for (let at = 0; at + 4 <= body.length; at += 4) body.writeUInt32LE(random() * 2 ** 32, at)
    return body
  }
}

function isThere(state: State): boolean {
  return state !== null
}

function isSame(a: State, b: State): boolean {
  return a === null || b === null ? a === b : a.equals(b)
}
