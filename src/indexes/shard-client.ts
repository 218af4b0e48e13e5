/**
 * A shard as an index needs it: on a core, or in a test in the process itself.
 */

import type { RemoteShard } from '../dataplane/remote-shard.ts'

export type ShardClient = Pick<RemoteShard, keyof RemoteShard>
