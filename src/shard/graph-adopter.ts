/**
 * Opens a graph that was built beside serving, or an older one that is kept, over a table that goes
 * on changing: rows that died since are removed from it, rows that came since are its delta.
 */

import type { ObjectStore } from '../buckets/object-store.ts'
import type { GraphRef } from '../domain/checkpoint.ts'
import type { ShardSpec } from '../domain/shard-spec.ts'
import { VectordError } from '../lib/errors.ts'
import { fetchGraph, identityOf, joinGraph } from './graph-loader.ts'
import { ShardGraph, type GraphIdentity } from './graph.ts'
import { Fetcher } from './part-loader.ts'
import type { PointTable } from './point-table.ts'

export class GraphAdopter {
  readonly #spec: Pick<ShardSpec, 'dimension' | 'metric'>
  readonly #fetcher: Fetcher

  constructor(spec: ShardSpec, store: ObjectStore) {
    this.#spec = spec
    this.#fetcher = new Fetcher(store, spec.scratch, 'adopt')
  }

  /**
   * @param ref files to load, or only what an empty graph is to be.
   * @returns puts the graph over the table; to be called in the turn that makes it known, so that no
   *   row comes or goes in between.
   * @throws {VectordError} `object_corrupt` where its files are damaged or missing.
   */
  async open(ref: GraphRef | GraphIdentity): Promise<(table: PointTable) => ShardGraph> {
    if (!('graph' in ref)) return (table) => new ShardGraph(table, ref, null)
    const fetched = await fetchGraph(this.#fetcher, this.#spec, ref)
    if (typeof fetched === 'string') {
      throw new VectordError('object_corrupt', `A graph cannot be used: ${fetched}.`, {
        details: { key: ref.graph.key },
      })
    }
    return (table) => new ShardGraph(table, identityOf(ref), joinGraph(fetched, table))
  }
}
