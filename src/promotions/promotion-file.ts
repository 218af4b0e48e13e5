/**
 * The promotions of one index as one bucket keeps them:
 *
 *     _hnsw_promotions/{index}/{revision}.json   every change, whole; none of them is ever removed
 *     _hnsw_promotions/{index}.json              a copy of the newest, for people and curl
 *
 * Where there are no revisions the copy counts: an older layout kept nothing else. Where the newest
 * revision says "removed" it does not count, even if it is still there.
 */

import type { ObjectStore } from '../buckets/object-store.ts'
import { type PastRevision, RevisionedDocument } from '../buckets/revisioned-document.ts'
import { hasCode } from '../lib/errors.ts'
import { invariant } from '../lib/invariant.ts'
import { promotionFromCopy, promotionFromJson, promotionToJson } from './promotion-codec.ts'
import type { PromotionDocument } from './promotion-document.ts'

export const PROMOTIONS_PREFIX = '_hnsw_promotions/'

export interface PromotionState {
  /** Number of the newest revision, a removal too; 0 where there is none. */
  readonly revision: number
  /** Null where nothing was ever promoted, or not since the removal. */
  readonly document: PromotionDocument | null
}

export type PastPromotion = PastRevision<PromotionDocument>

export interface PromotionFileOptions {
  readonly store: ObjectStore
  readonly index: string
  readonly nowMs: () => number
}

export class PromotionFile {
  readonly #options: PromotionFileOptions
  readonly #copyKey: string
  readonly #document: RevisionedDocument<PromotionDocument>

  constructor(options: PromotionFileOptions) {
    const { store, index, nowMs } = options
    this.#options = options
    this.#copyKey = `${PROMOTIONS_PREFIX}${index}.json`
    this.#document = new RevisionedDocument({
      ...{ store, nowMs, copyKey: this.#copyKey },
      prefix: `${PROMOTIONS_PREFIX}${index}/`,
      name: `the promotions of index "${index}"`,
      codec: {
        toJson: (document) => ({ ...promotionToJson(document) }),
        fromJson: (json, key) => promotionFromJson(index, json, key),
      },
    })
  }

  /** @throws {VectordError} `object_corrupt`, `format_too_new`, and every error of the store. */
  async load(): Promise<PromotionState> {
    const newest = await this.#document.read()
    if (newest !== null) return newest
    for await (const past of this.#document.history()) {
      if (past.kind === 'unreadable') throw past.fault
      const document = past.kind === 'document' ? past.document : null
      return { revision: past.revision, document }
    }
    const older = await this.#loadCopy()
    if (older === null) return { revision: 0, document: null }
    // It may be the copy of a first revision that was written meanwhile.
    return (await this.#document.read()) ?? { revision: 0, document: older }
  }

  /**
   * Writes the revision after `before`. Durable once resolved.
   *
   * @throws {VectordError} `revision_mismatch` where `before` is not the newest any more; else as
   *   `load`, and then it may be there all the same.
   */
  async write(before: PromotionState, document: PromotionDocument): Promise<PromotionState> {
    this.#checkReadable(document)
    const { change } = document
    const { revision } = await this.#document.update(expectedOf(before), {
      document,
      author: change?.by ?? 'vectord',
      reason: change === null ? 'take over an older layout' : change.kind,
    })
    return { revision, document }
  }

  /** Ends the document by one more revision; its numbers go on. @throws as `write`. */
  async remove(before: PromotionState, author: string): Promise<PromotionState> {
    const { revision, document } = before
    if (document === null) return before
    const stored = revision === 0 ? await this.write(before, document) : before
    await this.#document.remove(stored.revision, { author, reason: 'remove' })
    return { revision: stored.revision + 1, document: null }
  }

  /** Every revision before `before`, newest first; what cannot be read is told as such. */
  history(before: number): AsyncGenerator<PastPromotion> {
    return this.#document.history(before)
  }

  async #loadCopy(): Promise<PromotionDocument | null> {
    const { store, index } = this.#options
    try {
      return promotionFromCopy(index, this.#copyKey, await store.get(this.#copyKey))
    } catch (error) {
      if (hasCode(error, 'object_not_found')) return null
      throw error
    }
  }

  /** What cannot be read back would be the end of every later change. */
  #checkReadable(document: PromotionDocument): void {
    const { index } = this.#options
    try {
      promotionFromJson(index, promotionToJson(document), this.#copyKey)
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error)
      invariant(false, `a promotion that is written can be read: ${reason}`)
    }
  }
}

function expectedOf({ revision, document }: PromotionState): number | null {
  return revision === 0 || document === null ? null : revision
}
