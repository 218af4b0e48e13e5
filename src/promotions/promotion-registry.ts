/**
 * The promotions of every index: read, changed step by step, listed, watched.
 *
 *     change ─▶ newest revision ─▶ pure step ─▶ next revision, put if absent ─▶ cache ─▶ onChange
 *                     ▲                                │ another server was first
 *                     ╰────────────────────────────────╯
 *
 * - A change is durable before it is visible: what failed is in no cache, and nobody hears of it.
 * - Only "object not found" means "never promoted". Whatever else a read meets is thrown: nothing is
 *   cached, and nothing is written on top of it.
 * - One change of an index at a time here; of two servers the slower one steps on from what the
 *   other one wrote, so no entry is lost.
 * - `onChange` hears of revisions of an index in their order; it may miss one that another server
 *   has followed up already.
 */

import { setTimeout as sleep } from 'node:timers/promises'
import type { JsonObject } from '../buckets/revision-codec.ts'
import type { ObjectStore } from '../buckets/object-store.ts'
import type { HnswConfig } from '../domain/hnsw-config.ts'
import { hasCode, VectordError } from '../lib/errors.ts'
import { invariant } from '../lib/invariant.ts'
import { KeyedMutex } from '../lib/keyed-mutex.ts'
import {
  type ChangeAuthor,
  neverPromoted,
  pin,
  promote,
  type PromotionDocument,
  type Rebuild,
  rollback,
  rollForward,
} from './promotion-document.ts'
import { type PastPromotion, PromotionFile, type PromotionState } from './promotion-file.ts'
import {
  newestRevisions,
  type PromotionBuckets,
  type ScanResult,
  scanPromotions,
} from './promotion-scan.ts'

/** Characters of the JSON text of `evidence`: a document holds up to 102 entries, answered whole. */
const EVIDENCE_CHARS_MAX = 2048

/** How often a change is made anew on top of what another server did. */
const CONFLICT_TRIES = 100
const CONFLICT_WAIT_MS_MAX = 20

export interface PromotionRegistryOptions {
  readonly buckets: PromotionBuckets
  readonly nowMs: () => number
  /** Called when another revision of an index is known than before; must not throw. */
  readonly onChange: (index: string, document: PromotionDocument | null, revision: number) => void
}

/** What is promoted. */
export interface NewPromotion {
  readonly config: HnswConfig
  readonly trialId: string
  /** Whom the entry names; who asked for it where left out. */
  readonly promotedBy?: string
  readonly graphId?: string
  readonly evidence?: JsonObject
}

/** Who asks for a change, why, and on which condition. */
export interface ChangeRequest {
  readonly by: string
  readonly note: string | null
  readonly rebuild: Rebuild
  /** The revision that the asker has seen, 0 for none; null takes any. */
  readonly ifRevision: number | null
  /** True for whoever is no person: a pinned configuration is not theirs to replace. */
  readonly byAgent?: boolean
}

export interface AuditPage {
  /** Newest first. */
  readonly entries: readonly PastPromotion[]
  /** Where the next page starts; null at the end. */
  readonly next: number | null
}

/** An index that was asked for, in its home bucket. */
interface Known {
  readonly bucket: string
  readonly store: ObjectStore
  readonly file: PromotionFile
  /** Null until it has been read. */
  state: PromotionState | null
}

type Step = (document: PromotionDocument, author: ChangeAuthor) => PromotionDocument

export class PromotionRegistry {
  readonly #options: PromotionRegistryOptions
  readonly #turns = new KeyedMutex()
  readonly #known = new Map<string, Known>()

  constructor(options: PromotionRegistryOptions) {
    this.#options = options
  }

  /**
   * What the home bucket of the index holds now. From the first read on the index is watched.
   *
   * @throws {VectordError} `index_not_found`, `object_corrupt`, `format_too_new`, and every error of
   *   the bucket.
   */
  read(index: string): Promise<PromotionState> {
    return this.#turns.run(index, () => this.#load(index, this.#find(index)))
  }

  /** What was known last, without a look at the bucket; null where nothing has been read yet. */
  cached(index: string): PromotionState | null {
    return this.#known.get(index)?.state ?? null
  }

