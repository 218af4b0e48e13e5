/**
 * The entry of an export process: a child of the front that reads the points of one checkpoint, or of
 * one version of a Lance table, from its bucket, at a low priority, and sends them as a file. It has one
 * job; whoever does not want the rest ends it.
 *
 * It sends no faster than the front takes, and reads no faster than it sends.
 */

import { setPriority } from 'node:os'
import type { Socket } from 'node:net'
import { openStore } from '../buckets/open-store.ts'
import type { StoredPoint } from '../domain/search.ts'
import { MessagePipe } from '../processes/message-pipe.ts'
import { openParentLink } from '../processes/parent-link.ts'
import { countLivePoints, livePoints, type LivePoints } from '../shard/live-points.ts'
import type { ExportJob, ExportRows, ExportTable } from './export-job.ts'
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
    await sender.done(await run(job))
  } catch (error) {
    await sender.failed(error)
  }
}

async function run(job: ExportJob): Promise<number | null> {
  if (job.kind === 'count') {
    return countLivePoints(await openStore(job.bucket), job.content, readingOf(job))
  }
  const points = job.kind === 'rows' ? await pointsOfParts(job) : await pointsOfTable(job)
  for await (const bytes of encodeExport(points, job)) {
    if (bytes.byteLength > 0) await sender.data(bytes)
  }
  return null
}

async function pointsOfParts(job: ExportRows): Promise<AsyncIterable<LivePoints>> {
  const { bucket, content, dimension } = job
  return livePoints(await openStore(bucket), content, { dimension, ...readingOf(job) })
}

/** LanceDB takes its time to load, and is loaded for a table alone. */
async function pointsOfTable(job: ExportTable): Promise<AsyncIterable<LivePoints>> {
  const { table, version, includeVectors: vector } = job
  const { scanTable } = await import('../engines/lance/lance-scan.ts')
  return columnwise(scanTable(table, { version, include: { metadata: true, text: true, vector } }))
}

async function* columnwise(
  batches: AsyncIterable<readonly StoredPoint[]>,
): AsyncGenerator<LivePoints, undefined> {
  for await (const points of batches) {
    yield {
      ids: points.map(({ id }) => id),
      vectors: points.map(({ vector }) => vector),
      texts: points.map(({ text }) => text),
      metadata: points.map(({ metadata }) => metadata),
      versions: Float64Array.from(points, ({ version }) => version),
    }
  }
}

function readingOf({ scratch }: ExportJob) {
  return { scratch, signal: new AbortController().signal }
}
