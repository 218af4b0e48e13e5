/**
 * A child process that answers calls one at a time: load generators and the bare loop.
 *
 * Each kind is a pair of files: `x.ts` has the types and is imported, `x-worker.ts` runs in the
 * child and calls `serve`.
 */

import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'

interface Failure {
  readonly failed: string
}

interface Waiting {
  readonly resolve: (answer: unknown) => void
  readonly reject: (error: Error) => void
}

export class WorkerProcess<Call extends object, Answer> {
  readonly #child: ChildProcess
  readonly #name: string
  #waiting: Waiting | null = null

  constructor(script: URL, execArgv: readonly string[] = []) {
    this.#name = script.pathname.split('/').at(-1) ?? ''
    this.#child = fork(script, { execArgv: [...execArgv], serialization: 'advanced' })
    this.#child.on('message', (answer) => this.#take()?.resolve(answer))
    this.#child.on('error', (error) => this.#take()?.reject(error))
    this.#child.on('exit', () => this.#take()?.reject(new Error(`${this.#name} ended`)))
  }

  /** @throws what the child threw, and where it ended. */
  async call(message: Call): Promise<Answer> {
    const answer = await new Promise<unknown>((resolve, reject) => {
      this.#waiting = { resolve, reject }
      this.#child.send(message)
    })
    if (isFailure(answer)) throw new Error(`${this.#name}: ${answer.failed}`)
    return answer as Answer
  }

  async close(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const exited = once(this.#child, 'exit')
    this.#child.kill()
    await exited
  }

  #take(): Waiting | null {
    const waiting = this.#waiting
    this.#waiting = null
    return waiting
  }
}

/** In the child: answers each call with what `handle` gives. Ends when the parent does. */
export function serve(handle: (message: never) => unknown): void {
  const run = async (message: never): Promise<void> => {
    const answer = await Promise.resolve()
      .then(() => handle(message))
      .catch((error: unknown): Failure => ({
        failed: error instanceof Error ? (error.stack ?? error.message) : String(error),
      }))
    process.send?.(answer)
  }
  process.on('message', (message) => void run(message as never))
  process.on('disconnect', () => process.exit())
}

function isFailure(answer: unknown): answer is Failure {
  return typeof answer === 'object' && answer !== null && 'failed' in answer
}
