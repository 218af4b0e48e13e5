/**
 * The decision log: every verdict about the configuration of an index, and why.
 *
 *     _hnsw_decisions/{index}/batch_{µs}.jsonl
 *
 * Refusals, dry runs and rollbacks are in it too: it remembers what the document of promotions, which
 * says only what holds now, does not.
 */

import type { BatchCodec, BatchEntry, BatchProblem } from '../buckets/batch-line.ts'
import type { JsonObject } from '../buckets/revision-codec.ts'
import { VectordError } from '../lib/errors.ts'
import { IndexLogs, type JournalOptions } from './index-logs.ts'
import {
  corruptField,
  fieldsOf,
  isBoolean,
  isObject,
  isText,
  isTime,
  orNull,
} from './json-fields.ts'

/** Decisions of an index that a compaction keeps, the newest. */
const DECISIONS_KEPT = 10_000

/** UTF-16 units of the evidence as JSON text. */
const EVIDENCE_MAX = 16_384

const FOLDER = '_hnsw_decisions'
const CURSOR = /^\d{16}-[0-9a-f]{8}$/

export interface Decision {
  readonly atMs: number
  readonly index: string
  /** What was decided about, such as `promotion`, `rollback`, `live_ef`. */
  readonly kind: string
  readonly trialId: string | null
  /** Such as `promote`, `reject`, `inconclusive`. */
  readonly verdict: string
  /** A sentence for people. */
  readonly reason: string
  /** The numbers that it rests on, as JSON. */
  readonly evidence: JsonObject
  /** Who: the name of an API key, or of a part of vectord. */
  readonly by: string
  /** True where nothing was changed. */
  readonly dryRun: boolean
}

export interface DecisionPage {
  /** Newest first. */
  readonly decisions: readonly (Decision & { readonly decisionId: string })[]
  /** For `after` of the next page; null at the end. */
  readonly next: string | null
  /** Parts of the log that cannot be read. */
  readonly problems: readonly BatchProblem[]
}

export class DecisionLog {
  readonly #logs: IndexLogs<Decision>

  constructor(options: JournalOptions) {
    this.#logs = new IndexLogs({
      ...options,
      folder: FOLDER,
      codecOf,
      kept: (entries: readonly BatchEntry<Decision>[]) => entries.slice(-DECISIONS_KEPT),
    })
  }

  /** It is read at once, and durable after the next flush. @returns its id. */
  append(decision: Decision): string {
    const codec = codecOf(decision.index)
    // As it will be read back, so that nothing is stored that cannot be read.
    return this.#logs.of(decision.index).append(codec.fromJson(codec.toJson(decision)))
  }

  /** @throws {VectordError} `invalid_cursor` where `after` is no id. */
  async list(
    index: string,
    { limit, after }: { readonly limit: number; readonly after: string | null },
  ): Promise<DecisionPage> {
    if (after !== null && !CURSOR.test(after)) {
      throw new VectordError('invalid_cursor', 'The cursor is not one of ours: start from none.')
    }
    const { entries, problems } = await this.#logs.of(index).read()
    const found = entries.filter(({ id }) => after === null || id < after).toReversed()
    const page = found.slice(0, limit).map(({ id, record }) => ({ ...record, decisionId: id }))
    const next = found.length > limit ? (page.at(-1)?.decisionId ?? null) : null
    return { decisions: page, next, problems }
  }

  /** Makes durable what waits for one index. @returns how many entries. */
  async flush(index: string): Promise<number> {
    return this.#logs.of(index).flush()
  }

  /** Merges the batches of an index; the oldest decisions go. */
  async compact(index: string): Promise<number> {
    return this.#logs.of(index).compact()
  }

  /** A round of the timer: makes durable what waits, merges where there are many batches. */
  upkeep(): Promise<void> {
    return this.#logs.upkeep()
  }

  /** Deletes the log of an index that is no more. */
  drop(index: string): Promise<void> {
    return this.#logs.drop(index)
  }

  /** Takes nothing more in, and makes everything durable. */
  close(): Promise<void> {
    return this.#logs.close()
  }
}

function codecOf(index: string): BatchCodec<Decision> {
  return {
    toJson: decisionToJson,
    fromJson: (json) => decisionFromJson(index, json),
  }
}

export function decisionToJson(decision: Decision): JsonObject {
  const { atMs, index, kind, trialId, verdict, reason, evidence, by, dryRun } = decision
  return {
    ...{ at: new Date(atMs).toISOString(), index, kind, trial_id: trialId, verdict },
    ...{ reason, evidence, by, dry_run: dryRun },
  }
}

function decisionFromJson(index: string, json: JsonObject): Decision {
  const field = fieldsOf('decision', json)
  const evidence = field('evidence', isObject)
  if (JSON.stringify(evidence).length > EVIDENCE_MAX) throw corruptField('decision', 'evidence')
  return {
    atMs: Date.parse(field('at', isTime)),
    index: field('index', (value): value is string => value === index),
    kind: field('kind', isText(128, 1)),
    trialId: field('trial_id', orNull(isText(128, 1))),
    verdict: field('verdict', isText(128, 1)),
    reason: field('reason', isText(4096)),
    evidence,
    by: field('by', isText(256, 1)),
    dryRun: field('dry_run', isBoolean),
  }
}
