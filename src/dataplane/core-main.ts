/**
 * The entry of a core: a child process of the front that owns shards and serves requests on them.
 *
 * It ends when its channel to the front closes, when the front tells it to, and when the front is
 * gone; see `src/processes/parent-link.ts`.
 */

import { openParentLink } from '../processes/parent-link.ts'
import type { CoreArguments } from './core-messages.ts'
import { CoreServer } from './core-server.ts'
import { FrameChannel } from './frame-channel.ts'
import type { Frame } from './frame.ts'
import type { ShardHostModule } from './shard-host.ts'

const [, , json] = process.argv
const { core, hostModule, pace } = JSON.parse(json ?? '{}') as CoreArguments

const early: Frame[] = []
let receive = (frame: Frame): void => {
  early.push(frame)
}
const channel = new FrameChannel(openParentLink(), {
  onFrame: (frame) => receive(frame),
  onClose: () => process.exit(0),
})
const { openHostedShard } = (await import(hostModule)) as ShardHostModule
const server = new CoreServer({
  core,
  pace,
  channel,
  openShard: openHostedShard,
  onStopped: () => process.exit(0),
})
receive = (frame) => server.receive(frame)
early.forEach(receive)
