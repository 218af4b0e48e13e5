/**
 * One Lance table as `LanceTable`, opened with the first call.
 *
 * Writes go one after the other, each until it is durable. An index is built beside them: what is
 * written meanwhile is found without it. Reads go on beside everything.
 */

import { Index, type Session } from '@lancedb/lancedb'
import { openStore } from '../../buckets/open-store.ts'
import type {
  LanceAnswer,
  LanceBounds,
  LanceIndexKind,
  LancePage,
  LanceRows,
  LanceScroll,
  LanceSearch,
  LanceStats,
  LanceTable,
  LanceTableSpec,
  LanceVersion,
} from '../../domain/lance-table.ts'
import type { Include, StoredPoint } from '../../domain/search.ts'
import { VectordError } from '../../lib/errors.ts'
import { KeyedMutex } from '../../lib/keyed-mutex.ts'
import { filterSql } from './filter-sql.ts'
import { rowsNeeded, vectorIndexOf } from './index-plan.ts'
import { batchOf } from './lance-batch.ts'
import { lanceCall, noVersion } from './lance-faults.ts'
import { dropTable, LanceHandle } from './lance-handle.ts'
import * as reads from './lance-reads.ts'
import { ID_COLUMN, VECTOR_COLUMN } from './lance-schema.ts'
import { localTableFolder, tablePrefix } from './lance-storage.ts'
import { LocalDurability } from './local-durability.ts'

/**
 * Up to so many rows the ids of an upsert are looked for by a scan. Through the BTree 100 of them take
 * as long in 100,000 rows, and four times as long once some dozen appends are not in it.
 */
const SCANNED_ROWS_MAX = 300_000

interface Versioned {
  readonly version: number
}

/** Commits and their sync; and whoever rewrites files or indices. */
type Turn = 'write' | 'maintain'

export class LanceDataset implements LanceTable {
  readonly #session: Session
  readonly #turns = new KeyedMutex()
  #spec: LanceTableSpec
  #handle: Promise<LanceHandle> | null = null
  /** Null until the table was opened once, and in a bucket that stores durably by itself. */
  #durability: Promise<LocalDurability> | null = null

  constructor(spec: LanceTableSpec, session: Session) {
    this.#spec = spec
    this.#session = session
  }

  /** From the next call on: with these credentials, as a table of this dimension and metric. */
  use(spec: LanceTableSpec): void {
    if (JSON.stringify(spec) === JSON.stringify(this.#spec)) return
    this.#spec = spec
    this.#handle = null
  }

  /** Makes the table, empty, where there is none. */
  async create(): Promise<void> {
    await this.#turn('write', async () => {
      this.#handle = this.#open((spec, session) => LanceHandle.create(spec, session))
      await this.#settle(await this.#opened())
    })
  }

