/**
 * The entry of an export process: a child of the front that reads the points of one checkpoint from
 * its bucket, at a low priority, and sends them as a file. It has one job; whoever does not want the
 * rest ends it.
 *
 * It sends no faster than the front takes, and reads no faster than it sends.
 */

import { setPriority } from 'node:os'
import type { Socket } from 'node:net'
import { openStore } from '../buckets/open-store.ts'
import type { ObjectStore } from '../buckets/object-store.ts'
import { MessagePipe } from '../processes/message-pipe.ts'
import { openParentLink } from '../processes/parent-link.ts'
import { countLivePoints, livePoints } from '../shard/live-points.ts'
import type { ExportJob } from './export-job.ts'
import { encodeExport } from './export-rows.ts'
import { ExportSender } from './export-wire.ts'

const NICENESS = 10

setPriority(NICENESS)

const socket: Socket = openParentLink()
const sender = new ExportSender(socket)
// The front wrote what it is asked for: the same version of the same program.
new MessagePipe(socket, {
  onMessage: (message) => void serve(message as ExportJob),
  onClose: () => process.exit(0),
})

async function serve(job: ExportJob): Promise<void> {
  try {
    const store = await openStore(job.bucket)
    await sender.done(await run(store, job))
  } catch (error) {
    await sender.failed(error)
  }
}

async function run(store: ObjectStore, job: ExportJob): Promise<number | null> {
  const { content, scratch } = job
  const { signal } = new AbortController()
  if (job.kind === 'count') return countLivePoints(store, content, { scratch, signal })
  const points = livePoints(store, content, { dimension: job.dimension, scratch, signal })
  for await (const bytes of encodeExport(points, job)) {
    if (bytes.byteLength > 0) await sender.data(bytes)
  }
  return null
}
