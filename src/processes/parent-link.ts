/**
 * What a child process that `child.ts` started has of its parent: the channel and the lifeline.
 *
 * The lifeline is watched by a thread of its own. When the parent is gone, also by kill -9, the
 * child ends at once, even while its main thread is stuck in native code: no orphans.
 */

import { Socket } from 'node:net'
import { Worker } from 'node:worker_threads'

export const CHANNEL_FD = 3
export const LIFELINE_FD = 4

const LIFELINE_THREAD = `
  const { Socket } = require('node:net')
  const { workerData } = require('node:worker_threads')
  const lifeline = new Socket({ fd: workerData, readable: true, writable: false })
  lifeline.on('error', () => lifeline.destroy())
  lifeline.on('close', () => process.kill(process.pid, 'SIGKILL'))
  lifeline.resume()
`

/** The thread runs four lines: it needs no more memory than this. */
const LIFELINE_LIMITS = { maxOldGenerationSizeMb: 8, maxYoungGenerationSizeMb: 2 }

/**
 * Opens the channel to the parent and ties the life of this process to the parent's.
 *
 * Signals that a terminal or an init system sends to the whole group are ignored: the parent drains
 * first, and then tells its children.
 */
export function openParentLink(): Socket {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, ignore)
  const lifeline = new Worker(LIFELINE_THREAD, {
    eval: true,
    workerData: LIFELINE_FD,
    resourceLimits: LIFELINE_LIMITS,
  })
  lifeline.unref()
  return new Socket({ fd: CHANNEL_FD, readable: true, writable: true })
}

function ignore(): void {
  // Only that there is a listener counts: without one the signal would end the process.
}
