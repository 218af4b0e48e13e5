/**
 * The entry of the Lance core: a child process of the front that has all Lance tables open.
 */

import { LanceEngine } from '../engines/lance/lance-engine.ts'
import { openParentLink } from '../processes/parent-link.ts'
import { BEAT_INTERVAL_MS, type Beat } from './core-messages.ts'
import { FrameChannel } from './frame-channel.ts'
import { FRAME } from './frame.ts'
import type { LanceArguments } from './lance-messages.ts'
import { LanceServer } from './lance-server.ts'
import { writeJson } from './shard-codec.ts'

const [, , json] = process.argv
const { caches } = JSON.parse(json ?? '{}') as LanceArguments

const channel = new FrameChannel(openParentLink(), {
  onFrame: (frame) => server.receive(frame),
  onClose: () => process.exit(0),
})
const server = new LanceServer(channel, new LanceEngine(caches))
channel.writer.begin({ type: FRAME.hello, id: 0, flags: 0, shard: 0, deadlineMs: Infinity })
channel.writer.end()
channel.flush()
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
