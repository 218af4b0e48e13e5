/**
 * The journal of trials: what was tried on an index, what came of it, and what runs.
 *
 *     begin ─▶ running ──finish──▶ completed | infeasible | pruned | failed | aborted
 *                 ╰──lease passed──sweep──▶ aborted
 *
 *     _hnsw_trials/{index}/batch_{µs}.jsonl      two lines for a trial: its start and its end
 *
 * - The last line of a trial wins; an end wins over every start.
 * - `seq` grows by one with each trial of an index. Each line carries the highest one given out, so it
 *   never goes back: not after a restart, nor when lines of older trials are compacted or trimmed.
 * - A start is durable before the build begins; an end is read at once and made durable at once, or,
 *   where the bucket fails, with a later flush.
 * - One server writes the journal of an index: the one that owns its log.
 */

import type { BatchCodec, BatchEntry, BatchProblem } from '../buckets/batch-line.ts'
import type { BatchLog } from '../buckets/batch-log.ts'
import type { Trial, TrialState } from '../domain/trial.ts'
import { VectordError } from '../lib/errors.ts'
import { invariant } from '../lib/invariant.ts'
import { KeyedMutex } from '../lib/keyed-mutex.ts'
import { type BestRules, type BestTrial, bestTrial, paretoFront } from './best-trial.ts'
import { IndexLogs, type JournalOptions } from './index-logs.ts'
import { fieldsOf, isIntegerIn } from './json-fields.ts'
import { trialFromJson, trialToJson } from './trial-codec.ts'

/** Trials of an index that a compaction keeps, the newest: each has a few kilobytes. */
export const TRIALS_KEPT = 2000

const FOLDER = '_hnsw_trials'

export type NewTrial = Omit<Trial, 'seq'>

export interface TrialQuery {
  readonly limit: number
  /** Only trials with a lower seq; null starts at the newest. */
  readonly after: number | null
  readonly state?: TrialState | undefined
  /** True leaves only those of the newest epoch that no other beats. */
  readonly pareto?: boolean
}

export interface TrialPage {
  /** Newest first. */
  readonly trials: readonly Trial[]
  /** For `after` of the next page; null at the end. */
  readonly next: number | null
  /** Parts of the journal that cannot be read. */
  readonly problems: readonly BatchProblem[]
}

interface TrialLine {
  readonly trial: Trial
  /** Highest seq that was given out when the line was written. */
  readonly seqHigh: number
}

interface Content {
  /** In the order of their seq. */
  readonly trials: readonly Trial[]
  readonly seqHigh: number
  readonly problems: readonly BatchProblem[]
}

export class TrialJournal {
  readonly #options: JournalOptions
  readonly #logs: IndexLogs<TrialLine>
  readonly #turns = new KeyedMutex()
  /** By index: what this process gave out; a start that failed leaves a gap. */
  readonly #seqHigh = new Map<string, number>()

  constructor(options: JournalOptions) {
    this.#options = options
    this.#logs = new IndexLogs({ ...options, folder: FOLDER, codecOf, kept })
  }

