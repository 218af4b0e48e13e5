/**
 * A dataset: a named table in a bucket, kept as immutable Parquet files that one document lists.
 */

import type { Cell, Column } from '../domain/table.ts'
import { VectordError } from '../lib/errors.ts'
import type { PiiFlag } from './pii.ts'

export interface DatasetColumn extends Column {
  /** What the column seems to hold of people. */
  readonly pii: readonly PiiFlag[]
}

export interface DatasetPart {
  readonly key: string
  readonly rows: number
  readonly bytes: number
  /** In hex. */
  readonly sha256: string
  /** Names the file that its rows are of, where that is to be in the dataset once. */
  readonly source?: string
}

/** A part that was replaced: it stays for those who still read it. */
export interface RetiredPart {
  readonly key: string
  readonly retiredMs: number
}

export const PUBLISH_MODES = ['replace', 'append'] as const
export type PublishMode = (typeof PUBLISH_MODES)[number]

/** Where rows came from. */
export interface Lineage {
  readonly sourceSystem: string
  /** Redacted: holds no secrets. */
  readonly dsn: string
  readonly queryOrTable: string
  readonly rows: number
  /** Milliseconds since the Unix epoch. */
  readonly startedMs: number
  readonly finishedMs: number
  readonly mode: PublishMode
}

/** The highest value of a column so far: where a later ingest goes on. */
export interface Watermark {
  readonly column: string
  readonly value: Cell
}

export interface Dataset {
  readonly columns: readonly DatasetColumn[]
  readonly parts: readonly DatasetPart[]
  /** Of all parts. */
  readonly rows: number
  readonly watermark: Watermark | null
  /** Oldest first, the last `LINEAGE_MAX`. */
  readonly lineage: readonly Lineage[]
  readonly retired: readonly RetiredPart[]
}

export interface Publication {
  readonly mode: PublishMode
  readonly columns: readonly DatasetColumn[]
  /** Staged before; they may be none. */
  readonly parts: readonly DatasetPart[]
  readonly watermark: Watermark | null
  readonly lineage: Lineage
}

export const LINEAGE_MAX = 100
/** Each takes about 200 bytes of the document, which every publication writes anew. */
export const PARTS_MAX = 10_000

/** A part that was replaced is gone from the list of those by then, and from the bucket. */
const RETIRED_LISTED_MS = 24 * 3600 * 1000

/**
 * The dataset after a publication.
 *
 * @param before null where there is none.
 * @throws {VectordError} `dataset_schema_mismatch` where an append has other columns,
 *   `limit_exceeded` for too many parts.
 */
export function published(
  before: Dataset | null,
  publication: Publication,
  nowMs: number,
): Dataset {
  const old = before ?? NOTHING
  const isAppend = publication.mode === 'append'
  const parts = isAppend ? [...old.parts, ...publication.parts] : publication.parts
  checkCount(parts)
  const replaced = isAppend ? [] : old.parts
  const kept = isAppend ? columnsInUse(before) : null
  const columns = kept === null ? publication.columns : mergedColumns(kept, publication.columns)
  return {
    columns,
    parts,
    rows: parts.reduce((sum, part) => sum + part.rows, 0),
    watermark: isAppend ? later(old.watermark, publication.watermark) : publication.watermark,
    lineage: [...old.lineage, publication.lineage].slice(-LINEAGE_MAX),
    retired: [
      ...old.retired.filter((part) => nowMs - part.retiredMs < RETIRED_LISTED_MS),
      ...replaced.map(({ key }) => ({ key, retiredMs: nowMs })),
    ],
  }
}

/** Null where no row has any: an empty file tells no types that later rows would have to have. */
export function columnsInUse(dataset: Dataset | null): readonly DatasetColumn[] | null {
  return dataset === null || dataset.parts.length === 0 ? null : dataset.columns
}

const NOTHING: Dataset = {
  columns: [],
  parts: [],
  rows: 0,
  watermark: null,
  lineage: [],
  retired: [],
}

function checkCount({ length }: readonly DatasetPart[]): void {
  if (length <= PARTS_MAX) return
  const message = `A dataset has at most ${PARTS_MAX} parts: replace it by fewer.`
  throw new VectordError('limit_exceeded', message, { details: { max: PARTS_MAX } })
}

/**
 * The one that is behind all rows of the dataset. Texts have the order of their database, which nobody
 * knows here: of them the newer one counts.
 */
function later(before: Watermark | null, added: Watermark | null): Watermark | null {
  if (before === null || added === null) return added ?? before
  const isLower = before.column === added.column && isBelow(added.value, before.value)
  return isLower ? before : added
}

function isBelow(one: Cell, other: Cell): boolean {
  if (one instanceof Uint8Array && other instanceof Uint8Array) {
    return Buffer.compare(one, other) < 0
  }
  return isNumeric(one) && isNumeric(other) && one < other
}

function isNumeric(cell: Cell): cell is number | bigint {
  return typeof cell === 'number' || typeof cell === 'bigint'
}

/**
 * The columns of a dataset after an append. The order of the new ones does not matter: parts name
 * their columns.
 *
 * @throws {VectordError} `dataset_schema_mismatch` where they do not fit.
 */
export function mergedColumns(
  before: readonly DatasetColumn[],
  added: readonly DatasetColumn[],
): readonly DatasetColumn[] {
  const byName = new Map(added.map((column) => [column.name, column]))
  const extra = added.find(({ name }) => !before.some((column) => column.name === name))
  if (extra !== undefined) throw mismatch(extra.name, 'is not in the dataset')
  return before.map((column) => {
    const other = byName.get(column.name)
    if (other === undefined) throw mismatch(column.name, 'is missing')
    if (other.type !== column.type) {
      throw mismatch(column.name, `is ${other.type}, and ${column.type} in the dataset`)
    }
    if (other.dimension !== column.dimension) {
      const { dimension = 0 } = column
      const numbers = `${other.dimension ?? 0} numbers, and ${dimension} in the dataset`
      throw mismatch(column.name, `has vectors of ${numbers}`)
    }
    return {
      ...column,
      nullable: column.nullable || other.nullable,
      pii: [...new Set([...column.pii, ...other.pii])],
    }
  })
}

/** @param problem a clause behind the name of the column. */
export function mismatch(column: string, problem: string): VectordError {
  const message = `What is to be appended does not fit: the column "${column}" ${problem}.`
  return new VectordError('dataset_schema_mismatch', message, { details: { column, problem } })
}
