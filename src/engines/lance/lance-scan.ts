/**
 * Every point of one version of a table, for a process that does nothing but read it.
 *
 * It takes the table on from nobody: versions that are not durable yet are not its business, for it
 * is told which one to read. Where that version is dropped meanwhile the scan fails.
 */

import './native-settings.ts'
import { Session } from '@lancedb/lancedb'
import type { RecordBatch } from 'apache-arrow'
import type { LanceTableSpec } from '../../domain/lance-table.ts'
import type { Include, StoredPoint } from '../../domain/search.ts'
import { lanceCall } from './lance-faults.ts'
import { LanceHandle } from './lance-handle.ts'
import { columnsOf, pointsOf } from './lance-points.ts'

/** Bytes that a scan keeps of indices, which it does not use, and of manifests and footers. */
const CACHES = [1024n * 1024n, 64n * 1024n * 1024n] as const

export interface LanceScan {
  readonly version: number
  readonly include: Include
}

/**
 * In the order in which they lie in the table, each once.
 *
 * @throws {VectordError} `index_not_found`, `lance_version_gone`, and as `LanceTable`.
 */
export async function* scanTable(
  spec: LanceTableSpec,
  { version, include }: LanceScan,
): AsyncGenerator<readonly StoredPoint[], undefined> {
  const { index } = spec
  const query = await lanceCall(index, async () => {
    const handle = await LanceHandle.open(spec, new Session(...CACHES))
    const table = await handle.at(version)
    return table.query().select(columnsOf(include))
  })
  const batches = query[Symbol.asyncIterator]()
  for (;;) {
    const step: IteratorResult<RecordBatch> = await lanceCall(index, () => batches.next())
    if (step.done === true) return
    yield pointsOf([step.value])
  }
}
