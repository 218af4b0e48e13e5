/**
 * The versions of one point that can be read, newest first.
 *
 *     rows      [1, 4)    [4, 7)        [9, ∞)       kept, kept, live
 *     told         1         4      7      9         a delete came at 7: its version is told too
 */

import type { Include, PointVersion, VersionsPage, VersionsRequest } from '../domain/search.ts'
import type { PointTable } from './point-table.ts'

export function readVersions(table: PointTable, request: VersionsRequest): VersionsPage {
  const { id, include, limit, only } = request
  const slots = table.slotsOf(id)
  const isKnown = slots.length > 0
  if (only !== null) {
    const slot = slots.find((one) => isAsked(table, one, only))
    return {
      versions: slot === undefined ? [] : [rowAt(table, slot, include)],
      isKnown,
      done: true,
    }
  }
  const before = request.before ?? Infinity
  const versions: PointVersion[] = []
  let newerLsn = Infinity
  for (const slot of slots) {
    for (const version of versionsAt(table, slot, { newerLsn, include })) {
      if (version.version >= before) continue
      if (versions.length === limit) return { versions, isKnown, done: false }
      versions.push(version)
    }
    newerLsn = table.version(slot)
  }
  return { versions, isKnown, done: true }
}

function isAsked(
  table: PointTable,
  slot: number,
  only: { readonly version: number } | { readonly asOf: number },
): boolean {
  if ('version' in only) return table.version(slot) === only.version
  return isAsOf(table, slot, only.asOf)
}

/** True where a version that is there was live right after the write `lsn`. */
export function isAsOf(table: PointTable, slot: number, lsn: number): boolean {
  return table.version(slot) <= lsn && lsn < table.endOf(slot)
}

/** The row of a slot, after the delete that ended it where one did. */
function* versionsAt(
  table: PointTable,
  slot: number,
  { newerLsn, include }: { readonly newerLsn: number; readonly include: Include },
): Generator<PointVersion> {
  if (table.endedByDelete(slot)) {
    yield {
      ...{ id: table.id(slot), version: table.endOf(slot), kind: 'deleted' },
      endedAt: newerLsn === Infinity ? null : newerLsn,
      ...{ metadata: null, text: null, vector: null },
    }
  }
  yield rowAt(table, slot, include)
}

function rowAt(table: PointTable, slot: number, include: Include): PointVersion {
  const endLsn = table.endOf(slot)
  const isLive = endLsn === Infinity
  return {
    ...table.read(slot, include),
    kind: isLive ? 'live' : 'kept',
    endedAt: isLive ? null : endLsn,
  }
}
