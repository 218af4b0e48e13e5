/**
 * Which server writes a Lance table: the one that holds its lease, or the root of its local bucket.
 *
 * A table has no log that keeps a late writer out. So whoever writes confirms the lease first, where
 * that has not been done for a while: what is left is a server that stands still for the rest of its
 * lease between that look and its commit. What it then writes replaces points of the next owner; that
 * it writes an id beside it is what the key of the table keeps it from (`lance-schema.ts`).
 */

import type { IndexRole } from './index-api.ts'
import { hasCode, VectordError } from '../lib/errors.ts'
import { IndexLease } from './index-lease.ts'
import { LEASE_MS, type IndexOwner } from './index-owner.ts'

export interface LanceHolding {
  /** Null while it is not known. */
  readonly role: IndexRole | null
  /** Id of the server that writes. */
  readonly owner: string | null
  /** Another server may take it over, and this one learn of it too late. */
  readonly isShared: boolean
  /** To be called before each commit. @throws {VectordError} `not_owner` where that is another by now. */
  confirm(): Promise<void>
  /** Gives it back. */
  release(): Promise<void>
}

const nothing = (): Promise<void> => Promise.resolve()

/** Not claimed yet, or given back: nothing may be committed. */
export const NOBODY: LanceHolding = {
  ...{ role: null, owner: null, isShared: false, release: nothing },
  confirm: async () => {
    const text = 'This server has not claimed the writing of the index.'
    throw new VectordError('not_owner', text, { retryAfterS: 5 })
  },
}

/** In a local bucket, whose folder this server has locked. */
export function soleHolding(server: string): LanceHolding {
  return { role: 'owner', owner: server, isShared: false, confirm: nothing, release: nothing }
}

/** Of a table that another server writes. */
export function foreignHolding(refused: VectordError): LanceHolding {
  const { owner } = refused.details
  return { ...NOBODY, role: 'follower', owner: typeof owner === 'string' ? owner : null }
}

/** A lease that was confirmed this long ago is confirmed again before a commit. */
const CONFIRMED_MS_MAX = LEASE_MS / 3

export interface LeaseOptions {
  readonly server: string
  readonly owner: IndexOwner
  /** Milliseconds of a clock that never runs backwards. */
  readonly monotonicMs: () => number
  readonly onLost: (reason: VectordError) => void
  readonly onTrouble: (error: unknown, what: string) => void
}

/** In a bucket that servers share. @throws {VectordError} `not_owner` while another one holds it. */
export async function leaseHolding(options: LeaseOptions): Promise<LanceHolding> {
  const { server, owner, monotonicMs, onLost, onTrouble } = options
  await owner.claim()
  let confirmedMs = monotonicMs()
  const lease = new IndexLease(owner, onTrouble)
  lease.start(onLost)
  return {
    ...{ role: 'owner', owner: server, isShared: true },
    confirm: async () => {
      if (monotonicMs() - confirmedMs < CONFIRMED_MS_MAX) return
      const startMs = monotonicMs()
      try {
        await lease.confirm()
      } catch (error) {
        if (hasCode(error, 'not_owner')) onLost(error)
        throw error
      }
      confirmedMs = startMs
    },
    release: () => lease.end(),
  }
}
