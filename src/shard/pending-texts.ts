/**
 * Which texts of a shard wait for their vectors, and what points have.
 */

import {
  BACKFILL_PRIORITY,
  WRITE_PRIORITY,
  type PendingText,
  type ShardTexts,
  type TextPriority,
  type TextsReply,
  type TextsRequest,
  type TextState,
} from '../domain/pending-text.ts'
import type { ScrollPosition } from '../domain/search.ts'
import type { PointTable } from './point-table.ts'

/** UTF-16 units of the texts of one page: texts may be long. */
const PAGE_UNITS_MAX = 4 * 1024 * 1024

export function answerTexts(table: PointTable, request: TextsRequest): TextsReply {
  switch (request.kind) {
    case 'page':
      return { page: pageOf(table, request) }
    case 'count': {
      const { origins } = table
      const backfill = origins.countOfOthers(request.tag)
      return { counts: { writes: origins.waitingCount, backfill } }
    }
    case 'states':
      return { states: request.ids.map((id) => stateOf(table, id)) }
  }
}

function pageOf(
  table: PointTable,
  { tag, after, limit, priority }: Extract<TextsRequest, { kind: 'page' }>,
): ShardTexts {
  const items: PendingText[] = []
  const positions: ScrollPosition[] = []
  let units = 0
  const next = (from: number): number => nextOf(table, from, tag, priority)
  let slot = next(after === null ? 0 : table.firstAfter(after))
  while (slot !== -1 && items.length < limit && units < PAGE_UNITS_MAX) {
    const text = table.text(slot) ?? ''
    units += text.length
    items.push({
      ...{ id: table.id(slot), version: table.version(slot), text },
      priority: table.hasVector(slot) ? BACKFILL_PRIORITY : WRITE_PRIORITY,
    })
    positions.push({ lsn: table.lsn(slot), row: table.row(slot) })
    slot = next(slot + 1)
  }
  return { items, positions, done: slot === -1 }
}

function nextOf(
  { origins }: PointTable,
  from: number,
  tag: string,
  priority: TextPriority | null,
): number {
  const missing = priority === BACKFILL_PRIORITY ? -1 : origins.nextWaiting(from)
  const other = priority === WRITE_PRIORITY ? -1 : origins.nextOfOthers(from, tag)
  if (missing === -1 || other === -1) return Math.max(missing, other)
  return Math.min(missing, other)
}

function stateOf(table: PointTable, id: string): TextState | null {
  const slot = table.slotOf(id)
  if (slot === undefined) return null
  return { version: table.version(slot), tag: table.origins.tagOf(slot) }
}
