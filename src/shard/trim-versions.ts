/**
 * Gives up the versions that a table keeps and should keep no longer, beside serving.
 */

import type { TrimmedVersions } from '../domain/search.ts'
import type { PointTable } from './point-table.ts'
import { inSteps } from '../lib/steps.ts'

/** To be called after `keepVersions`; ids that are written meanwhile are trimmed by their writes. */
export async function trimVersions(table: PointTable): Promise<TrimmedVersions> {
  let versions = 0
  let bytes = 0
  await inSteps(table.keptVersions === 0 ? 0 : table.slots, (slot) => {
    if (!table.kept.has(slot)) return
    const { keptVersions, keptBytes } = table
    table.trim(slot)
    versions += keptVersions - table.keptVersions
    bytes += keptBytes - table.keptBytes
  })
  table.forgetChains()
  return { versions, bytes }
}
