/**
 * All Lance tables that this process has open; the door to LanceDB.
 *
 * Tables are told apart by where they lie, so that whoever comes with newer credentials still waits
 * for the writes that others began. One process has the tables of a local bucket open.
 */

import './native-settings.ts'
import { Session } from '@lancedb/lancedb'
import type { LanceTableSpec } from '../../domain/lance-table.ts'
import { LanceDataset } from './lance-dataset.ts'
import { placeOf } from './lance-storage.ts'

export interface LanceCaches {
  /** Bytes of indices that stay in memory. */
  readonly indexBytes: number
  /** Bytes of manifests, file footers and statistics that do. */
  readonly metadataBytes: number
}

export class LanceEngine {
  readonly #session: Session
  readonly #tables = new Map<string, LanceDataset>()

  constructor({ indexBytes, metadataBytes }: LanceCaches) {
    this.#session = new Session(BigInt(indexBytes), BigInt(metadataBytes))
  }

  table(spec: LanceTableSpec): LanceDataset {
    const place = placeOf(spec)
    const known = this.#tables.get(place)
    if (known !== undefined) {
      known.use(spec)
      return known
    }
    const table = new LanceDataset(spec, this.#session)
    this.#tables.set(place, table)
    return table
  }
}
