/**
 * The entry of the Lance core: a child process of the front that has all Lance tables open.
 *
 * LanceDB sizes its pool of threads by the environment, before it is loaded.
 */

import { availableParallelism } from 'node:os'
import { openParentLink } from '../processes/parent-link.ts'
import { BEAT_INTERVAL_MS, type Beat } from './core-messages.ts'
import { FrameChannel } from './frame-channel.ts'
import { FRAME, type Frame } from './frame.ts'
import type { LanceArguments } from './lance-messages.ts'
import { writeJson } from './shard-codec.ts'

const [, , json] = process.argv
const { caches } = JSON.parse(json ?? '{}') as LanceArguments

// By itself it leaves two processors to others: one of two would be all it has.
process.env['LANCE_CPU_THREADS'] ??= String(availableParallelism())

const early: Frame[] = []
let receive = (frame: Frame): void => {
  early.push(frame)
}
const channel = new FrameChannel(openParentLink(), {
  onFrame: (frame) => receive(frame),
  onClose: () => process.exit(0),
})
const { LanceEngine } = await import('../engines/lance/lance-engine.ts')
const { LanceServer } = await import('./lance-server.ts')
const server = new LanceServer(channel, new LanceEngine(caches))
receive = (frame) => server.receive(frame)
channel.writer.begin({ type: FRAME.hello, id: 0, flags: 0, shard: 0, deadlineMs: Infinity })
channel.writer.end()
channel.flush()
early.forEach(receive)
setInterval(beat, BEAT_INTERVAL_MS)

function beat(): void {
  const { user, system } = process.cpuUsage()
  const body: Beat = {
    rss_bytes: process.memoryUsage.rss(),
    cpu_s: (user + system) / 1e6,
    queued: server.waiting,
    shards: [],
  }
  channel.writer.begin({ type: FRAME.beat, id: 0, flags: 0, shard: 0, deadlineMs: Infinity })
  writeJson(channel.writer, body)
  channel.writer.end()
  channel.flush()
}
