/**
 * Rebuilds and compactions of indexes as operations: one at a time on each index, the newest wish
 * wins.
 *
 * What a rebuild is for is read when it begins: a promotion that comes while one runs cancels it and
 * starts the next, which sees the promotion.
 */

import { compactIndex } from '../indexes/compact.ts'
import { rebuild, type RebuildParts, type RebuildWish, type Rebuilt } from '../indexes/rebuild.ts'
import type { ServedIndex } from '../indexes/served-index.ts'
import { VectordError } from '../lib/errors.ts'
import { KeyedMutex } from '../lib/keyed-mutex.ts'
import type { Operation, OperationControl } from './operation.ts'
import type { OperationKind, Operations } from './operations.ts'

export interface RebuildsOptions extends RebuildParts {
  readonly operations: Operations
  /** @throws {VectordError} `index_not_found`. */
  readonly served: (index: string) => ServedIndex
  /** Name of the graph of what is promoted; null where there is none. */
  readonly promotedGraph: (index: string) => string | null
  /** Share of dead elements from which on a kept graph is given up by a compaction. */
  readonly deadShareMax: number
  readonly nowMs: () => number
}

/** What a compaction did, as clients are told. */
export interface CompactedJson extends Rebuilt {
  readonly rows_dropped: number
  readonly graphs_dropped: number
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
  readonly #rebuilds: OperationKind<Rebuilt>
  readonly #compactions: OperationKind<CompactedJson>
  /** Of each index, the operation that was started last. */
  readonly #last = new Map<string, Pick<Operation<object>, 'state' | 'endedMs' | 'cancel'>>()

  constructor(options: RebuildsOptions) {
    this.#options = options
    const turns = new KeyedMutex()
    this.#rebuilds = options.operations.ofKind('rebuild', turns)
    this.#compactions = options.operations.ofKind('compaction', turns)
  }

  /** @throws {VectordError} `shutting_down`. */
  start(index: string, { always, supersede }: RebuildOptions): Operation<Rebuilt> {
    if (supersede) this.#last.get(index)?.cancel(superseded(index))
    const operation = this.#rebuilds.start(index, (control) =>
      rebuild(this.#options.served(index), this.#options, this.#wish(index, always), control),
    )
    this.#last.set(index, operation)
    return operation
  }

  /**
   * Frees the index of its dead points. A change of the configuration ends it and builds anew.
   *
   * @param options.graph false leaves the graph as it is.
   * @throws {VectordError} `shutting_down`.
   */
  compact(index: string, { graph }: { readonly graph: boolean }): Operation<CompactedJson> {
    const { served, deadShareMax } = this.#options
    const subject = graph ? 'all' : 'rows'
    const work = async (control: OperationControl): Promise<CompactedJson> => {
      const wish = { graph: graph ? this.#wish(index, true) : null, deadShareMax }
      const compacted = await compactIndex(served(index), this.#options, wish, control)
      const { rowsDropped, graphsDropped, ...rebuilt } = compacted
      return { ...rebuilt, rows_dropped: rowsDropped, graphs_dropped: graphsDropped }
    }
    const operation = this.#compactions.start(index, work, subject)
    this.#last.set(index, operation)
    return operation
  }

  /** True while a rebuild or a compaction of the index waits or runs. */
  isOpen(index: string): boolean {
    return this.#rebuilds.isOpen(index) || this.#compactions.isOpen(index)
  }

  /** False while one waits or runs, and for a while after one that failed. */
  mayRetry(index: string): boolean {
    const last = this.#last.get(index)
    if (last === undefined || last.state === 'succeeded') return true
    const { endedMs } = last
    return endedMs !== null && this.#options.nowMs() - endedMs >= RETRY_MS
  }

  /** As of now: a promotion that came while the operation waited counts. */
  #wish(index: string, always: boolean): RebuildWish {
    const { served, promotedGraph } = this.#options
    const config = served(index).steering.config.hnsw
    return { config, graphId: promotedGraph(index), always }
  }
}

function superseded(index: string): VectordError {
  return new VectordError(
    'operation_cancelled',
    'A later change of the configuration took the place of this rebuild.',
    { details: { index } },
  )
}
