/**
 * A request to a core, as the front keeps it until it is answered.
 */

import { createHash } from 'node:crypto'
import { type FrameType } from './frame.ts'
import { FrameWriter } from './frame-writer.ts'

export interface CoreRequest<T> {
  readonly type: FrameType
  /** The number under which the core knows the shard. */
  readonly shard: number
  readonly background: boolean
  /** Milliseconds since the Unix epoch; Infinity where the request may take its time. */
  readonly deadlineMs: number
  /** Writes the body. It is called again where the request has to be told from others. */
  write(writer: FrameWriter): void
  read(body: Buffer): T
  /** Names the shard to `fingerprintOf`: numbers change when a core restarts. */
  readonly subject: string
  /** Told how far a long request has come, from 0 to 1. */
  readonly onProgress?: (fraction: number) => void
}

const scratch = new FrameWriter()

/** Tells the request from others: by what it asks and of which shard. */
export function fingerprintOf(request: CoreRequest<unknown>): string {
  const hash = createHash('sha256').update(`${request.subject}\n`)
  scratch.begin({ type: request.type, id: 0, flags: 0, shard: 0, deadlineMs: 0 })
  request.write(scratch)
  scratch.end()
  for (const chunk of scratch.take()) hash.update(chunk)
  scratch.recycle(true)
  return hash.digest('base64')
}
