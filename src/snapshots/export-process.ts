/**
 * The front's side of one export process.
 */

import { rm } from 'node:fs/promises'
import { startChild, type Child } from '../processes/child.ts'
import { writeMessage } from '../processes/message-pipe.ts'
import type { ExportJob } from './export-job.ts'
import { receiveExport, type Received } from './export-wire.ts'

const ENTRY = new URL('export-main.ts', import.meta.url)

export class ExportProcess {
  /** What it sends; throws what it failed with. To be read by one reader. */
  readonly received: AsyncGenerator<Received, undefined>
  readonly #child: Child
  readonly #scratch: string
  readonly #exited = Promise.withResolvers<null>()
  #ending: Promise<void> | null = null

  /** Starts it; the job goes over its channel, for it may hold credentials. */
  constructor(job: ExportJob) {
    this.#scratch = job.scratch
    this.#child = startChild({
      module: ENTRY,
      args: [],
      onExit: () => {
        this.#exited.resolve(null)
      },
    })
    this.received = receiveExport(this.#child.channel)
    writeMessage(this.#child.channel, job)
  }

  /** Resolves when the process is gone, in whatever way. */
  get ended(): Promise<null> {
    return this.#exited.promise
  }

  /** Ends it, whatever it does; resolves when it is gone and its files too. Idempotent. */
  end(): Promise<void> {
    this.#ending ??= this.#end()
    return this.#ending
  }

  async #end(): Promise<void> {
    this.#child.kill()
    await this.#exited.promise
    await rm(this.#scratch, { recursive: true, force: true })
  }
}
