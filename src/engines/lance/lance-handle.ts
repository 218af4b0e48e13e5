/**
 * A Lance table that is open: the handle of the newest version, and a few of older ones.
 */

import { connect, type Connection, type Session, type Table } from '@lancedb/lancedb'
import * as files from 'node:fs/promises'
import { hasErrno } from '../../buckets/errno.ts'
import { syncFolder } from '../../buckets/local-files.ts'
import type { LanceIndexKind, LanceTableSpec } from '../../domain/lance-table.ts'
import type { BucketSpec } from '../../domain/shard-spec.ts'
import { VectordError } from '../../lib/errors.ts'
import { noTable, noVersion, saysNoTable, saysNoVersion } from './lance-faults.ts'
import { checkSchema, VECTOR_COLUMN, tableSchema } from './lance-schema.ts'
import { locationOf } from './lance-storage.ts'

/** Handles of older versions that stay open. */
const PINNED_MAX = 8

/**
 * Seconds after which a read looks for commits of other servers. Own commits are seen at once; to look
 * each time would double what a small read takes.
 */
const CONSISTENCY_S = 1

/** The names that LanceDB has for them. */
const KINDS: Readonly<Record<string, LanceIndexKind>> = {
  IvfPq: 'ivf_pq',
  IvfHnswSq: 'ivf_hnsw_sq',
}

export class LanceHandle {
  readonly table: Table
  readonly #index: string
  readonly #connection: Connection
  readonly #pinned = new Map<number, Promise<Table>>()
  /** Every read of `table` sees it: what is known of the newest version, which only grows. */
  #version: number
  #isAsking = false
  /** The index of the vectors, as of a version. */
  readonly #kinds = new Map<Table, { version: number; kind: LanceIndexKind | null }>()

  private constructor(
    index: string,
    connection: Connection,
    newest: { readonly table: Table; readonly version: number },
  ) {
    this.#connection = connection
    this.#index = index
    this.table = newest.table
    this.#version = newest.version
  }

  /** @throws {VectordError} `index_not_found`, `object_corrupt`. */
  static async open(spec: LanceTableSpec, session: Session): Promise<LanceHandle> {
    const { bucket, index, dimension } = spec
    const connection = await connectTo(bucket, session)
    const table = await opened(connection, index)
    checkSchema(await table.schema(), index, dimension)
    return new LanceHandle(index, connection, { table, version: await table.version() })
  }

  /** Makes the table, empty; it is opened as it is where there is one. */
  static async create(spec: LanceTableSpec, session: Session): Promise<LanceHandle> {
    const { bucket, index, dimension } = spec
    const connection = await connectTo(bucket, session)
    const options = { mode: 'create', existOk: true } as const
    const schema = tableSchema(dimension, { isShared: bucket.backend !== 'local' })
    const table = await connection.createEmptyTable(index, schema, options)
    checkSchema(await table.schema(), index, dimension)
    return new LanceHandle(index, connection, { table, version: await table.version() })
  }

  /**
   * A version that a read that starts now sees. The read does not wait for it: what other servers
   * have committed is asked for meanwhile, and known to the next one.
   */
  version(): number {
    if (!this.#isAsking) void this.#ask()
    return this.#version
  }

  /** The newest version, after a commit. */
  async committed(): Promise<number> {
    const version = await this.table.version()
    this.#version = Math.max(this.#version, version)
    return version
  }

  /** @throws {VectordError} `lance_version_gone`. */
  async at(version: number): Promise<Table> {
    let pinned = this.#pinned.get(version)
    if (pinned === undefined) pinned = this.#pin(version)
    this.#pinned.delete(version)
    this.#pinned.set(version, pinned)
    const [oldest] = this.#pinned.keys()
    if (this.#pinned.size > PINNED_MAX && oldest !== undefined) this.#unpin(oldest)
    try {
      return await pinned
    } catch (error) {
      if (this.#pinned.get(version) === pinned) this.#unpin(version)
      throw error
    }
  }

  /** Older versions may be gone from now on. */
  unpinAll(): void {
    for (const version of [...this.#pinned.keys()]) this.#unpin(version)
  }

  /** The kind of the index of the vectors in `table`, which stands at `version`; null for none. */
  async vectorIndex(table: Table, version: number): Promise<LanceIndexKind | null> {
    const known = this.#kinds.get(table)
    if (known?.version === version) return known.kind
    const all = await table.listIndices()
    const own = all.find(({ columns }) => columns.includes(VECTOR_COLUMN))
    const kind = own === undefined ? null : (KINDS[own.indexType] ?? null)
    this.#kinds.set(table, { version, kind })
    return kind
  }

  async #ask(): Promise<void> {
    this.#isAsking = true
    try {
      await this.committed()
    } catch {
      // The read itself tells what is wrong with the table.
    } finally {
      this.#isAsking = false
    }
  }

  async #pin(version: number): Promise<Table> {
    const table = await opened(this.#connection, this.#index)
    try {
      await table.checkout(version)
    } catch (error) {
      if (saysNoVersion(error)) throw noVersion(this.#index, version)
      throw error
    }
    return table
  }

  #unpin(version: number): void {
    const pinned = this.#pinned.get(version)
    this.#pinned.delete(version)
    pinned?.then(
      (table) => this.#kinds.delete(table),
      () => undefined, // Whoever asked for it was told.
    )
  }
}

async function connectTo(bucket: BucketSpec, session: Session): Promise<Connection> {
  if (bucket.backend === 'local') await checkRoot(bucket.root)
  const { uri, storageOptions } = locationOf(bucket)
  return connect(uri, { storageOptions, readConsistencyInterval: CONSISTENCY_S }, session)
}

/** LanceDB makes the folders that it misses: an unmounted root would be an empty bucket. */
async function checkRoot(root: string): Promise<void> {
  try {
    await files.stat(root)
  } catch (cause) {
    const isAbsent = hasErrno(cause, 'ENOENT', 'ENOTDIR')
    const text = 'The folder of the local bucket cannot be found.'
    throw new VectordError(isAbsent ? 'bucket_unreachable' : 'storage_error', text, { cause })
  }
}

async function opened(connection: Connection, index: string): Promise<Table> {
  try {
    return await connection.openTable(index)
  } catch (error) {
    if (saysNoTable(error)) throw noTable(index)
    throw error
  }
}

/** Removes the table of the spec, durably; nothing happens where there is none. */
export async function dropTable(
  { bucket, index }: LanceTableSpec,
  session: Session,
): Promise<void> {
  const connection = await connectTo(bucket, session)
  try {
    await connection.dropTable(index)
  } catch (error) {
    if (!saysNoTable(error)) throw error
  }
  if (bucket.backend === 'local') await syncFolder(files, locationOf(bucket).uri)
}
