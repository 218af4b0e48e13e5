/**
 * Rebuilds of indexes as operations: one at a time on each index, the newest wish wins.
 *
 * What a rebuild is for is read when it begins: a promotion that comes while one runs cancels it and
 * starts the next, which sees the promotion.
 */

import { rebuild, type RebuildParts, type Rebuilt } from '../indexes/rebuild.ts'
import type { ServedIndex } from '../indexes/served-index.ts'
import { VectordError } from '../lib/errors.ts'
import type { Operation } from './operation.ts'
import type { OperationKind, Operations } from './operations.ts'

export interface RebuildsOptions extends RebuildParts {
  readonly operations: Operations
  /** @throws {VectordError} `index_not_found`. */
  readonly served: (index: string) => ServedIndex
  /** Name of the graph of what is promoted; null where there is none. */
  readonly promotedGraph: (index: string) => string | null
  readonly nowMs: () => number
}

/** The wait after a rebuild that failed or was cancelled. */
const RETRY_MS = 60_000

export interface RebuildOptions {
  /** A new graph also where the published one has the wanted configuration. */
  readonly always: boolean
  /** Ends a rebuild that runs, instead of waiting for it. */
  readonly supersede: boolean
}

export class Rebuilds {
  readonly #options: RebuildsOptions
  readonly #kind: OperationKind<Rebuilt>
  /** Of each index, the operation that was started last. */
  readonly #last = new Map<string, Operation<Rebuilt>>()

  constructor(options: RebuildsOptions) {
    this.#options = options
    this.#kind = options.operations.ofKind('rebuild')
  }

  /** @throws {VectordError} `shutting_down`. */
  start(index: string, { always, supersede }: RebuildOptions): Operation<Rebuilt> {
    if (supersede) this.#last.get(index)?.cancel(superseded(index))
    const { served, promotedGraph } = this.#options
    const operation = this.#kind.start(index, ({ signal, progress }) => {
      const rebuilt = served(index)
      const wish = { config: rebuilt.steering.config.hnsw, graphId: promotedGraph(index), always }
      return rebuild(rebuilt, this.#options, wish, { signal, progress })
    })
    this.#last.set(index, operation)
    return operation
  }

  /** False while one waits or runs, and for a while after one that failed. */
  mayRetry(index: string): boolean {
    const last = this.#last.get(index)
    if (last === undefined || last.state === 'succeeded') return true
    const { endedMs } = last
    return endedMs !== null && this.#options.nowMs() - endedMs >= RETRY_MS
  }
}

function superseded(index: string): VectordError {
  return new VectordError(
    'operation_cancelled',
    'A later change of the configuration took the place of this rebuild.',
    { details: { index } },
  )
}
