/**
 * The judge of what the clients of `promotion-actors.ts` were told (T6).
 *
 * The promotions of an index are a register with a history. Every revision is in the audit, so the
 * order in which the changes took effect is known, and linearizability needs no search: the audit is
 * replayed step by step, and each client must have been told what fits its place in it.
 *
 *     time:  ──┤ begun … ended ├──      an operation takes effect between the two; one without an
 *                                       answer at any time after it began, or never
 */

import assert from 'node:assert/strict'
import type { ErrorCode } from '../../src/lib/errors.ts'
import { promotionToJson } from '../../src/promotions/promotion-codec.ts'
import {
  type ChangeAuthor,
  promote,
  type PromotionDocument,
  type PromotionEntry,
  rollback,
  rollForward,
} from '../../src/promotions/promotion-document.ts'
import type { PromotionState } from '../../src/promotions/promotion-file.ts'

export type Kind = 'promote' | 'rollback' | 'roll_forward' | 'read'

/** Of every promotion of a contest; what tells them apart is the trial. */
export const CONTEST_CONFIG = { m: 16, efConstruction: 200, efSearch: null, seed: 42 }

export interface Operation {
  /** Unique; the note of its change. */
  readonly id: string
  readonly kind: Kind
  readonly ifRevision: number | null
  /** By a clock that ticks with every beginning and end. */
  readonly begun: number
  /** Infinity where no answer came: it may take effect at any later time. */
  readonly ended: number
  readonly told: PromotionState | ErrorCode
}

/** How many operations ended how; beside it what shows that there was something to survive. */
export interface ContestCounts {
  acknowledged: number
  reads: number
  refused: number
  mismatched: number
  unanswered: number
  /** Of the unanswered: those that took effect. */
  landed: number
  restarts: number
}

/** What `onChange` of one registry said, in order. */
export type Told = { readonly revision: number; readonly document: PromotionDocument | null }[]

export function judge(
  audit: readonly PromotionDocument[],
  operations: readonly Operation[],
  told: readonly Told[],
  restarts: number,
): ContestCounts {
  const counts: ContestCounts = {
    ...{ acknowledged: 0, reads: 0, refused: 0, mismatched: 0, unanswered: 0, landed: 0, restarts },
  }
  const revisionOf = replay(audit, operations)
  for (const operation of operations) judgeOne(audit, operation, revisionOf, counts)
  judgeOrder(audit, operations, revisionOf)
  for (const changes of told) judgeTold(audit, changes)
  return counts
}

/** Where each operation is in the audit; each revision is the step that its operation asked for. */
function replay(
  audit: readonly PromotionDocument[],
  operations: readonly Operation[],
): ReadonlyMap<string, number> {
  const byId = new Map(operations.map((operation) => [operation.id, operation]))
  const revisionOf = new Map<string, number>()
  for (let revision = 1; revision < audit.length; revision += 1) {
    const change = documentAt(audit, revision).change
    assert.ok(change !== null)
    const { by, atMs, note, rebuild } = change
    const operation = byId.get(note ?? '')
    assert.ok(operation !== undefined, `revision ${revision} is nobody’s`)
    assert.ok(!revisionOf.has(operation.id), `${operation.id} took effect twice`)
    revisionOf.set(operation.id, revision)
    const before = documentAt(audit, revision - 1)
    const after = stepped(before, operation, { by, atMs, note, rebuild })
    assertSame(documentAt(audit, revision), after, `revision ${revision}`)
    if (operation.ifRevision !== null) assert.equal(operation.ifRevision, revision - 1)
  }
  return revisionOf
}

function stepped(
  before: PromotionDocument,
  { id, kind }: Operation,
  author: ChangeAuthor,
): PromotionDocument {
  if (kind === 'rollback') return rollback(before, author)
  if (kind === 'roll_forward') return rollForward(before, author)
  assert.equal(kind, 'promote', 'a read changed something')
  const { by: promotedBy, atMs: promotedMs } = author
  const entry: PromotionEntry = {
    ...{ config: CONTEST_CONFIG, trialId: id, promotedMs, promotedBy, note: id },
    ...{ graphId: null, evidence: null, pinned: false },
  }
  return promote(before, entry, author)
}

