/**
 * Builders that work inside the test's own process, over a store of the test: what a builder process
 * does, without one. Only one data set is open at a time, as in a process.
 */

import type { ObjectStore } from '../../src/buckets/object-store.ts'
import type { AnyJob } from '../../src/dataplane/builder-jobs.ts'
import { runJob } from '../../src/dataplane/run-job.ts'
import type { Builders } from '../../src/dataplane/builders.ts'
import type { Dataset } from '../../src/domain/workbench.ts'
import { Workbench } from '../../src/shard/workbench.ts'

type Session = Builders['session']
type Work<T> = Parameters<Session>[2] extends (session: infer S) => unknown
  ? (session: S) => Promise<T>
  : never

export class InlineBuilders implements Pick<Builders, 'session'> {
  readonly #store: ObjectStore
  /** Kinds of the jobs that were asked for. */
  readonly jobs: string[] = []
  /** Data sets that were opened. */
  opened = 0
  /** Called before each job and each loading; throws what the builder shall fail with. */
  before: (kind: AnyJob['kind'] | 'load') => Promise<void> | void = () => undefined

  constructor(store: ObjectStore) {
    this.#store = store
  }

  async session<T>(
    { shards }: Dataset,
    { signal, onProgress = () => undefined }: Parameters<Session>[1],
    work: Work<T>,
  ): Promise<T> {
    let bench: Workbench | null = null
    try {
      signal.throwIfAborted()
      return await work({
        run: async (kind, request) => {
          if (bench === null) {
            await this.before('load')
            bench = await Workbench.open(shards, this.#store, () => undefined)
            this.opened += 1
          }
          signal.throwIfAborted()
          this.jobs.push(kind)
          await this.before(kind)
          signal.throwIfAborted()
          onProgress({ stage: kind, fraction: 0.5 })
          // The table of jobs says that kind and request belong together, and so does the answer.
          return (await runJob(
            bench,
            { kind, request } as unknown as AnyJob,
            () => undefined,
          )) as never
        },
      })
    } catch (error) {
      throw signal.aborted ? signal.reason : error
    } finally {
      await (bench as Workbench | null)?.close()
    }
  }
}
