/**
 * Which configuration an index is built and searched with, and which ones it had before.
 *
 *     history (oldest … newest)   current   redo (… next)
 *           a   b   c                d
 *     promote e:   a b c d           e        (none)       d is kept, what was undone is forgotten
 *     rollback:    a b               c        d            and after the last one: current null
 *     roll forward: a b c            d        (none)
 *
 * Values never change: each step answers a new document, or throws and there is none. History and
 * redo keep their newest entries, a bounded number of them; the revisions of the document keep all.
 */

import type { JsonObject } from '../buckets/revision-codec.ts'
import type { HnswConfig } from '../domain/hnsw-config.ts'
import { VectordError } from '../lib/errors.ts'

/** Entries kept in `history`, and as many in `redo`; the current one is not counted. */
export const PROMOTION_ENTRIES_MAX = 50

/** When the graph follows a change: at once, or with the next build for another reason. */
export const REBUILDS = ['now', 'lazy'] as const
export type Rebuild = (typeof REBUILDS)[number]

export const CHANGE_KINDS = ['promote', 'rollback', 'roll_forward', 'pin', 'unpin'] as const
export type ChangeKind = (typeof CHANGE_KINDS)[number]

/** One promoted configuration. */
export interface PromotionEntry {
  readonly config: HnswConfig
  /** The trial that measured it. */
  readonly trialId: string
  /** Milliseconds since the Unix epoch. */
  readonly promotedMs: number
  readonly promotedBy: string
  readonly note: string | null
  /** Names the graph that the trial built; null where none is known. */
  readonly graphId: string | null
  /** What the decision rests on, as JSON; null where nobody told. */
  readonly evidence: JsonObject | null
  /** While it is current, only a person may replace it. */
  readonly pinned: boolean
}

/** What the newest revision did. */
export interface PromotionChange {
  readonly kind: ChangeKind
  /** Who asked: the name of an API key, or of a part of vectord. */
  readonly by: string
  /** Milliseconds since the Unix epoch. */
  readonly atMs: number
  readonly note: string | null
  readonly rebuild: Rebuild
  /** Of a rollback: the entry that was current before it. */
  readonly discarded: PromotionEntry | null
}

export interface PromotionDocument {
  readonly indexName: string
  /** Null: the configuration that the index was created with. */
  readonly current: PromotionEntry | null
  /** What was current before, oldest first. */
  readonly history: readonly PromotionEntry[]
  /** What rollbacks undid; the last one is what a roll-forward takes. */
  readonly redo: readonly PromotionEntry[]
  /** Null where no change is known: never promoted, or kept by an older layout. */
  readonly change: PromotionChange | null
}

/** Who changes a document, when and why. */
export type ChangeAuthor = Omit<PromotionChange, 'kind' | 'discarded'>

/** The document of an index before its first promotion. */
export function neverPromoted(indexName: string): PromotionDocument {
  return { indexName, current: null, history: [], redo: [], change: null }
}

/** What a search tells as its `config_source`. */
export function configSource(document: PromotionDocument | null): string {
  const current = document?.current ?? null
  return current === null ? 'default' : `promoted:${current.trialId}`
}

/** Makes `entry` current and forgets what was undone. */
export function promote(
  document: PromotionDocument,
  entry: PromotionEntry,
  author: ChangeAuthor,
): PromotionDocument {
  return {
    indexName: document.indexName,
    current: entry,
    history: withNewest(document.history, document.current),
    redo: [],
    change: { kind: 'promote', ...author, discarded: null },
  }
}

/**
 * Goes back to the entry before; without one, to no promotion at all.
 *
 * @throws {VectordError} `no_promotion_to_roll_back`.
 */
export function rollback(document: PromotionDocument, author: ChangeAuthor): PromotionDocument {
  const { indexName, current, history, redo } = document
  const previous = history.at(-1) ?? null
  if (previous === null && current === null) {
    const message = `Index "${indexName}" has no promotion to roll back.`
    throw new VectordError('no_promotion_to_roll_back', message, { details: { index: indexName } })
  }
  return {
    indexName,
    current: previous,
    history: history.slice(0, -1),
    redo: withNewest(redo, current),
    change: { kind: 'rollback', ...author, discarded: current },
  }
}

/** Takes the last rollback back. @throws {VectordError} `nothing_to_roll_forward`. */
export function rollForward(document: PromotionDocument, author: ChangeAuthor): PromotionDocument {
  const { indexName, current, history, redo } = document
  const next = redo.at(-1)
  if (next === undefined) {
    const message = `Index "${indexName}" has no rollback to take back.`
    throw new VectordError('nothing_to_roll_forward', message, { details: { index: indexName } })
  }
  return {
    indexName,
    current: next,
    history: withNewest(history, current),
    redo: redo.slice(0, -1),
    change: { kind: 'roll_forward', ...author, discarded: null },
  }
}

/** Pins the current entry or frees it. @throws {VectordError} `nothing_to_pin`. */
export function pin(
  document: PromotionDocument,
  pinned: boolean,
  author: ChangeAuthor,
): PromotionDocument {
  const { indexName, current } = document
  if (current === null) {
    const message = `Index "${indexName}" has no promotion to pin.`
    throw new VectordError('nothing_to_pin', message, { details: { index: indexName } })
  }
  return {
    ...document,
    current: { ...current, pinned },
    change: { kind: pinned ? 'pin' : 'unpin', ...author, discarded: null },
  }
}

function withNewest(
  entries: readonly PromotionEntry[],
  newest: PromotionEntry | null,
): readonly PromotionEntry[] {
  return newest === null ? entries : [...entries, newest].slice(-PROMOTION_ENTRIES_MAX)
}
