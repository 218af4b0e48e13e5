/**
 * Which server writes an index in a bucket that several servers may share: a lease.
 *
 *     free ──claim──▶ ours ──renew every third of the lease──▶ ours ──release──▶ free
 *                      │ another server wrote a revision
 *                      ▼
 *                     lost
 *
 * The lease decides who tries; what keeps a late writer out is the log itself, which is fenced by the
 * new owner's epoch. So no clocks are compared: a lease has run out when its revision has not
 * changed for `leaseMs` of the observer's own time. A restarted server (same id) takes its own back.
 */

import type { ObjectStore } from '../buckets/object-store.ts'
import type { JsonObject } from '../buckets/revision-codec.ts'
import { RevisionedDocument, type Revision } from '../buckets/revisioned-document.ts'
import { hasCode, VectordError } from '../lib/errors.ts'
import { indexFolder } from './index-objects.ts'

export const LEASE_MS = 30_000

/** Who holds an index, as other servers read it. */
interface Lease {
  /** Null: released. */
  readonly server: string | null
  /** Grows with each change of owner; it is in every group of the log. */
  readonly epoch: number
}

export interface IndexOwnerOptions {
  readonly store: ObjectStore
  readonly index: string
  /** The id of this server: kept with its storage root, so it outlives a restart. */
  readonly server: string
  /** Milliseconds of a clock that never runs backwards. */
  readonly monotonicMs: () => number
  readonly leaseMs?: number
}

export class IndexOwner {
  readonly #options: IndexOwnerOptions
  readonly #document: RevisionedDocument<Lease>
  readonly #leaseMs: number
  /** The foreign lease that is being waited for. */
  #seen: { readonly revision: number; readonly sinceMs: number } | null = null
  #held: Revision<Lease> | null = null

  constructor(options: IndexOwnerOptions) {
    this.#options = options
    this.#leaseMs = options.leaseMs ?? LEASE_MS
    this.#document = new RevisionedDocument({
      store: options.store,
      prefix: `${indexFolder(options.index)}owner/`,
      name: `the owner of index "${options.index}"`,
      codec: { toJson: leaseToJson, fromJson: leaseFromJson },
      keep: 10,
    })
  }

  /**
   * Makes this server the owner. @returns the epoch to write the log with.
   * @throws {VectordError} `not_owner` while another server holds it; call again later.
   */
  async claim(): Promise<number> {
    const current = await this.#document.read()
    if (current !== null && this.#isHeldByOther(current)) throw this.#notOwner(current.document)
    const epoch = (current?.document.epoch ?? 0) + 1
    try {
      this.#held = await this.#write(current, { server: this.#options.server, epoch })
    } catch (error) {
      if (hasCode(error, 'revision_mismatch')) throw this.#notOwner(null)
      throw error
    }
    this.#seen = null
    return epoch
  }

  /** @throws {VectordError} `not_owner` where another server took over. */
  async renew(): Promise<void> {
    if (this.#held === null) throw this.#notOwner(null)
    try {
      this.#held = await this.#write(this.#held, this.#held.document)
    } catch (error) {
      if (!hasCode(error, 'revision_mismatch')) throw error
      this.#held = null
      throw this.#notOwner(null)
    }
  }

  /** Gives the lease back, so that another server need not wait. Best effort: it runs out anyway. */
  async release(): Promise<void> {
    const held = this.#held
    this.#held = null
    if (held === null) return
    await this.#write(held, { server: null, epoch: held.document.epoch }).catch(() => undefined)
  }

  #isHeldByOther(current: Revision<Lease>): boolean {
    const { server } = current.document
    if (server === null || server === this.#options.server) return false
    const nowMs = this.#options.monotonicMs()
    if (this.#seen?.revision !== current.revision) {
      this.#seen = { revision: current.revision, sinceMs: nowMs }
    }
    return nowMs - this.#seen.sinceMs < this.#leaseMs
  }

  #write(current: Revision<Lease> | null, document: Lease): Promise<Revision<Lease>> {
    const change = { document, author: this.#options.server, reason: 'lease' }
    return this.#document.update(current?.revision ?? null, change)
  }

  #notOwner(lease: Lease | null): VectordError {
    return notOwner(this.#options.index, lease?.server ?? null)
  }
}

/** @param owner the id of the server that writes the index, null where it is not known. */
export function notOwner(index: string, owner: string | null): VectordError {
  const name = owner === null ? 'another server' : `server "${owner}"`
  return new VectordError('not_owner', `Index "${index}" is written by ${name}.`, {
    details: { index, owner },
    retryAfterS: 5,
  })
}

function leaseToJson(lease: Lease): JsonObject {
  return { server: lease.server, epoch: lease.epoch }
}

function leaseFromJson(json: JsonObject, key: string): Lease {
  const { server, epoch } = json
  const isServer = server === null || typeof server === 'string'
  if (isServer && typeof epoch === 'number' && Number.isSafeInteger(epoch)) return { server, epoch }
  throw new VectordError('object_corrupt', `The object "${key}" is not a lease.`, {
    details: { key },
  })
}
