/**
 * The rules that every slot of a point table keeps, as a check of itself.
 */

import type { PointTable } from './point-table.ts'

/** The broken rules of a slot; empty where id map, bits, versions and order agree. */
export function faultsOfSlot(table: PointTable, slot: number): string[] {
  const faults = [...faultsOfLive(table, slot), ...faultsOfKept(table, slot)]
  if (table.searchable.has(slot) !== (table.live.has(slot) && table.hasVector(slot))) {
    faults.push('it is searchable and has no vector, or the other way round')
  }
  const before = slot - 1
  const ordered =
    slot === 0 ||
    table.lsn(before) < table.lsn(slot) ||
    (table.lsn(before) === table.lsn(slot) && table.row(before) < table.row(slot))
  if (!ordered) faults.push('it is not after the slot before it')
  return faults
}

function faultsOfLive(table: PointTable, slot: number): string[] {
  if (!table.live.has(slot)) return []
  const faults = faultsOfHeld(table, slot, 'live')
  if (table.holds(slot) && table.slotOf(table.id(slot)) !== slot) {
    faults.push('the id map leads elsewhere')
  }
  if (table.endOf(slot) !== Infinity) faults.push('it is live and has an end')
  return faults
}

function faultsOfKept(table: PointTable, slot: number): string[] {
  if (!table.kept.has(slot)) return []
  const faults = faultsOfHeld(table, slot, 'kept')
  if (table.live.has(slot)) faults.push('it is live and kept')
  return [...faults, ...table.versionFaultsOf(slot)]
}

function faultsOfHeld(table: PointTable, slot: number, state: 'live' | 'kept'): string[] {
  const faults: string[] = []
  if (!table.holds(slot)) faults.push(`a ${state} slot holds no point`)
  if (table.vectors.isReleased(Math.floor(slot / table.vectors.chunkRows))) {
    faults.push('its vector was freed')
  }
  return faults
}
