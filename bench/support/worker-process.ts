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

export class WorkerProcess<Call, Answer> {
  readonly #child: ChildProcess
  readonly #name: string

  constructor(script: URL, execArgv: readonly string[] = []) {
    this.#name = script.pathname.split('/').at(-1) ?? ''
    this.#child = fork(script, { execArgv: [...execArgv], serialization: 'advanced' })
  }

  /** @throws what the child threw, and where it ended. */
  async call(message: Call): Promise<Answer> {
    const answered = once(this.#child, 'message')
    const ended = once(this.#child, 'exit')
    this.#child.send(message as object)
    const first = await Promise.race([answered, ended.then(() => null)])
    if (first === null) throw new Error(`${this.#name} ended`)
    const [answer] = first as [Answer | Failure]
    if (isFailure(answer)) throw new Error(`${this.#name}: ${answer.failed}`)
    return answer
  }

  async close(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const exited = once(this.#child, 'exit')
    this.#child.kill()
    await exited
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
