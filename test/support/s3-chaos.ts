/**
 * Actors on one S3 bucket through a proxy that spoils a random share of their requests.
 *
 * Each actor does one thing at a time under a prefix of its own and has its own random numbers, so
 * that the faults which strike it depend on its seed and nothing else. `direct` goes past the proxy:
 * it says what really is in the bucket.
 */

import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import type { ObjectStore } from '../../src/buckets/object-store.ts'
import type { S3Spec } from '../../src/buckets/s3-spec.ts'
import { S3Store } from '../../src/buckets/s3-store.ts'
import { VectordError, type ErrorCode } from '../../src/lib/errors.ts'
import { type S3Fault, startFaultProxy } from './s3-fault-proxy.ts'
import type { S3Server } from './s3-server.ts'
import { seededRandom } from './vectors.ts'

const FAULT_SHARE = 0.05
/** Longer than a busy server takes: what a client gave up on may land after its next request. */
const PATIENCE_MS = 6_000
const LIMITS = {
  connectTimeoutMs: PATIENCE_MS,
  requestTimeoutMs: PATIENCE_MS,
  attempts: 2,
  partBytes: 5 * 1024 * 1024,
}

export interface Actor {
  readonly direct: ObjectStore
  readonly faulty: ObjectStore
  /** Ends with a slash. */
  readonly prefix: string
  readonly random: () => number
  /** Faults since the last `begin`. */
  readonly struck: ReadonlySet<S3Fault>
  begin(): void
}

export interface ChaosBucket {
  readonly strikes: ReadonlyMap<S3Fault, number>
  /** @param faults those that may strike it. */
  actor(name: string, seed: number, faults: readonly S3Fault[]): Actor
  /** Forgets the actors and removes what they left. */
  clear(): Promise<void>
  close(): Promise<void>
}

export async function openChaosBucket(server: S3Server): Promise<ChaosBucket> {
  const spoilers = new Map<string, () => S3Fault | null>()
  const strikes = new Map<S3Fault, number>()
  const proxy = await startFaultProxy(server, (url) => {
    const fault = spoilers.get(/actor-[\w-]+\//.exec(url)?.[0] ?? '')?.() ?? null
    if (fault !== null) strikes.set(fault, (strikes.get(fault) ?? 0) + 1)
    return fault
  })
  const bucket = `chaos-${randomUUID()}`
  await server.createBucket(bucket)
  const { accessKeyId, secretAccessKey, endpoint } = server
  const spec: S3Spec = {
    ...{ backend: 's3', bucket, prefix: '', region: 'us-east-1', endpoint },
    credentials: { accessKeyId, secretAccessKey },
  }
  const direct = new S3Store(spec)
  const faulty = new S3Store({ ...spec, endpoint: proxy.endpoint }, LIMITS)
  return {
    strikes,
    actor(name, seed, faults) {
      const prefix = `actor-${name}/`
      const random = seededRandom(seed)
      const luck = seededRandom(seed ^ 0x5eed)
      const struck = new Set<S3Fault>()
      spoilers.set(prefix, () => {
        const fault = luck() < FAULT_SHARE ? pick(faults, luck) : null
        if (fault !== null) struck.add(fault)
        return fault
      })
      return {
        ...{ direct, faulty, prefix, random, struck },
        begin() {
          struck.clear()
        },
      }
    },
    async clear() {
      spoilers.clear()
      for await (const { key } of direct.list('')) await direct.delete(key)
    },
    async close() {
      await Promise.all([direct.close(), faulty.close(), proxy.close()])
    },
  }
}

export function pick<T>(items: readonly T[], random: () => number): T {
  const item = items[Math.floor(random() * items.length)]
  assert.ok(item !== undefined)
  return item
}

export type Outcome<T> =
  | { readonly done: true; readonly value: T }
  | { readonly done: false; readonly code: ErrorCode; readonly error: VectordError }

/** What became of one operation. @throws what is no operating error. */
export async function outcomeOf<T>(work: Promise<T>): Promise<Outcome<T>> {
  try {
    return { done: true, value: await work }
  } catch (error) {
    if (!(error instanceof VectordError)) throw error
    return { done: false, code: error.code, error }
  }
}

/** Done, or an error that says "I do not know" and has a cause, or one of `also`. */
export function assertHonest(
  actor: Actor,
  outcome: Outcome<unknown>,
  also: readonly ErrorCode[] = [],
): void {
  if (outcome.done || also.includes(outcome.code)) return
  const honest = ['bucket_unreachable', 'storage_error', 'object_corrupt']
  const isHonest = honest.includes(outcome.code)
  // A server that is slow for its own reasons may time out; nothing else comes from nothing.
  const hasCause = actor.struck.size > 0 || outcome.code === 'bucket_unreachable'
  if (!isHonest || !hasCause) {
    const message = `${actor.prefix} after ${[...actor.struck].join()}: ${outcome.code}`
    throw new Error(message, { cause: outcome.error })
  }
}
