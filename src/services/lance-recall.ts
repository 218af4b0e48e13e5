/**
 * Measures the recall of a Lance index, and chooses its search settings for a floor.
 *
 * What is chosen is stored in the meta of the index with what was shown of it: a revision that says
 * who asked and why. Where nothing reaches the floor, that is told, and the best is kept.
 */

import type { LanceIndexKind, LanceSearchSettings, LanceStats } from '../domain/lance-table.ts'
import type { IndexRegistry } from '../indexes/index-registry.ts'
import type { LanceIndex } from '../indexes/lance-index.ts'
import { VectordError } from '../lib/errors.ts'
import { lanceQuestions, measureLance, type LanceMeasured } from './lance-queries.ts'
import { halvesOf, solveLance, type LanceSolved } from './lance-solver.ts'
import type { OperationControl } from './operation.ts'

/** Which rows are sampled is the same for the same table. */
const SAMPLE_SEED = 0x1a9ce
/** Fewer queries show nothing. */
export const LANCE_QUERIES_MIN = 20

export interface LanceRecallWish {
  /** Sampled rows: half of them choose, half of them show. */
  readonly queries: number
  readonly k: number
  /** Floor of the mean recall. */
  readonly minRecall: number
  /** False: measures alone. */
  readonly solve: boolean
  readonly by: string
}

/** Settings with what was measured of them, as JSON. */
export interface LancePointReport {
  readonly nprobes: number | null
  readonly refine_factor: number | null
  readonly ef: number | null
  readonly queries: number
  readonly recall: number
  readonly recall_lcb: number
  readonly recall_ucb: number
  readonly recall_p10: number
  readonly took_ms_p50: number
}

export interface LanceRecallReport {
  readonly index: string
  readonly index_kind: string | null
  readonly k: number
  readonly min_recall: number
  readonly version: number
  /** The settings in force before, on the half that shows. */
  readonly current: LancePointReport
  readonly solved: {
    /** The lower bound of the settings that are kept reaches the floor. */
    readonly reached: boolean
    /** False: those before are as good, and stay. */
    readonly changed: boolean
    readonly kept: LancePointReport
    readonly tried: LancePointReport[]
  } | null
}

export interface LanceRecallOptions {
  readonly indexes: Pick<IndexRegistry, 'lanceIndex' | 'update'>
  readonly nowMs: () => number
}

export class LanceRecall {
  readonly #options: LanceRecallOptions

  constructor(options: LanceRecallOptions) {
    this.#options = options
  }

  /** @throws {VectordError} `lance_too_few_rows`, what the table throws; the reason of the signal. */
  async run(
    name: string,
    wish: LanceRecallWish,
    { signal, progress }: OperationControl,
  ): Promise<LanceRecallReport> {
    const index = this.#options.indexes.lanceIndex(name)
    const { k, minRecall } = wish
    const stats = await index.table.stats()
    const { version } = stats
    const scale = { table: index.table, metric: index.meta.metric, k, version, signal }
    const sample = { count: wish.queries, seed: SAMPLE_SEED }
    const questions = await lanceQuestions(scale, sample, (done, total) => {
      progress('computing the truth', { done, total })
    })
    if (questions.length < LANCE_QUERIES_MIN) throw tooFew(name, questions.length)
    const halves = halvesOf(questions)
    progress('measuring')
    const current = await measureLance(scale, halves.heldOut, settingsOf(index))
    const kind = kindOf(stats)
    const base = { index: name, index_kind: kind, k, min_recall: minRecall, version }
    const report = { ...base, current: pointOf(current) }
    if (!wish.solve || kind === null) return { ...report, solved: null }
    const goal = {
      ...{ kind, rows: stats.rows, minRecall },
      onProgress: (done: number, total: number) => {
        progress('solving', { done, total })
      },
    }
    const solved = await solveLance(scale, halves, goal)
    return {
      ...report,
      solved: await this.#keep(index, { wish, kind, current, solved, version }),
    }
  }

  async #keep(
    index: LanceIndex,
    of: {
      readonly wish: LanceRecallWish
      readonly kind: LanceIndexKind
      readonly current: LanceMeasured
      readonly solved: LanceSolved
      readonly version: number
    },
  ): Promise<LanceRecallReport['solved']> {
    const { wish, kind, current, solved, version } = of
    const stays = isAsGood(current, solved, wish.minRecall)
    const kept = stays ? current : solved.shown
    const reached = kept.lcb >= wish.minRecall
    const { recall, lcb: recallLcb, queries, settings } = kept
    const shown = { recall, recallLcb, minRecall: wish.minRecall, k: wish.k, queries, version }
    const { nowMs, indexes } = this.#options
    const reason = reached
      ? `recall ${show(recall)}, at least ${show(recallLcb)}, reaches ${wish.minRecall}`
      : `recall ${show(recall)} is the best; nothing reaches ${wish.minRecall}`
    await indexes.update(
      index.meta.name,
      { lance: { ...settings, indexKind: kind, shown: { ...shown, atMs: nowMs() } } },
      { ifRevision: null, by: wish.by, reason },
    )
    const tried = solved.tried.map(pointOf)
    return { reached, changed: !stays, kept: pointOf(kept), tried }
  }
}

/** The settings before stay where they reach the floor for less, or nothing does and they find more. */
function isAsGood(current: LanceMeasured, { shown }: LanceSolved, minRecall: number): boolean {
  const [reaches, other] = [current.lcb >= minRecall, shown.lcb >= minRecall]
  if (reaches !== other) return reaches
  return reaches ? current.tookUsP50 <= shown.tookUsP50 : current.recall >= shown.recall
}

function settingsOf({ settings }: LanceIndex): LanceSearchSettings {
  const { nprobes, refineFactor, ef } = settings
  return { nprobes, refineFactor, ef }
}

/** The names that Lance has for them. */
const KINDS: Readonly<Record<string, LanceIndexKind>> = {
  IvfPq: 'ivf_pq',
  IvfHnswSq: 'ivf_hnsw_sq',
}

/** As the table has it: a crash after its commit may have left the meta behind. */
function kindOf({ indices }: LanceStats): LanceIndexKind | null {
  const index = indices.find(({ column }) => column === 'vector')
  return index === undefined ? null : (KINDS[index.kind] ?? null)
}

function pointOf({ settings, ...measured }: LanceMeasured): LancePointReport {
  const { nprobes, refineFactor, ef } = settings
  const { queries, recall, lcb, ucb, p10, tookUsP50 } = measured
  return {
    ...{ nprobes, refine_factor: refineFactor, ef, queries, recall },
    ...{ recall_lcb: lcb, recall_ucb: ucb, recall_p10: p10, took_ms_p50: tookUsP50 / 1000 },
  }
}

function show(recall: number): string {
  return recall.toFixed(4)
}

function tooFew(index: string, rows: number): VectordError {
  const message = `Recall needs ${LANCE_QUERIES_MIN} rows to ask for; index "${index}" has ${rows}.`
  return new VectordError('lance_too_few_rows', message, {
    details: { index, rows, needed: LANCE_QUERIES_MIN },
  })
}
