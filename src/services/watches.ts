/**
 * All watched prefixes: what routes may ask of them, and the clock that lets each look.
 *
 * Servers that share the primary bucket all look: what one has noted the others see, and a file that
 * two take at the same time is in an index and in a dataset once all the same.
 */

import type { ObjectStore } from '../buckets/object-store.ts'
import type { Revision } from '../buckets/revisioned-document.ts'
import { checkPrefix } from '../buckets/object-key.ts'
import { checkPrefixOf, type Watch } from '../ingest/watch.ts'
import type { WatchAuthor, WatchFault, WatchStore } from '../ingest/watch-store.ts'
import { ATTEMPTS_MAX, type FileNote } from '../ingest/watched-files.ts'
import { VectordError } from '../lib/errors.ts'
import { KeyedMutex } from '../lib/keyed-mutex.ts'
import { Periodic } from '../lib/periodic.ts'
import { WatchRunner, type WatchRunnerOptions, type WatchScan } from './watch-runner.ts'

const TICK_MS = 500
/** How often it is read anew which prefixes are watched: another server may have changed them. */
const REFRESH_MS = 60_000
/** Failed files that an answer lists; it counts them all. */
const FAILURES_MAX = 100

export interface WatchesOptions extends WatchRunnerOptions {
  readonly bucket: (name: string) => ObjectStore
}

export interface WatchView {
  readonly stored: Revision<Watch>
  readonly scan: WatchScan
  readonly current: string | null
  readonly done: number
  readonly failed: number
  /** Failed files that are not tried any more unless somebody asks for it. */
  readonly givenUp: number
  /** Those that failed last come first. */
  readonly failures: readonly FileNote[]
}

export class Watches {
  readonly #options: WatchesOptions
  readonly #store: WatchStore
  readonly #runners = new Map<string, WatchRunner>()
  readonly #turns = new KeyedMutex()
  readonly #ticks: Periodic
  readonly #refreshes: Periodic

  constructor(options: WatchesOptions) {
    this.#options = options
    this.#store = options.store
    this.#ticks = new Periodic(
      async () => {
        for (const runner of this.#runners.values()) runner.tick()
      },
      tell(options, 'let watched prefixes look'),
    )
    this.#refreshes = new Periodic(() => this.refresh(), tell(options, 'read the watched prefixes'))
  }

  start(): void {
    this.#refreshes.start(REFRESH_MS)
    this.#ticks.start(TICK_MS)
  }

  async close(): Promise<void> {
    await this.#ticks.close()
    await this.#refreshes.close()
    const reason = new VectordError('shutting_down', 'The service is shutting down.')
    await Promise.all([...this.#runners.values()].map((runner) => runner.close(reason)))
  }

  /** Takes over which prefixes are watched. */
  async refresh(): Promise<void> {
    await this.#turns.run('', async () => {
      const { watches } = await this.#store.list()
      for (const { document } of watches) this.#watch(document)
      const names = new Set(watches.map(({ document }) => document.name))
      for (const name of [...this.#runners.keys()]) if (!names.has(name)) await this.#unwatch(name)
    })
  }

  async list(): Promise<{
    readonly watches: readonly WatchView[]
    readonly faults: readonly WatchFault[]
  }> {
    const { watches, faults } = await this.#store.list()
    return { watches: await Promise.all(watches.map((stored) => this.#view(stored))), faults }
  }

  /** @throws {VectordError} `watch_not_found`. */
  async get(name: string): Promise<WatchView> {
    return this.#view(await this.#store.get(name))
  }

  /**
   * Makes or replaces a watch; it looks soon. Files that were taken before stay taken.
   *
   * @throws {VectordError} `bad_request`, `bucket_not_found`, `revision_mismatch`, `limit_exceeded`.
   */
  put(
    watch: Watch,
    author: WatchAuthor,
  ): Promise<{ readonly view: WatchView; readonly isNew: boolean }> {
    checkPrefix(watch.prefix)
    checkPrefixOf(watch)
    this.#options.bucket(watch.bucket)
    return this.#turns.run('', async () => {
      const { stored, isNew } = await this.#store.put(watch, author)
      this.#watch(stored.document)
      return { view: await this.#view(stored), isNew }
    })
  }

  /** Stops what it has under way. @throws {VectordError} `watch_not_found`, `revision_mismatch`. */
  remove(name: string, author: WatchAuthor): Promise<void> {
    return this.#turns.run('', async () => {
      await this.#store.get(name)
      await this.#unwatch(name)
      try {
        await this.#store.remove(name, author)
      } catch (error) {
        // It is still there, and goes on.
        this.#watch((await this.#store.get(name)).document)
        throw error
      }
    })
  }

  /** Tries all failed files again. @returns how many. @throws {VectordError} `watch_not_found`. */
  async retry(name: string): Promise<number> {
    const { document } = await this.#store.get(name)
    return this.#watch(document).retry()
  }

  #watch(watch: Watch): WatchRunner {
    const known = this.#runners.get(watch.name)
    if (known === undefined) {
      const runner = new WatchRunner(watch, this.#options)
      this.#runners.set(watch.name, runner)
      return runner
    }
    if (JSON.stringify(known.watch) !== JSON.stringify(watch)) known.change(watch)
    return known
  }

  async #unwatch(name: string): Promise<void> {
    const runner = this.#runners.get(name)
    this.#runners.delete(name)
    const message = `The watch "${name}" was removed.`
    await runner?.close(new VectordError('operation_cancelled', message))
  }

  async #view(stored: Revision<Watch>): Promise<WatchView> {
    const runner = this.#runners.get(stored.document.name)
    const notes = await (runner?.notes() ?? this.#store.files(stored.document.name))
    const failed = [...notes.values()].filter(({ state }) => state === 'failed')
    return {
      stored,
      scan: runner?.scan ?? { endedMs: null, error: null, growing: 0, ignored: 0, isCut: false },
      current: runner?.current ?? null,
      done: notes.size - failed.length,
      failed: failed.length,
      givenUp: failed.filter(({ attempts }) => attempts === ATTEMPTS_MAX).length,
      failures: failed.sort((a, b) => b.endedMs - a.endedMs).slice(0, FAILURES_MAX),
    }
  }
}

function tell({ onTrouble }: WatchesOptions, what: string): (error: unknown) => void {
  return (error) => {
    onTrouble(error, what)
  }
}
