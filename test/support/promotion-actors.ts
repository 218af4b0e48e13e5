/**
 * Clients of two servers that promote, roll back, roll forward and read the promotions of one index
 * at the same time, on one bucket that fails (T6). `promotion-judge.ts` judges what they were told.
 */

import assert from 'node:assert/strict'
import { setImmediate as turn } from 'node:timers/promises'
import { MemoryStore } from '../../src/buckets/memory-store.ts'
import type { ListOptions, ObjectInfo, ObjectStore } from '../../src/buckets/object-store.ts'
import { VectordError, type ErrorCode } from '../../src/lib/errors.ts'
import { neverPromoted, type PromotionDocument } from '../../src/promotions/promotion-document.ts'
import type { PromotionState } from '../../src/promotions/promotion-file.ts'
import { PromotionRegistry } from '../../src/promotions/promotion-registry.ts'
import { type Fault, FaultyStore } from './faulty-store.ts'
import {
  CONTEST_CONFIG,
  type ContestCounts,
  judge,
  type Kind,
  type Operation,
  type Told,
} from './promotion-judge.ts'
import { pick } from './s3-chaos.ts'
import { seededRandom } from './vectors.ts'

const INDEX = 'contested'
const NOW_MS = 1_700_000_000_000

const KINDS: readonly Kind[] = [
  ...(['promote', 'promote', 'promote'] as const),
  ...(['rollback', 'roll_forward', 'read'] as const),
]

/** Said by a step that found nothing to do; it saw a state in which that was so. */
const NOTHING: Partial<Record<Kind, ErrorCode>> = {
  rollback: 'no_promotion_to_roll_back',
  roll_forward: 'nothing_to_roll_forward',
}

export interface ContestOptions {
  readonly seed: number
  readonly operations: number
  /** The two servers see the bucket through faults of their own. */
  readonly store: ObjectStore
  readonly clients?: number
  /** Share of operations before which a fault is laid out. */
  readonly faultShare?: number
}

/** Runs a contest and judges it. @throws {AssertionError} where anything was lost or made up. */
export async function contest(options: ContestOptions): Promise<ContestCounts> {
  const arena = new Arena(options)
  await arena.run()
  return judge(await auditOf(options.store), arena.operations, arena.told, arena.restarts)
}

/** A memory store whose answers come after a random number of turns, so that calls overtake. */
export class StaggeredStore extends MemoryStore {
  readonly #random: () => number

  constructor(seed: number) {
    super()
    this.#random = seededRandom(seed)
  }

  override async get(key: string): Promise<Uint8Array> {
    await this.#stagger()
    return super.get(key)
  }

  override async put(key: string, body: Uint8Array): Promise<void> {
    await this.#stagger()
    return super.put(key, body)
  }

  override async putIfAbsent(key: string, body: Uint8Array): Promise<void> {
    await this.#stagger()
    await super.putIfAbsent(key, body)
    await this.#stagger()
  }

  override async *list(prefix: string, options: ListOptions = {}): AsyncGenerator<ObjectInfo> {
    await this.#stagger()
    yield* super.list(prefix, options)
  }

  async #stagger(): Promise<void> {
    for (let turns = Math.floor(this.#random() * 3); turns > 0; turns -= 1) await turn()
  }
}

class Arena {
  readonly operations: Operation[] = []
  readonly told: Told[] = []
  restarts = 0
  readonly #options: ContestOptions
  readonly #random: () => number
  readonly #stores: readonly [FaultyStore, FaultyStore]
  readonly #servers: [PromotionRegistry, PromotionRegistry]
  #clock = 0
  #begun = 0

  constructor(options: ContestOptions) {
    this.#options = options
    this.#random = seededRandom(options.seed)
    this.#stores = [new FaultyStore(options.store), new FaultyStore(options.store)]
    this.#servers = [this.#open(0), this.#open(1)]
  }

