/**
 * Runs a program of the machine to its end and answers what it printed.
 *
 * Without a shell, with a time limit and a bound on its output; what does not end in time is killed.
 */

import { execFile } from 'node:child_process'

const OUTPUT_BYTES_MAX = 64 * 1024

export type ProgramResult =
  | { readonly kind: 'done'; readonly output: string }
  /** There is no such program here. */
  | { readonly kind: 'absent' }
  | { readonly kind: 'failed'; readonly reason: string }

export interface ProgramOptions {
  readonly args: readonly string[]
  readonly timeoutMs: number
}

/** @param program its path, or a name that is looked for in PATH. */
export function runProgram(
  program: string,
  { args, timeoutMs: timeout }: ProgramOptions,
): Promise<ProgramResult> {
  const options = { timeout, maxBuffer: OUTPUT_BYTES_MAX, killSignal: 'SIGKILL' } as const
  return new Promise((resolve) => {
    execFile(program, args, options, (error, output) => {
      if (error === null) resolve({ kind: 'done', output })
      else if (error.code === 'ENOENT') resolve({ kind: 'absent' })
      else resolve({ kind: 'failed', reason: reasonOf(error, timeout) })
    })
  })
}

function reasonOf(error: Error & { code?: unknown; killed?: boolean }, timeoutMs: number): string {
  if (error.code === 'ERR_CHILD_PROCESS_STDIO_MAXBUFFER') return 'it printed too much'
  if (error.killed === true) return `it did not end within ${timeoutMs} ms`
  return `it ended with ${String(error.code)}`
}