  /**
   * Makes a configuration current. Durable once it resolves.
   *
   * @throws {VectordError} `revision_mismatch`, `promotion_pinned`, and as `read`; after
   *   `bucket_unreachable` the change may be there all the same.
   */
  async promote(
    index: string,
    promotion: NewPromotion,
    by: ChangeRequest,
  ): Promise<PromotionState> {
    const { config, trialId, promotedBy = by.by, graphId = null, evidence = null } = promotion
    const size = JSON.stringify(evidence).length
    invariant(size <= EVIDENCE_CHARS_MAX, `evidence has at most ${EVIDENCE_CHARS_MAX} characters`)
    return this.#change(index, by, (document, author) => {
      const { atMs: promotedMs, note } = author
      const entry = { ...{ config, trialId, promotedMs, promotedBy, note }, graphId, evidence }
      return promote(document, { ...entry, pinned: false }, author)
    })
  }

  /** One step back. @throws {VectordError} `no_promotion_to_roll_back`, and as `promote`. */
  rollback(index: string, by: ChangeRequest): Promise<PromotionState> {
    return this.#change(index, by, rollback)
  }

  /** Takes a rollback back. @throws {VectordError} `nothing_to_roll_forward`, and as `promote`. */
  rollForward(index: string, by: ChangeRequest): Promise<PromotionState> {
    return this.#change(index, by, rollForward)
  }

  /**
   * Pins the current configuration or frees it; where it is so already nothing is written.
   *
   * @throws {VectordError} `nothing_to_pin`, and as `promote`.
   */
  pin(index: string, pinned: boolean, by: ChangeRequest): Promise<PromotionState> {
    return this.#change(index, by, (document, author) =>
      document.current?.pinned === pinned ? document : pin(document, pinned, author),
    )
  }

  /** What every bucket holds, and what could not be read. */
  list(): Promise<ScanResult> {
    return scanPromotions(this.#options.buckets, this.#options.nowMs)
  }

  /** At most `limit` changes before the revision `before`. @throws as `read`. */
  async audit(
    index: string,
    { before, limit }: { readonly before: number | null; readonly limit: number },
  ): Promise<AuditPage> {
    const entries: PastPromotion[] = []
    for await (const past of this.#find(index).file.history(before ?? Infinity)) {
      entries.push(past)
      if (entries.length === limit) break
    }
    const last = entries.at(-1)?.revision ?? 1
    return { entries, next: entries.length === limit && last > 1 ? last : null }
  }

  /**
   * Removes the promotions of an index that is being deleted, so that one of the same name starts
   * anew; the audit stays. @throws {VectordError} as `read`.
   */
  forget(index: string, by: string): Promise<void> {
    return this.#turns.run(index, async () => {
      const known = this.#find(index)
      await this.#untilFirst(null, async () => {
        const before = await this.#load(index, known)
        this.#take(index, known, await known.file.remove(before, by))
      })
      this.#known.delete(index)
    })
  }

  /**
   * Takes over what other servers did to the indexes that were read before: one list for each
   * bucket, and a read of what has another revision.
   *
   * @throws the first failure, when every index has had its turn.
   */
  async refresh(): Promise<void> {
    const faults: unknown[] = []
    const byBucket = Map.groupBy([...this.#known.keys()], (index) => this.#homeOf(index, faults))
    const refreshing = [...byBucket].map(async ([bucket, indexes]) => {
      if (bucket !== null) await this.#refreshBucket(bucket, indexes, faults)
    })
    await Promise.all(refreshing)
    if (faults.length > 0) throw faults[0]
  }

  #change(index: string, by: ChangeRequest, step: Step): Promise<PromotionState> {
    return this.#turns.run(index, async () => {
      const known = this.#find(index)
      return this.#untilFirst(by.ifRevision, async () => {
        const before = await this.#load(index, known)
        checkRevision(index, before, by)
        const document = before.document ?? neverPromoted(index)
        if (by.byAgent === true) checkNotPinned(document)
        const { note, rebuild } = by
        const author = { by: by.by, atMs: this.#options.nowMs(), note, rebuild }
        const after = step(document, author)
        if (after === document) return before
        return this.#take(index, known, await known.file.write(before, after))
      })
    })
  }

  /** Tries anew where another server wrote first, unless the asker insists on what it has seen. */
  async #untilFirst<T>(ifRevision: number | null, attempt: () => Promise<T>): Promise<T> {
    for (let tries = 1; ; tries += 1) {
      try {
        return await attempt()
      } catch (error) {
        const isLast = ifRevision !== null || tries === CONFLICT_TRIES
        if (!hasCode(error, 'revision_mismatch') || isLast) throw error
        await sleep(Math.random() * Math.min(tries, CONFLICT_WAIT_MS_MAX))
      }
    }
  }

  async #load(index: string, known: Known): Promise<PromotionState> {
    return this.#take(index, known, await known.file.load())
  }

  #take(index: string, known: Known, state: PromotionState): PromotionState {
    const before = known.state ?? { revision: 0, document: null }
    known.state = state
    const { revision, document } = state
    const isNew = before.revision !== revision || (before.document === null) !== (document === null)
    if (isNew) this.#options.onChange(index, document, revision)
    return state
  }

  /** @throws {VectordError} `index_not_found`, `bucket_not_found`, `bucket_unreachable`. */
  #find(index: string): Known {
    const { buckets, nowMs } = this.#options
    const bucket = buckets.homeOf(index)
    const store = buckets.storeOf?.(index) ?? buckets.store(bucket)
    const known = this.#known.get(index)
    if (known?.bucket === bucket && known.store === store) return known
    const file = new PromotionFile({ store, index, nowMs })
    const found = { bucket, store, file, state: known?.state ?? null }
    this.#known.set(index, found)
    return found
  }

  /** Null where it is gone, which ends its watch, or where that cannot be told. */
  #homeOf(index: string, faults: unknown[]): string | null {
    try {
      return this.#options.buckets.homeOf(index)
    } catch (error) {
      if (hasCode(error, 'index_not_found')) this.#known.delete(index)
      else faults.push(error)
      return null
    }
  }

  async #refreshBucket(
    bucket: string,
    indexes: readonly string[],
    faults: unknown[],
  ): Promise<void> {
    try {
      const newest = await newestRevisions(this.#options.buckets.store(bucket))
      for (const index of indexes) {
        if (this.cached(index)?.revision === (newest.get(index) ?? 0)) continue
        await this.read(index).catch((error: unknown) => faults.push(error))
      }
    } catch (error) {
      faults.push(error)
    }
  }
}

function checkRevision(index: string, { revision }: PromotionState, by: ChangeRequest): void {
  if (by.ifRevision === null || by.ifRevision === revision) return
  const message = `The promotions of "${index}" are at revision ${revision}, not ${by.ifRevision}.`
  throw new VectordError('revision_mismatch', message, { details: { index, revision } })
}

function checkNotPinned({ indexName, current }: PromotionDocument): void {
  if (current?.pinned !== true) return
  const message = `The configuration of trial "${current.trialId}" is pinned.`
  const details = { index: indexName, trial_id: current.trialId }
  throw new VectordError('promotion_pinned', message, { details })
}