function judgeOne(
  audit: readonly PromotionDocument[],
  operation: Operation,
  revisionOf: ReadonlyMap<string, number>,
  counts: ContestCounts,
): void {
  const { id, kind, told } = operation
  const revision = revisionOf.get(id)
  if (typeof told !== 'string') {
    if (kind === 'read') counts.reads += 1
    else {
      counts.acknowledged += 1
      assert.equal(told.revision, revision, `${id} was acknowledged`)
    }
    const seen = told.document ?? documentAt(audit, 0)
    assertSame(seen, documentAt(audit, told.revision), `${id} was told`)
    return
  }
  if (operation.ended !== Infinity) {
    assert.equal(revision, undefined, `${id} was refused with ${told} and took effect`)
    if (told === 'revision_mismatch') counts.mismatched += 1
    else counts.refused += 1
    return
  }
  counts.unanswered += 1
  if (revision !== undefined) counts.landed += 1
}

/**
 * Real time: what ended before another began has the smaller revision; what was refused saw a state
 * of its own time in which there was a reason.
 */
function judgeOrder(
  audit: readonly PromotionDocument[],
  operations: readonly Operation[],
  revisionOf: ReadonlyMap<string, number>,
): void {
  const ticks = 2 * operations.length + 1
  /** By tick: the revision that was there for certain, and the highest that could be there. */
  const certain = Array.from({ length: ticks }, () => 0)
  const possible = Array.from({ length: ticks }, () => 0)
  for (const { id, begun, ended, told } of operations) {
    const revision = revisionOf.get(id) ?? 0
    possible[begun] = revision
    if (ended !== Infinity) certain[ended] = typeof told === 'string' ? revision : told.revision
  }
  const [floors, ceilings] = [runningMax(certain), runningMax(possible)]
  for (const operation of operations) {
    const floor = floors[operation.begun - 1] ?? 0
    judgePlace(audit, { operation, revision: revisionOf.get(operation.id), floor, ceilings })
  }
}

function runningMax(numbers: readonly number[]): readonly number[] {
  let max = 0
  return numbers.map((number) => (max = Math.max(max, number)))
}

interface Place {
  readonly operation: Operation
  readonly revision: number | undefined
  /** Nothing below it was the newest state while the operation ran. */
  readonly floor: number
  /** By tick: nothing above it was there by then. */
  readonly ceilings: readonly number[]
}

function judgePlace(audit: readonly PromotionDocument[], place: Place): void {
  const { operation, revision, floor, ceilings } = place
  const { id, kind, told, ended, ifRevision } = operation
  if (revision !== undefined) assert.ok(revision > floor, `${id} at ${revision}, after ${floor}`)
  if (ended === Infinity) return
  const ceiling = ceilings[ended] ?? 0
  if (typeof told !== 'string') {
    const isInTime = told.revision >= floor && told.revision <= ceiling
    assert.ok(isInTime, `${id} was told ${told.revision}, not ${floor} to ${ceiling}`)
    return
  }
  const isReason = (at: number): boolean => {
    const { current, history, redo } = documentAt(audit, at)
    if (told === 'revision_mismatch') return at !== ifRevision
    return kind === 'rollback' ? current === null && history.length === 0 : redo.length === 0
  }
  const span = Array.from({ length: ceiling - floor + 1 }, (_, n) => floor + n)
  assert.ok(span.some(isReason), `${id}: no reason for ${told} from ${floor} to ${ceiling}`)
}

/** A registry tells revisions in their order, each as it is in the audit. */
function judgeTold(audit: readonly PromotionDocument[], changes: Told): void {
  let last = 0
  for (const { revision, document } of changes) {
    assert.ok(revision > last, `told ${revision} after ${last}`)
    last = revision
    assert.ok(document !== null)
    assertSame(document, documentAt(audit, revision), `told ${revision}`)
  }
}

function documentAt(audit: readonly PromotionDocument[], revision: number): PromotionDocument {
  const document = audit[revision]
  assert.ok(document !== undefined, `there is no revision ${revision}`)
  return document
}

function assertSame(found: PromotionDocument, wanted: PromotionDocument, what: string): void {
  if (found === wanted) return
  assert.equal(
    JSON.stringify(promotionToJson(found)),
    JSON.stringify(promotionToJson(wanted)),
    what,
  )
}
