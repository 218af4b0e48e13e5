/**
 * One registered bucket: its store, and whether it could be reached when it was last asked.
 *
 * A bucket that cannot be opened (its folder cannot be made, its secrets file is open to others) is
 * there all the same: it answers why, and every health check tries to open it again.
 */

import type { BucketSpec } from '../domain/shard-spec.ts'
import { hasCode, VectordError } from '../lib/errors.ts'
import { type BucketLocation, uriOf } from './bucket-location.ts'
import { type ConditionalWrites, PROBE_PREFIX } from './bucket-probe.ts'
import type { CredentialsVault, KeptSource } from './credentials.ts'
import { isLocalBucket } from './local-store.ts'
import type { ObjectStore } from './object-store.ts'
import { ObservedStore, type ReportFailure } from './observed-store.ts'

/** A bucket that takes longer to answer one small read counts as unreachable. */
const HEALTH_TIMEOUT_MS = 5_000

/** Never there: a bucket that says so works. */
const HEALTH_KEY = `${PROBE_PREFIX}health`

export type BucketRole = 'primary' | 'rescue' | 'extra'

export interface BucketView {
  readonly name: string
  readonly backend: 'local' | 's3'
  /** Without credentials. */
  readonly uri: string
  readonly role: BucketRole
  readonly isProtected: boolean
  readonly health: 'ok' | 'unreachable' | 'unknown'
  readonly conditionalWrites: ConditionalWrites
}

export interface BucketHealth {
  readonly name: string
  readonly reachable: boolean
  /** Milliseconds of the last check; null where it failed. */
  readonly latencyMs: number | null
  readonly error: string | null
  /** Milliseconds since the Unix epoch. */
  readonly checkedMs: number | null
}

export interface OpenBucketOptions {
  readonly name: string
  readonly role: BucketRole
  readonly location: BucketLocation<KeptSource>
  readonly conditionalWrites: ConditionalWrites
  readonly vault: CredentialsVault
  readonly openStore: (spec: BucketSpec) => Promise<ObjectStore>
  readonly report: ReportFailure
  readonly nowMs: () => number
}

interface Opened {
  readonly spec: BucketSpec
  readonly store: ObjectStore
}

export class OpenBucket {
  readonly #options: OpenBucketOptions
  #opened: Opened | null = null
  #fault: VectordError
  #health: BucketHealth
  #closed = false
  conditionalWrites: ConditionalWrites

  constructor(options: OpenBucketOptions) {
    this.#options = options
    this.conditionalWrites = options.conditionalWrites
    this.#fault = unavailable(options.name, null)
    const unknown = { reachable: false, latencyMs: null, error: null, checkedMs: null }
    this.#health = { name: options.name, ...unknown }
  }

  get name(): string {
    return this.#options.name
  }

  get location(): BucketLocation<KeptSource> {
    return this.#options.location
  }

  get view(): BucketView {
    const { name, role, location } = this.#options
    const { checkedMs, reachable } = this.#health
    return {
      name,
      backend: location.backend,
      uri: uriOf(location),
      role,
      isProtected: role !== 'extra',
      health: checkedMs === null ? 'unknown' : reachable ? 'ok' : 'unreachable',
      conditionalWrites: this.conditionalWrites,
    }
  }

  /** @throws {VectordError} `bucket_unreachable` where it could not be opened. */
  get store(): ObjectStore {
    return this.#ready().store
  }

  /** @throws {VectordError} as `store`. */
  get spec(): BucketSpec {
    return this.#ready().spec
  }

  /** Opens it where it is not open. @throws {VectordError} of the reason. */
  async open(): Promise<void> {
    if (this.#opened !== null || this.#closed) return
    const { name, openStore, report } = this.#options
    try {
      const spec = await this.#resolve()
      const store = new ObservedStore(await openStore(spec), report)
      // Another check may have been quicker, or the bucket was closed meanwhile.
      if (this.#isDone()) await store.close()
      else this.#opened = { spec, store }
    } catch (error) {
      if (!(error instanceof VectordError)) throw error
      this.#fault = unavailable(name, error)
      throw error
    }
  }

  /** Reads one object that is not there, and remembers how that went. */
  async check(): Promise<BucketHealth> {
    const { name, nowMs } = this.#options
    const startedMs = performance.now()
    try {
      await withTimeout(this.#ask(), name)
      const latencyMs = Math.round((performance.now() - startedMs) * 1000) / 1000
      this.#health = { name, reachable: true, latencyMs, error: null, checkedMs: nowMs() }
    } catch (error) {
      if (!(error instanceof VectordError)) throw error
      const text = `${error.code}: ${error.message}`
      this.#health = { name, reachable: false, latencyMs: null, error: text, checkedMs: nowMs() }
    }
    return this.#health
  }

  async close(): Promise<void> {
    this.#closed = true
    const opened = this.#opened
    this.#opened = null
    await opened?.store.close()
  }

  async #ask(): Promise<void> {
    await this.open()
    try {
      await this.store.get(HEALTH_KEY)
    } catch (error) {
      if (!hasCode(error, 'object_not_found')) throw error
    }
  }

  async #resolve(): Promise<BucketSpec> {
    const { location, role, vault } = this.#options
    if (location.backend === 'local') {
      // It was made when it was added. Where it is not there now, a disk may be missing.
      if (role === 'extra' && !(await isLocalBucket(location.root))) {
        throw new VectordError('bucket_unreachable', `There is no bucket in ${location.root}.`)
      }
      return { backend: 'local', root: location.root }
    }
    return { ...location, credentials: await vault.resolve(location.credentials) }
  }

  #isDone(): boolean {
    return this.#closed || this.#opened !== null
  }

  #ready(): Opened {
    if (this.#opened === null) throw this.#fault
    return this.#opened
  }
}

async function withTimeout(work: Promise<void>, name: string): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      const message = `The bucket "${name}" did not answer within ${HEALTH_TIMEOUT_MS} ms.`
      reject(new VectordError('bucket_unreachable', message))
    }, HEALTH_TIMEOUT_MS)
  })
  try {
    await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}

function unavailable(name: string, cause: VectordError | null): VectordError {
  const why = cause === null ? 'it is not open' : cause.message
  return new VectordError('bucket_unreachable', `The bucket "${name}" is not available: ${why}`, {
    details: { bucket: name },
    ...(cause !== null && { cause }),
  })
}
