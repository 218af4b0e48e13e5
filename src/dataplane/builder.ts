/**
 * The front's side of one builder process.
 *
 *     started with the first job ──▶ serves one session after the other ──idle──▶ ended
 *
 * Whoever is cancelled ends the process: native code that builds a graph cannot be stopped otherwise.
 * A builder that dies fails the job that it had, and nothing else.
 */

import { rm } from 'node:fs/promises'
import {
  benchFolder,
  type Dataset,
  type WorkbenchJob,
  type WorkbenchJobs,
} from '../domain/workbench.ts'
import { VectordError } from '../lib/errors.ts'
import { startChild, type Child, type ChildExit } from '../processes/child.ts'
import { datasetKey, type BuilderProgress } from './builder-jobs.ts'
import type { DataplaneLog } from './core-status.ts'
import { fromWireError, type WireError } from './error-codec.ts'
import { FRAME, type Frame } from './frame.ts'
import { FrameChannel } from './frame-channel.ts'
import { readJson, writeJson } from './shard-codec.ts'

const ENTRY = new URL('builder-main.ts', import.meta.url)

interface Waiting {
  readonly resolve: (answer: unknown) => void
  readonly reject: (error: unknown) => void
  readonly onProgress: (progress: BuilderProgress) => void
}

export class Builder {
  readonly #log: DataplaneLog
  readonly #child: Child
  readonly #channel: FrameChannel
  readonly #waiting = new Map<number, Waiting>()
  readonly #ended = Promise.withResolvers<null>()
  /** Where its process may have left files. */
  readonly #folders = new Set<string>()
  #lastId = 0
  #dataset = ''
  #isOver = false
  #isKilled = false

  /** @param niceness of its process, as the system counts it: 0 is that of everybody else. */
  constructor(niceness: number, log: DataplaneLog) {
    this.#log = log
    const args = [String(niceness)]
    this.#child = startChild({ module: ENTRY, args, onExit: (exit) => this.#exited(exit) })
    this.#channel = new FrameChannel(this.#child.channel, {
      onFrame: (frame) => this.#receive(frame),
      onClose: () => this.#child.kill(),
    })
  }

  get pid(): number | null {
    return this.#child.pid ?? null
  }

  /** The process has ended, or is about to. */
  get isOver(): boolean {
    return this.#isOver
  }

  /** True where it holds the points already. */
  holds(dataset: Dataset): boolean {
    return this.#dataset === datasetKey(dataset)
  }

  /** @throws {VectordError} what the job failed with; `builder_failed` where the process ended. */
  run<K extends WorkbenchJob>(
    dataset: Dataset,
    job: { readonly kind: K; readonly request: WorkbenchJobs[K]['request'] },
    onProgress: (progress: BuilderProgress) => void,
  ): Promise<WorkbenchJobs[K]['answer']> {
    return new Promise((resolve, reject) => {
      if (this.#isOver) throw gone('')
      this.#lastId += 1
      const id = this.#lastId
      // The builder answers a job of this kind with what the table of jobs says.
      const settle = (answer: unknown): void => resolve(answer as WorkbenchJobs[K]['answer'])
      this.#waiting.set(id, { resolve: settle, reject, onProgress })
      this.#dataset = datasetKey(dataset)
      this.#folders.add(benchFolder(dataset, this.pid ?? 0))
      const { writer } = this.#channel
      writer.begin({ type: FRAME.job, id, flags: 0, shard: 0, deadlineMs: Infinity })
      writeJson(writer, { dataset, job })
      writer.end()
      this.#channel.flushSoon()
    })
  }

  /** Ends the process now; resolves when it is gone. */
  async end(): Promise<void> {
    this.#isOver = true
    this.#isKilled = true
    this.#child.kill()
    await this.#ended.promise
  }

  #receive(frame: Frame): void {
    const waiting = this.#waiting.get(frame.id)
    if (waiting === undefined) return
    if (frame.type === FRAME.progress) {
      waiting.onProgress(readJson(frame.body) as BuilderProgress)
      return
    }
    this.#waiting.delete(frame.id)
    if (frame.type === FRAME.answer) waiting.resolve(readJson(frame.body))
    else waiting.reject(fromWireError(readJson(frame.body) as WireError))
  }

  #exited({ exitCode, signal, stderr }: ChildExit): void {
    this.#isOver = true
    const waiting = [...this.#waiting.values()]
    this.#waiting.clear()
    if (!this.#isKilled) {
      this.#log('error', { pid: this.pid, exitCode, signal, stderr }, 'builder died')
    }
    for (const { reject } of waiting) reject(gone(signal ?? String(exitCode)))
    void this.#clear().then(() => this.#ended.resolve(null))
  }

  /** A process that was killed clears nothing away itself. */
  async #clear(): Promise<void> {
    for (const folder of this.#folders) {
      try {
        await rm(folder, { recursive: true, force: true })
      } catch (error) {
        this.#log('warn', { folder, err: error }, 'files of a builder stay')
      }
    }
  }
}

function gone(how: string): VectordError {
  return new VectordError('builder_failed', 'The builder process ended before its work was done.', {
    details: { how },
    retryAfterS: 1,
  })
}