  /**
   * Writes the start of a trial and gives it its number. Durable once resolved.
   *
   * @throws {VectordError} what the bucket throws: then the trial is not in the journal, unless its
   *   answer alone was lost; `sweep` ends it then.
   */
  begin(started: NewTrial): Promise<Trial> {
    const { index, trialId } = started
    invariant(started.state === 'running', 'a trial begins running')
    return this.#turns.run(index, async () => {
      const log = this.#logs.of(index)
      const { trials, seqHigh } = await this.#read(index)
      invariant(!trials.some((known) => known.trialId === trialId), 'a trial begins once')
      const seq = seqHigh + 1
      const trial = checked({ ...started, seq })
      this.#seqHigh.set(index, seq)
      const id = log.append({ trial, seqHigh: seq })
      try {
        await log.flush()
      } catch (error) {
        log.withdraw(id)
        throw error
      }
      return trial
    })
  }

  /**
   * Writes the end of a trial that was begun. It is read at once; a bucket that fails is told of, and
   * the end goes out with a later flush.
   */
  finish(ended: Trial): Promise<void> {
    const { index, trialId, seq, state } = ended
    invariant(state !== 'running', 'a trial that ends does not run')
    return this.#turns.run(index, async () => {
      const log = this.#logs.of(index)
      const { trials, seqHigh } = await this.#read(index)
      const begun = trials.find((known) => known.trialId === trialId)
      // Where damage took the start, the end is still worth keeping.
      invariant((begun?.seq ?? seq) === seq, 'a trial ends with the number that it began with')
      await this.#append(log, { trial: checked(ended), seqHigh })
    })
  }

  async list(index: string, query: TrialQuery): Promise<TrialPage> {
    const { limit, after, state, pareto = false } = query
    const { trials, problems } = await this.#read(index)
    const found = (pareto ? paretoFront(trials) : trials)
      .filter((trial) => after === null || trial.seq < after)
      .filter((trial) => state === undefined || trial.state === state)
      .toReversed()
    const page = found.slice(0, limit)
    const next = found.length > limit ? (page.at(-1)?.seq ?? null) : null
    return { trials: page, next, problems }
  }

  /** @throws {VectordError} `trial_not_found`. */
  async get(index: string, trialId: string): Promise<Trial> {
    const { trials, problems } = await this.#read(index)
    const found = trials.find((trial) => trial.trialId === trialId)
    if (found !== undefined) return found
    throw new VectordError('trial_not_found', `Index "${index}" has no such trial.`, {
      details: { index, trial_id: trialId, unreadable: problems.length },
    })
  }

  /** The trials of one data set, running ones too, in the order of their seq. */
  async history(index: string, fingerprint: string): Promise<readonly Trial[]> {
    const { trials } = await this.#read(index)
    return trials.filter(({ epoch }) => epoch.fingerprint === fingerprint)
  }

  /** The best of one epoch, see `bestTrial`; null where no trial meets the rules. */
  async best(index: string, rules: BestRules): Promise<BestTrial | null> {
    return bestTrial((await this.#read(index)).trials, rules)
  }

  /** Aborts running trials whose lease has passed. @returns them, as they are now. */
  sweep(index: string, nowMs: number): Promise<readonly Trial[]> {
    return this.#turns.run(index, async () => {
      const { trials, seqHigh } = await this.#read(index)
      const aborted = trials.filter((trial) => isOverdue(trial, nowMs)).map(abort(nowMs))
      for (const trial of aborted) {
        await this.#append(this.#logs.of(index), { trial, seqHigh })
      }
      return aborted
    })
  }

  /** Merges the batches of an index; superseded lines and the oldest trials go. */
  async compact(index: string): Promise<number> {
    return this.#logs.of(index).compact()
  }

  /** A round of the timer: makes durable what waits, merges where there are many batches. */
  upkeep(): Promise<void> {
    return this.#logs.upkeep()
  }

  /** Deletes the journal of an index that is no more. */
  async drop(index: string): Promise<void> {
    await this.#logs.drop(index)
    this.#seqHigh.delete(index)
  }

  /** Takes nothing more in, and makes everything durable. */
  close(): Promise<void> {
    return this.#logs.close()
  }

  async #append(log: BatchLog<TrialLine>, line: TrialLine): Promise<void> {
    log.append(line)
    try {
      await log.flush()
    } catch (error) {
      this.#options.onTrouble(error, `write the end of a trial of index "${line.trial.index}"`)
    }
  }

  async #read(index: string): Promise<Content> {
    const { entries, problems } = await this.#logs.of(index).read()
    const lines = entries.map(({ record }) => record)
    const trials = [...lastLines(entries).values()].map(({ record }) => record.trial)
    const seqHigh = Math.max(this.#seqHigh.get(index) ?? 0, ...lines.map((line) => line.seqHigh))
    return { trials: trials.sort((a, b) => a.seq - b.seq), seqHigh, problems }
  }
}

/** By trial id: the line that counts. */
function lastLines(
  entries: readonly BatchEntry<TrialLine>[],
): ReadonlyMap<string, BatchEntry<TrialLine>> {
  const last = new Map<string, BatchEntry<TrialLine>>()
  for (const entry of entries) {
    const { trialId, state } = entry.record.trial
    const before = last.get(trialId)?.record.trial.state ?? 'running'
    if (before === 'running' || state !== 'running') last.set(trialId, entry)
  }
  return last
}

/** One line for each of the newest trials, the newest of them with the highest seq of all. */
function kept(entries: readonly BatchEntry<TrialLine>[]): readonly BatchEntry<TrialLine>[] {
  const seqHigh = Math.max(0, ...entries.map(({ record }) => record.seqHigh))
  return [...lastLines(entries).values()]
    .sort((a, b) => a.record.trial.seq - b.record.trial.seq)
    .slice(-TRIALS_KEPT)
    .map(({ id, record }) => ({ id, record: { ...record, seqHigh } }))
}

function codecOf(index: string): BatchCodec<TrialLine> {
  return {
    toJson: ({ trial, seqHigh }) => ({ seq_high: seqHigh, ...trialToJson(trial) }),
    fromJson: (json) => {
      const trial = trialFromJson(index, json)
      const seqHigh = fieldsOf('line of a trial', json)('seq_high', isIntegerIn(trial.seq))
      return { trial, seqHigh }
    },
  }
}

/** The trial as it will be read back. */
function checked(trial: Trial): Trial {
  return trialFromJson(trial.index, trialToJson(trial))
}

function isOverdue({ state, leaseUntilMs }: Trial, nowMs: number): boolean {
  return state === 'running' && leaseUntilMs !== null && leaseUntilMs < nowMs
}

function abort(nowMs: number): (trial: Trial) => Trial {
  const reason = 'The lease of the trial has passed: what ran it is gone.'
  return (trial) => ({ ...trial, state: 'aborted', reason, finishedMs: nowMs })
}
