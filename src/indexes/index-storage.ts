/**
 * The durable side of one index: its log and its checkpoints, opened for writing.
 *
 *     checkpoint (manifest at lsn c) + log records after c = the index
 *
 * Two checkpoints are kept, and the log back to the older one: where the newest turns out damaged,
 * `fallBack` goes on from the older, and nothing is lost.
 */

import { join } from 'node:path'
import type { ObjectStore } from '../buckets/object-store.ts'
import type { CheckpointContent } from '../domain/checkpoint.ts'
import type { VerifyFault } from '../domain/search.ts'
import type { BucketSpec } from '../domain/shard-spec.ts'
import { VectordError } from '../lib/errors.ts'
import { CheckpointStore } from '../log/checkpoint-store.ts'
import type { LogStore } from '../log/log-store.ts'
import { openObjectLog } from '../log/object-log.ts'
import { openSegmentLog } from '../log/segment-log.ts'
import type { IndexMeta } from './index-meta.ts'
import { indexFolder } from './index-objects.ts'