  async run(): Promise<void> {
    const clients = Array.from({ length: this.#options.clients ?? 6 }, (_, n) =>
      this.#client(n % 2 === 0 ? 0 : 1),
    )
    await Promise.all(clients)
  }

  async #client(server: 0 | 1): Promise<void> {
    while (this.#begun < this.#options.operations) {
      this.#begun += 1
      if (this.#random() < (this.#options.faultShare ?? 0.1)) this.#spoil(this.#stores[server])
      if (this.#random() < 0.01) this.#restart(server)
      await this.#operate(server, `op-${this.#begun}`)
    }
  }

  async #operate(server: 0 | 1, id: string): Promise<void> {
    const kind = pick(KINDS, this.#random)
    const registry = this.#servers[server]
    const seen = registry.cached(INDEX)?.revision ?? 0
    const ifRevision = this.#random() < 0.2 ? seen : null
    const by = { by: `server-${server}`, note: id, rebuild: 'lazy', ifRevision } as const
    this.#clock += 1
    const begun = this.#clock
    const work = {
      promote: () => registry.promote(INDEX, { config: CONTEST_CONFIG, trialId: id }, by),
      rollback: () => registry.rollback(INDEX, by),
      roll_forward: () => registry.rollForward(INDEX, by),
      read: () => registry.read(INDEX),
    }
    const told = await toldBy(work[kind]())
    this.#clock += 1
    const isAnswered =
      typeof told !== 'string' || told === NOTHING[kind] || told === 'revision_mismatch'
    const ended = isAnswered ? this.#clock : Infinity
    this.operations.push({ ...{ id, kind, ifRevision, begun, ended, told } })
    if (this.#random() < 0.05) await registry.refresh().catch(isOperating)
  }

  /** Faults after which nothing is certain, one or two of them, within the next operations. */
  #spoil(store: FaultyStore): void {
    const lost = { kind: 'error', when: 'after', operations: ['putIfAbsent'] } as const
    const faults: Fault[] = [
      { ...lost, code: 'bucket_unreachable' },
      { ...lost, code: 'storage_error' },
      { kind: 'error', code: 'bucket_unreachable', when: 'before', operations: ['list'] },
      { ...lost, code: 'object_exists' },
      { kind: 'error', code: 'bucket_unreachable', when: 'before' },
      { kind: 'error', code: 'storage_full', when: 'before', operations: ['putIfAbsent', 'put'] },
      { kind: 'stale_list', changes: 1 + Math.floor(this.#random() * 4), operations: ['list'] },
      { kind: 'truncate', operations: ['get'] },
      { kind: 'flip', operations: ['get'] },
    ]
    store.inject({ ...pick(faults, this.#random), skip: Math.floor(this.#random() * 4) })
    if (this.#random() < 0.3) {
      store.inject({ kind: 'error', code: 'bucket_unreachable', when: 'before', skip: 3 })
    }
  }

  #restart(server: 0 | 1): void {
    this.restarts += 1
    this.#servers[server] = this.#open(server)
  }

  #open(server: 0 | 1): PromotionRegistry {
    const told: Told = []
    this.told.push(told)
    return openRegistry(this.#stores[server], told)
  }
}

function openRegistry(store: ObjectStore, told: Told): PromotionRegistry {
  return new PromotionRegistry({
    buckets: { names: () => ['primary'], store: () => store, homeOf: () => 'primary' },
    nowMs: () => NOW_MS,
    onChange: (_index, document, revision) => told.push({ revision, document }),
  })
}

async function toldBy(work: Promise<PromotionState>): Promise<PromotionState | ErrorCode> {
  return work.catch((error: unknown) => {
    isOperating(error)
    return error.code
  })
}

function isOperating(error: unknown): asserts error is VectordError {
  if (!(error instanceof VectordError)) throw error
}

/** The document after each revision; before the first: never promoted. */
async function auditOf(store: ObjectStore): Promise<readonly PromotionDocument[]> {
  const documents: PromotionDocument[] = []
  let before: number | null = null
  const registry = openRegistry(store, [])
  do {
    const { entries, next } = await registry.audit(INDEX, { before, limit: 1000 })
    for (const past of entries) {
      assert.ok(past.kind === 'document', `revision ${past.revision} is ${past.kind}`)
      documents.push(past.document)
    }
    before = next
  } while (before !== null)
  return [neverPromoted(INDEX), ...documents.reverse()]
}
