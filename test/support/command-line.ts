/**
 * `vectord` as somebody runs it: a process of its own, with pipes, and no terminal.
 */

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { resolve } from 'node:path'
import { text } from 'node:stream/consumers'

const PROGRAM = resolve(import.meta.dirname, '../../cli/vectord.mjs')

export interface Ran {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

export interface RunOptions {
  /** Standard input; nothing without it. */
  readonly input?: string | Uint8Array
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
  /** Control-C, once standard error has said this. */
  readonly interruptAfter?: RegExp
}

export async function vectord(args: readonly string[], options: RunOptions = {}): Promise<Ran> {
  const child = spawn(process.execPath, [PROGRAM, ...args], {
    env: { PATH: process.env['PATH'], ...options.env },
    ...(options.cwd !== undefined && { cwd: options.cwd }),
  })
  // It may end before it has read its input.
  child.stdin.on('error', () => undefined)
  child.stdin.end(options.input ?? '')
  let heard = ''
  let isInterrupted = false
  child.stderr.on('data', (piece: Buffer) => {
    heard += piece.toString()
    if (isInterrupted || options.interruptAfter?.test(heard) !== true) return
    isInterrupted = true
    child.kill('SIGINT')
  })
  const [[code], out, err] = await Promise.all([
    once(child, 'close') as Promise<[number | null]>,
    text(child.stdout),
    text(child.stderr),
  ])
  return { code, out, err }
}
