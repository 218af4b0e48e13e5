/**
 * How a Lance index of this server is opened: its table by its bucket, its writing by lock or lease.
 */

import type { ObjectStore } from '../buckets/object-store.ts'
import type { LanceTable, LanceTableSpec } from '../domain/lance-table.ts'
import type { BucketSpec } from '../domain/shard-spec.ts'
import { invariant } from '../lib/invariant.ts'
import type { IndexMeta } from './index-meta.ts'
import { IndexOwner } from './index-owner.ts'
import { leaseHolding, soleHolding } from './lance-holding.ts'
import { LanceIndex } from './lance-index.ts'
import type { EmbedTexts } from './lance-rows.ts'
import { LanceRunner, type LanceRunnerOptions } from './lance-runner.ts'
import { checkStillThere } from './open-shared.ts'

/** Where Lance tables are had. */
export interface LanceTables {
  table(spec: LanceTableSpec): LanceTable & { drop(): Promise<void> }
  /** Makes an empty table where there is none. */
  create(spec: LanceTableSpec): Promise<void>
}

export interface OpenLanceOptions {
  readonly tables: LanceTables
  readonly embed: EmbedTexts
  readonly bucket: (name: string) => { readonly store: ObjectStore; readonly spec: BucketSpec }
  /** Keeps other servers out of a local bucket; resolves at once where this one holds it. */
  readonly lockFolder: (root: string) => Promise<void>
  /** Of this server: kept with its storage root. */
  readonly serverId: string
  readonly nowMs: () => number
  readonly onTrouble: (error: unknown, what: string) => void
}

/** What serves the Lance index that `meta` describes; not started yet. */
export function makeLanceRunner(
  options: OpenLanceOptions,
  meta: IndexMeta,
  revision: number,
): LanceRunner {
  const { tables, embed, nowMs, onTrouble } = options
  // Made anew for each call: the credentials of the bucket may have changed.
  const table = (): LanceTable => tables.table(specOf(options, meta))
  const index = new LanceIndex({ meta, revision, table, embed, nowMs })
  return new LanceRunner({
    index,
    claim: claimer(options, meta),
    onTrouble: (error) => {
      onTrouble(error, `serve index "${meta.name}"`)
    },
  })
}

/** Claims the writing of a table; it remembers how long a foreign lease has stood still. */
function claimer(options: OpenLanceOptions, meta: IndexMeta): LanceRunnerOptions['claim'] {
  const { serverId: server, onTrouble } = options
  const monotonicMs = (): number => performance.now()
  let last: { readonly store: ObjectStore; readonly owner: IndexOwner } | null = null
  return async (onLost) => {
    const { store, spec } = options.bucket(meta.bucket)
    if (spec.backend === 'local') {
      await options.lockFolder(spec.root)
      return soleHolding(server)
    }
    if (last?.store !== store) {
      last = { store, owner: new IndexOwner({ store, index: meta.name, server, monotonicMs }) }
    }
    const { owner } = last
    const holding = await leaseHolding({ server, owner, monotonicMs, onLost, onTrouble })
    try {
      await checkStillThere(store, meta)
      return holding
    } catch (error) {
      await holding.release()
      throw error
    }
  }
}

/** An empty table for an index that is to be; what an earlier one of the name left goes first. */
export async function beginTable(options: OpenLanceOptions, meta: IndexMeta): Promise<void> {
  const { spec } = options.bucket(meta.bucket)
  if (spec.backend === 'local') await options.lockFolder(spec.root)
  await endTable(options, meta)
  await options.tables.create(specOf(options, meta))
}

/** Removes the table of an index that is being deleted, with all its versions. */
export async function endTable(
  options: Pick<OpenLanceOptions, 'tables' | 'bucket'>,
  meta: IndexMeta,
): Promise<void> {
  invariant(meta.backend === 'lance', 'only a Lance index has a table')
  await options.tables.table(specOf(options, meta)).drop()
  // What writes that never came to a commit have left lies in the same folder.
  const { store } = options.bucket(meta.bucket)
  for await (const { key } of store.list(tableFolder(meta.name))) await store.delete(key)
}

/** What the keys of all objects of a table begin with. */
export function tableFolder(index: string): string {
  return `${TABLES}${index}.lance/`
}

export const TABLES = '_lance/'

function specOf(
  options: Pick<OpenLanceOptions, 'bucket'>,
  { name, dimension, metric, bucket }: IndexMeta,
): LanceTableSpec {
  return { index: name, dimension, metric, bucket: options.bucket(bucket).spec }
}
