/**
 * Long work on Lance indexes as operations: indices, merging of files, recall, migrations.
 *
 * Of one kind one runs on an index at a time; what changes the indices of a table waits for what
 * measures it, and the other way round.
 */

import { LANCE_DEFAULTS } from '../domain/lance-settings.ts'
import type { LanceIndexKind } from '../domain/lance-table.ts'
import type { IndexRegistry } from '../indexes/index-registry.ts'
import { KeyedMutex } from '../lib/keyed-mutex.ts'
import type { IndexBackend } from '../indexes/index-api.ts'
import type { LanceMigrations, Migration } from './lance-migrations.ts'
import type { LanceRecall, LanceRecallReport, LanceRecallWish } from './lance-recall.ts'
import type { Operation, OperationControl } from './operation.ts'
import type { OperationKind, Operations } from './operations.ts'

export interface LanceIndexWish {
  readonly kind: LanceIndexKind
  /** How its settings are chosen once it is there. */
  readonly recall: LanceRecallWish
}

export interface LanceBuilt {
  readonly version: number
  readonly kind: LanceIndexKind
  /** Null where nothing was asked for, or there are too few rows to ask. */
  readonly recall: LanceRecallReport | null
}

/** As JSON. */
export interface MigrationReport {
  readonly index: string
  readonly backend: IndexBackend
  readonly bucket: string
  readonly points: number
  readonly source: string
  readonly source_lsn: number
}

interface Versioned {
  readonly version: number
}

export interface LanceWorkOptions {
  readonly operations: Operations
  readonly indexes: Pick<IndexRegistry, 'lanceIndex' | 'update'>
  readonly migrations: LanceMigrations
  readonly recall: LanceRecall
  /** Age from which versions are dropped. */
  readonly versionsKeptMs: number
}

export class LanceWork {
  readonly #options: LanceWorkOptions
  readonly #builds: OperationKind<LanceBuilt>
  readonly #recalls: OperationKind<LanceRecallReport>
  readonly #scalars: OperationKind<Versioned>
  readonly #optimizations: OperationKind<Versioned>
  readonly #migrations: OperationKind<MigrationReport>

  constructor(options: LanceWorkOptions) {
    const { operations } = options
    const turns = new KeyedMutex()
    this.#options = options
    this.#builds = operations.ofKind('lance_index', turns)
    this.#recalls = operations.ofKind('lance_recall', turns)
    this.#scalars = operations.ofKind('lance_scalar_index', turns)
    this.#optimizations = operations.ofKind('lance_optimize', turns)
    this.#migrations = operations.ofKind('lance_migrate')
  }

  /** Builds an index of the vectors, and chooses its settings. */
  build(name: string, wish: LanceIndexWish): Operation<LanceBuilt> {
    const { kind, recall } = wish
    const { indexes } = this.#options
    return this.#builds.start(
      name,
      async (control) => {
        control.progress('building')
        const index = indexes.lanceIndex(name)
        const { version } = await index.maintain(() => index.table.buildIndex(kind))
        const settings = { ...LANCE_DEFAULTS, indexKind: kind }
        const reason = `an index of kind ${kind} was built`
        await indexes.update(name, { lance: settings }, { ifRevision: null, by: recall.by, reason })
        const chosen = recall.solve ? await this.#options.recall.run(name, recall, control) : null
        return { version, kind, recall: chosen }
      },
      JSON.stringify(wish),
    )
  }

  recall(name: string, wish: LanceRecallWish): Operation<LanceRecallReport> {
    const { recall } = this.#options
    const subject = JSON.stringify(wish)
    return this.#recalls.start(name, (control) => recall.run(name, wish, control), subject)
  }

  buildScalar(name: string): Operation<Versioned> {
    return this.#scalars.start(name, async ({ progress }) => {
      progress('building')
      const index = this.#options.indexes.lanceIndex(name)
      return index.maintain(() => index.table.buildScalarIndex())
    })
  }

  /** Merges files, takes new rows into the indices, drops old versions. */
  optimize(name: string): Operation<Versioned> {
    return this.#optimizations.start(name, async ({ progress }) => {
      progress('merging')
      const index = this.#options.indexes.lanceIndex(name)
      return index.maintain(() => index.table.optimize(this.#options.versionsKeptMs))
    })
  }

  /** @throws {VectordError} as `LanceMigrations.check`. */
  migrate(source: string, wish: Migration): Operation<MigrationReport> {
    const { migrations } = this.#options
    migrations.check(source, wish)
    const subject = JSON.stringify(wish)
    const work = async (control: OperationControl): Promise<MigrationReport> => {
      const { index, points, sourceLsn } = await migrations.run(source, wish, control)
      const { name, backend, bucket } = index.info
      return { index: name, backend, bucket, points, source, source_lsn: sourceLsn }
    }
    return this.#migrations.start(source, work, subject)
  }
}
