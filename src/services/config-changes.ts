/**
 * Changes of the configuration of an index, as routes ask for them: the promotion is stored, and the
 * build that follows it is an operation. The seam between `routes/promotions.ts` and whoever looks
 * up trials and builds graphs.
 */

import type { PromotionDocument, Rebuild } from '../promotions/promotion-document.ts'

export interface ConfigChangeRequest {
  /** Who asks: the name of the API key. */
  readonly by: string
  readonly note: string | null
  readonly rebuild: Rebuild
  /** The revision of the promotions that the asker has seen; null takes any. */
  readonly ifRevision: number | null
}

export interface PromoteRequest extends ConfigChangeRequest {
  /** Whom the entry names; the asker, where nobody else is told. */
  readonly promotedBy: string
  /** Of searches; the one that the trial has solved for where left out. */
  readonly ef?: number
}

export interface ConfigChangeOutcome {
  /** As it is stored. */
  readonly document: PromotionDocument
  readonly revision: number
  /** What a person should know before they rely on it, each a sentence. */
  readonly warnings: readonly string[]
  /** Of the build that follows; null where none does. */
  readonly operationId: string | null
}

/** Each is durable once it resolves, and supersedes a build that is under way. */
export interface ConfigChanges {
  /**
   * Promotes what a trial measured; never refused for its recall, which becomes a warning.
   *
   * @throws `trial_not_found`, `index_not_found`, `revision_mismatch`, and the errors of the bucket.
   */
  promote(index: string, trialId: string, request: PromoteRequest): Promise<ConfigChangeOutcome>

  /** @throws `no_promotion_to_roll_back`, and as `promote`. */
  rollback(index: string, request: ConfigChangeRequest): Promise<ConfigChangeOutcome>

  /** @throws `nothing_to_roll_forward`, and as `promote`. */
  rollForward(index: string, request: ConfigChangeRequest): Promise<ConfigChangeOutcome>
}
