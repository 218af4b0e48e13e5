/**
 * The entry of a process that reads the points of a checkpoint for `point-copy.ts`, at a low priority.
 */

import { setPriority } from 'node:os'
import { openStore } from '../buckets/open-store.ts'
import { toWireError } from '../dataplane/error-codec.ts'
import { upsertOf, type UpsertBatch, type UpsertRow } from '../domain/write-batch.ts'
import { MessagePipe } from '../processes/message-pipe.ts'
import { openParentLink } from '../processes/parent-link.ts'
import { countLivePoints, livePoints, type LivePoints } from '../shard/live-points.ts'
import type { PointCopyJob, PointCopyReply, PointCopyRequest } from './point-copy.ts'

const NICENESS = 10
/** Points of a batch, and numbers of its vectors: the front copies them in a few milliseconds. */
const BATCH_POINTS = 1000
const BATCH_NUMBERS = 512 * 1024

setPriority(NICENESS)

let batches: AsyncGenerator<UpsertBatch, undefined> | null = null

const pipe = new MessagePipe(openParentLink(), {
  onMessage: (message) => void serve(message as PointCopyRequest),
  onClose: () => process.exit(0),
})

async function serve(request: PointCopyRequest): Promise<void> {
  let reply: PointCopyReply
  try {
    reply = await replyTo(request)
  } catch (error) {
    reply = { kind: 'failed', error: toWireError(error, 'point copy') }
  }
  pipe.send(reply)
}

async function replyTo(request: PointCopyRequest): Promise<PointCopyReply> {
  if (request.kind === 'next') {
    const next = await batches?.next()
    return next?.value === undefined ? { kind: 'done' } : { kind: 'batch', batch: next.value }
  }
  const { bucket, content, dimension, scratch } = request.job
  const store = await openStore(bucket)
  const { signal } = new AbortController()
  const points = await countLivePoints(store, content, { scratch, signal })
  batches = batchesOf(livePoints(store, content, { dimension, scratch, signal }), request.job)
  return { kind: 'count', points }
}

async function* batchesOf(
  groups: AsyncIterable<LivePoints>,
  { dimension }: PointCopyJob,
): AsyncGenerator<UpsertBatch, undefined> {
  const size = Math.max(1, Math.min(BATCH_POINTS, Math.floor(BATCH_NUMBERS / dimension)))
  for await (const group of groups) {
    for (let from = 0; from < group.ids.length; from += size) {
      yield upsertOf(dimension, rowsOf(group, from, from + size))
    }
  }
}

function rowsOf(group: LivePoints, from: number, end: number): UpsertRow[] {
  return group.ids.slice(from, end).map((id, i) => ({
    id,
    vector: group.vectors[from + i] ?? null,
    text: group.texts[from + i] ?? null,
    metadata: group.metadata[from + i] ?? null,
  }))
}
