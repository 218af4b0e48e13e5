/**
 * Child processes that run a module of ours and talk to us over a unix socket of their own.
 *
 *     parent ──fork──▶ child      fd 3  the channel: one of a connected pair of unix sockets
 *                                 fd 4  the lifeline: closes when the parent is gone
 *                                 fd 5  Node's own IPC, which fork asks for; not used
 *
 * The channel is made with the process and inherited, so it has no name in the file system that
 * somebody else could connect to, that could be too long, or that a crash could leave behind.
 *
 * This folder is the one door to `node:child_process`.
 */

import { fork } from 'node:child_process'
import { Socket } from 'node:net'
import type { Readable } from 'node:stream'
import { invariant } from '../lib/invariant.ts'
import { CHANNEL_FD, LIFELINE_FD } from './parent-link.ts'

/** Of what a child writes to stderr, the end is kept: the reason of a crash stands there. */
const STDERR_CHARS_MAX = 4096

const SEMI_SPACE_MIB = 4

/** How the child ended. One of the two is null. */
export interface ChildExit {
  readonly exitCode: number | null
  readonly signal: string | null
  /** The last of what it wrote to stderr. */
  readonly stderr: string
}

export interface ChildOptions {
  readonly module: URL
  readonly args: readonly string[]
  /** Bytes of its JavaScript heap; past it the process ends itself. Node's own bound where left out. */
  readonly heapBytesMax?: number
  /** Of each half of the heap's young generation; 4 where left out. More where batches live for a while. */
  readonly semiSpaceMib?: number
  /** Added to the environment of this process. */
  readonly env?: Readonly<Record<string, string>>
  /** Called once, when the process has ended or could not be started. */
  onExit(exit: ChildExit): void
}

export interface Child {
  /** Undefined where the process could not be started. */
  readonly pid: number | undefined
  readonly channel: Socket
  /** Ends the process now, whatever it does. Nothing happens where it has ended. */
  kill(): void
}

/**
 * glibc raises the size from which it maps memory on its own with each large block that is freed; from
 * then on such blocks lie in the heap and leave holes. A fixed size gives large buffers back.
 */
const MALLOC = { MALLOC_MMAP_THRESHOLD_: '131072', MALLOC_TRIM_THRESHOLD_: '131072' }

export function startChild(options: ChildOptions): Child {
  const child = fork(options.module, options.args, {
    env: { ...MALLOC, ...options.env, ...process.env },
    // What the parent was started with (an inspector, a test runner) is not for its children. Most of
    // what they allocate lives for one request: a small nursery holds it.
    execArgv: [
      `--max-semi-space-size=${options.semiSpaceMib ?? SEMI_SPACE_MIB}`,
      ...heapBound(options.heapBytesMax),
    ],
    stdio: ['ignore', 'ignore', 'pipe', 'pipe', 'pipe', 'ipc'],
  })
  const stderr = tailOf(child.stderr)
  let ended = false
  const end = (exit: ChildExit): void => {
    if (ended) return
    ended = true
    options.onExit(exit)
  }
  // `close` comes after `exit`, when stderr has been read to its end.
  child.on('close', (exitCode, signal) => end({ exitCode, signal, stderr: stderr() }))
  child.on('error', (error) => {
    if (child.pid === undefined) end({ exitCode: null, signal: null, stderr: error.message })
  })
  const lifeline = child.stdio[LIFELINE_FD]
  // It only ever closes; that the child has closed its end is what `close` above tells.
  if (lifeline instanceof Socket) lifeline.on('error', () => lifeline.destroy())
  const channel = child.stdio[CHANNEL_FD]
  invariant(channel instanceof Socket, 'a pipe of a child is a socket')
  return {
    pid: child.pid,
    channel,
    kill() {
      child.kill('SIGKILL')
    },
  }
}

function heapBound(bytes: number | undefined): string[] {
  return bytes === undefined ? [] : [`--max-old-space-size=${Math.ceil(bytes / 2 ** 20)}`]
}

function tailOf(stream: Readable | null): () => string {
  let tail = ''
  stream?.setEncoding('utf8')
  stream?.on('data', (text: string) => {
    tail = (tail + text).slice(-STDERR_CHARS_MAX)
  })
  return () => tail
}