  /** Removes the table with all its versions; nothing happens where there is none. */
  async drop(): Promise<void> {
    await this.#turn('maintain', () =>
      this.#turn('write', async () => {
        this.#forget()
        await dropTable(this.#spec, this.#session)
        // A read may have opened it meanwhile: what it saw says nothing of a table that comes after.
        await this.#handle?.catch(() => undefined)
        this.#forget()
      }),
    )
  }

  async upsert(rows: LanceRows): Promise<Versioned> {
    if (rows.ids.length === 0) return this.#version()
    checkDistinct(rows.ids)
    return this.#commit(async ({ table }, next) => {
      const batch = batchOf(rows, this.#spec.dimension, next)
      const useIndex = (await table.countRows()) > SCANNED_ROWS_MAX
      const merge = table.mergeInsert(ID_COLUMN).whenMatchedUpdateAll().whenNotMatchedInsertAll()
      await merge.useIndex(useIndex).execute(batch)
    })
  }

  async append(rows: LanceRows): Promise<Versioned> {
    if (rows.ids.length === 0) return this.#version()
    return this.#commit(async ({ table }, next) => {
      await table.add(batchOf(rows, this.#spec.dimension, next))
    })
  }

  async delete(ids: readonly string[]): Promise<Versioned> {
    if (ids.length === 0) return this.#version()
    return this.#commit(async ({ table }) => {
      await table.delete(reads.idsSql(ids))
    })
  }

  async deleteMatching(filter: string): Promise<Versioned & { readonly deleted: number }> {
    const sql = filterSql(filter) ?? 'true'
    let deleted = 0
    const { version } = await this.#commit(async ({ table }) => {
      const { numDeletedRows } = await table.delete(sql)
      deleted = numDeletedRows
    })
    return { version, deleted }
  }

  search(search: LanceSearch, bounds?: LanceBounds): Promise<LanceAnswer> {
    return this.#read(search.asOf, bounds, (view) => reads.search(view, search))
  }

  fetch(
    ids: readonly string[],
    include: Include,
    asOf: number | null,
    bounds?: LanceBounds,
  ): Promise<Versioned & { readonly points: readonly (StoredPoint | null)[] }> {
    return this.#read(asOf, bounds, async (view) => ({
      points: await reads.fetchPoints(view, ids, include),
      version: view.version,
    }))
  }

  scroll(page: LanceScroll, bounds?: LanceBounds): Promise<LancePage> {
    return this.#read(page.asOf, bounds, (view) => reads.scroll(view, page))
  }

  count(
    filter: string | null,
    bounds?: LanceBounds,
  ): Promise<Versioned & { readonly count: number }> {
    return this.#read(null, bounds, async (view) => ({
      count: await reads.count(view, filter),
      version: view.version,
    }))
  }

  async sample(
    rows: number,
    seed: number,
    bounds?: LanceBounds,
  ): Promise<{ readonly ids: readonly string[]; readonly vectors: Float32Array }> {
    const { version } = await this.#version()
    return this.#read(version, bounds, (view) => reads.sample(view, rows, seed))
  }

  repeated(bounds?: LanceBounds): Promise<readonly string[]> {
    return this.#read(null, bounds, (view) => reads.repeated(view))
  }

  async buildIndex(kind: LanceIndexKind): Promise<Versioned> {
    const { dimension, metric } = this.#spec
    return this.#maintain(async ({ table }) => {
      const rows = await table.countRows()
      const needed = rowsNeeded(kind)
      if (rows < needed) throw tooFewRows(kind, rows, needed)
      const config = vectorIndexOf(kind, { rows, dimension, metric })
      await table.createIndex(VECTOR_COLUMN, { config, replace: true })
    })
  }

  async buildScalarIndex(): Promise<Versioned> {
    return this.#maintain(async ({ table }) => {
      await table.createIndex(ID_COLUMN, { config: Index.btree(), replace: true })
    })
  }

  /** Writers wait meanwhile: merging files and deleting in them exclude each other. */
  async optimize(olderThanMs: number): Promise<Versioned> {
    return this.#turn('maintain', async () => {
      const startedMs = Date.now()
      // The merged files are durable before those that they replace go.
      const { version } = await this.#commit(async ({ table }) => {
        await table.optimize({ cleanupOlderThan: new Date(0) })
      })
      await this.#turn('write', async () => {
        const handle = await this.#opened()
        const cleanupOlderThan = new Date(startedMs - Math.min(startedMs, Math.max(0, olderThanMs)))
        // In a bucket, files of no version may be those of another server that still writes.
        const deleteUnverified = this.#spec.bucket.backend === 'local'
        await handle.table.optimize({ cleanupOlderThan, deleteUnverified })
        handle.unpinAll()
        await this.#settle(handle)
      })
      return { version }
    })
  }

  async versions(): Promise<readonly LanceVersion[]> {
    return this.#call(async () => {
      const { table } = await this.#opened()
      const versions = await table.listVersions()
      return versions
        .map(({ version, timestamp }) => ({ version, createdMs: timestamp.getTime() }))
        .sort((a, b) => a.version - b.version)
    })
  }

  async stats(): Promise<LanceStats> {
    return this.#call(async () => {
      const { table } = await this.#opened()
      const version = await table.version()
      const [stats, indices, bytes] = await Promise.all([
        table.stats(),
        table.listIndices(),
        this.#storedBytes(),
      ])
      return {
        rows: stats.numRows,
        version,
        fragments: stats.fragmentStats.numFragments,
        bytes,
        indices: indices.map(({ name, columns, indexType, numIndexedRows, numUnindexedRows }) => ({
          name,
          column: columns.join(),
          kind: indexType,
          indexedRows: numIndexedRows ?? 0,
          unindexedRows: numUnindexedRows ?? 0,
        })),
      }
    })
  }

  async #storedBytes(): Promise<number> {
    const store = await openStore(this.#spec.bucket)
    try {
      let bytes = 0
      for await (const object of store.list(tablePrefix(this.#spec.index))) bytes += object.bytes
      return bytes
    } finally {
      await store.close()
    }
  }

  #version(): Promise<Versioned> {
    return this.#call(async () => {
      const { table } = await this.#opened()
      return { version: await table.version() }
    })
  }

  async #read<T>(
    asOf: number | null,
    bounds: LanceBounds | undefined,
    work: (view: reads.ReadView) => Promise<T>,
  ): Promise<T> {
    const { index, dimension, metric } = this.#spec
    return this.#call(async () => {
      const handle = await this.#opened()
      const table = asOf === null ? handle.table : await handle.at(asOf)
      const version = asOf ?? handle.version()
      const vectorIndex = await handle.vectorIndex(table, version)
      const deadlineMs = bounds?.deadlineMs ?? Infinity
      try {
        return await work({ table, version, dimension, metric, vectorIndex, deadlineMs })
      } catch (error) {
        // Its files may have been cleared away while it was read.
        if (asOf !== null && !(await isKept(handle, asOf))) throw noVersion(index, asOf)
        throw error
      }
    })
  }

  /** One commit, durable when this resolves. */
  #commit(work: (handle: LanceHandle, next: number) => Promise<void>): Promise<Versioned> {
    return this.#turn('write', async () => {
      const handle = await this.#opened()
      await work(handle, (await handle.table.version()) + 1)
      return { version: await this.#settle(handle) }
    })
  }

  /** Work beside writes whose commit is made durable in turn with them. */
  #maintain(work: (handle: LanceHandle) => Promise<void>): Promise<Versioned> {
    return this.#turn('maintain', async () => {
      const handle = await this.#opened()
      await work(handle)
      return this.#turn('write', async () => ({ version: await this.#settle(handle) }))
    })
  }

  #turn<T>(turn: Turn, work: () => Promise<T>): Promise<T> {
    return this.#turns.run(turn, () => this.#call(work))
  }

  #call<T>(work: () => Promise<T>): Promise<T> {
    return lanceCall(this.#spec.index, work)
  }

  /** Makes what was committed durable. @returns the version that the table stands at. */
  async #settle(handle: LanceHandle): Promise<number> {
    const version = await handle.committed()
    const durability = await this.#durability
    await durability?.synced(version)
    return version
  }

  #forget(): void {
    this.#handle = null
    this.#durability = null
  }

  async #open(
    how: (spec: LanceTableSpec, session: Session) => Promise<LanceHandle>,
  ): Promise<LanceHandle> {
    const { bucket, index } = this.#spec
    if (bucket.backend === 'local') await this.#takeOn(localTableFolder(bucket.root, index))
    return how(this.#spec, this.#session)
  }

  /** Once in the life of this process: what it has not synced later on is still under way. */
  async #takeOn(folder: string): Promise<void> {
    const opening = (this.#durability ??= LocalDurability.open(folder))
    try {
      await opening
    } catch (error) {
      if (this.#durability === opening) this.#durability = null
      throw error
    }
  }

  /** A handle that could not be had is asked for again by the next call. */
  async #opened(): Promise<LanceHandle> {
    const handle = (this.#handle ??= this.#open((spec, session) => LanceHandle.open(spec, session)))
    try {
      return await handle
    } catch (error) {
      if (this.#handle === handle) this.#handle = null
      throw error
    }
  }
}

async function isKept(handle: LanceHandle, version: number): Promise<boolean> {
  const versions = await handle.table.listVersions()
  return versions.some((kept) => kept.version === version)
}

function checkDistinct(ids: readonly string[]): void {
  if (new Set(ids).size === ids.length) return
  throw new VectordError('invalid_points', 'The rows have an id twice.')
}

function tooFewRows(kind: LanceIndexKind, rows: number, needed: number): VectordError {
  const text = `An index of kind ${kind} needs ${needed} rows; the table has ${rows}.`
  return new VectordError('lance_too_few_rows', text, { details: { kind, rows, needed } })
}
