/**
 * Where a shard is loaded from: its newest checkpoint and the log after it.
 */

import type { ShardSpec } from '../domain/shard-spec.ts'
import type { LogRecord } from '../log/log-store.ts'

export interface ShardSource {
  /** With the newest checkpoint: asked before every load. */
  spec(): Promise<ShardSpec>

  /** The durable records after `afterLsn`, in order. */
  replay(afterLsn: number): AsyncIterable<LogRecord>

  /** The lsn of the last durable record, 0 where there is none. */
  lastLsn(): number
}
