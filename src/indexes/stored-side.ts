/**
 * What is known of the durable side of an index, for whoever asks how far it is.
 */

import type { VectordError } from '../lib/errors.ts'
import type { IndexInfo } from './index-api.ts'
import type { IndexStorage } from './index-storage.ts'

export type StoredSide = Pick<
  IndexInfo,
  'role' | 'owner' | 'lsn' | 'checkpointLsn' | 'logBytes'
> & {
  /** Why a follower sees no new writes, or null. */
  readonly fault: VectordError | null
}

/** @param appliedLsn the last write that reads see: as far as a follower is. */
export function storedSide(storage: IndexStorage | null, appliedLsn: number): StoredSide {
  if (storage === null) return NOTHING_STORED
  const { holding, log, checkpointLsn } = storage
  const lsn = holding.role === 'follower' ? appliedLsn : log.lastLsn
  return { ...holding, lsn, checkpointLsn, logBytes: log.bytes }
}

const NOTHING_STORED: StoredSide = {
  ...{ role: null, owner: null, fault: null },
  ...{ lsn: 0, checkpointLsn: 0, logBytes: 0 },
}
