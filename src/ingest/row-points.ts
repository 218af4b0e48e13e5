/**
 * Makes the points of an index out of the rows of a table, and says what is wrong with the others.
 *
 *     rows ─▶ checked as those of a request ─▶ batch, bounded by rows and by bytes ─▶ taken
 *                     ╰──▶ refused: counted, and the first `REFUSED_MAX` of them listed
 *
 * A batch holds an id once: of rows with the same id in one batch the last one counts, as it would
 * if each were written by itself.
 */

import type { Metric } from '../domain/metric.ts'
import { idProblem, metadataText, textProblem, type RowProblem } from '../domain/row-values.ts'
import type { Cell, Column, TableBatch } from '../domain/table.ts'
import { checkVector, readVector, type VectorProblem } from '../domain/vector-values.ts'
import { upsertOf, type UpsertBatch, type UpsertRow } from '../domain/write-batch.ts'
import { VectordError, type ErrorDetails } from '../lib/errors.ts'
import {
  idOf,
  mapColumns,
  metadataOf,
  vectorCell,
  type MappedColumns,
  type PointMapping,
} from './point-mapping.ts'

/** Refused rows that are listed; they are counted beyond it. */
const REFUSED_MAX = 100
/** Characters of an id that is repeated in a list. */
const ECHO_CHARS_MAX = 64
/** Bytes of vectors and texts in a batch: its write must not hold the event loop of the front. */
const BATCH_BYTES_MAX = 4 * 1024 * 1024

export interface PointRules {
  readonly dimension: number
  readonly metric: Metric
  /** A point may be a text without a vector. */
  readonly takesTexts: boolean
  readonly idBytesMax: number
  readonly metadataBytesMax: number
  /** Rows of one batch at the most. */
  readonly rowsMax: number
}

export interface RefusedRow {
  /** From 0, in the order of the source. */
  readonly row: number
  readonly id: string | null
  readonly field: string
  readonly problem: string
}

export interface Refusals {
  readonly count: number
  /** The first of them. */
  readonly rows: readonly RefusedRow[]
}

export interface RowPointsOptions {
  readonly mapping: PointMapping
  readonly rules: PointRules
  readonly columns: readonly Column[]
}

interface Fault {
  readonly field: string
  readonly problem: Pick<RowProblem, 'text'>
}

export class RowPoints {
  readonly #rules: PointRules
  readonly #columns: MappedColumns
  readonly #refused: RefusedRow[] = []
  #refusals = 0
  #row = 0
  #batch = new Map<string, UpsertRow>()
  #bytes = 0

  /** @throws {VectordError} `bad_request` where the table lacks a column. */
  constructor({ mapping, rules, columns }: RowPointsOptions) {
    this.#rules = rules
    this.#columns = mapColumns(mapping, columns)
  }

  get refusals(): Refusals {
    return { count: this.#refusals, rows: this.#refused }
  }

  /** The points of a batch of the table, as far as they fill batches; `rest` gives what is left. */
  *add({ rows, cells }: TableBatch): Generator<UpsertBatch> {
    for (let at = 0; at < rows; at += 1) {
      this.#addRow((column) => cells[column]?.[at] ?? null)
      this.#row += 1
      if (this.#isFull()) yield this.#take()
    }
  }

  *rest(): Generator<UpsertBatch> {
    if (this.#batch.size > 0) yield this.#take()
  }

  /** @throws {VectordError} `invalid_points` that lists what was refused, where anything was. */
  checkAll(): void {
    const [first] = this.#refused
    if (first === undefined) return
    const at = `row ${first.row}: "${first.field}" ${first.problem}`
    const message = `${this.#refusals} rows are no points of the index. The first is ${at}.`
    throw new VectordError('invalid_points', message, {
      details: {
        rejected: this.#refused.map((entry): ErrorDetails => ({ ...entry })),
        rejected_total: this.#refusals,
      },
    })
  }

  #addRow(cellAt: (column: number) => Cell): void {
    const id = idOf(cellAt(this.#columns.id))
    const point = this.#pointOf(id, cellAt)
    if ('problem' in point) {
      this.#refuse(id, point)
      return
    }
    // Behind the others: the row that came last is the one that counts.
    this.#batch.delete(point.id)
    this.#batch.set(point.id, point)
    const { vector, text, metadata } = point
    this.#bytes += (vector?.byteLength ?? 0) + (text?.length ?? 0) + (metadata?.length ?? 0)
  }

  #pointOf(id: unknown, cellAt: (column: number) => Cell): UpsertRow | Fault {
    const { idBytesMax } = this.#rules
    const badId = id === null ? NO_ID : idProblem(id, idBytesMax)
    if (badId !== null) return { field: 'id', problem: badId }
    const text = this.#columns.text < 0 ? null : cellAt(this.#columns.text)
    const badText = text === null ? null : textProblem(text)
    if (badText !== null) return { field: 'text', problem: badText }
    const vector = this.#vectorOf(cellAt, text)
    if (vector !== null && 'problem' in vector) return vector
    const metadata = this.#metadataOf(cellAt)
    if (metadata !== null && typeof metadata !== 'string') return metadata
    return { id: id as string, vector, text: text as string | null, metadata }
  }

  #metadataOf(cellAt: (column: number) => Cell): string | Fault | null {
    const fields = metadataOf(this.#columns, cellAt)
    const text = fields === null ? null : metadataText(fields, this.#rules.metadataBytesMax)
    return text === null || typeof text === 'string' ? text : { field: 'metadata', problem: text }
  }

  #vectorOf(cellAt: (column: number) => Cell, text: Cell): Float32Array | Fault | null {
    const cell = this.#columns.vector < 0 ? null : vectorCell(cellAt(this.#columns.vector))
    if (cell === null) {
      const problem = this.#problemOfNone(text)
      return problem === null ? null : { field: 'vector', problem: { text: problem } }
    }
    const { dimension, metric } = this.#rules
    const vector = new Float32Array(dimension)
    const problem = readCell(cell, vector, metric)
    if (problem === null) return vector
    return { field: problem.at === null ? 'vector' : `vector[${problem.at}]`, problem }
  }

  /** As for points of requests: a text alone is enough where the index makes vectors of texts. */
  #problemOfNone(text: Cell): string | null {
    if (text === null) return 'is missing'
    if (!this.#rules.takesTexts) {
      return 'is missing: a point with text alone needs an index with an embedder'
    }
    return text === '' ? 'is missing, and the text is empty' : null
  }

  #refuse(id: unknown, { field, problem }: Fault): void {
    this.#refusals += 1
    if (this.#refused.length >= REFUSED_MAX) return
    const named = typeof id === 'string' ? id.slice(0, ECHO_CHARS_MAX).toWellFormed() : null
    this.#refused.push({ row: this.#row, id: named, field, problem: problem.text })
  }

  #isFull(): boolean {
    return this.#batch.size >= this.#rules.rowsMax || this.#bytes >= BATCH_BYTES_MAX
  }

  #take(): UpsertBatch {
    const rows = [...this.#batch.values()]
    this.#batch = new Map()
    this.#bytes = 0
    return upsertOf(this.#rules.dimension, rows)
  }
}

const NO_ID = { text: 'is missing' } as const

type CellProblem = Pick<VectorProblem, 'at' | 'text'>

const NO_VECTOR: CellProblem = {
  at: null,
  text: 'must be a list of numbers, text such as "[1, 2]", or bytes of float32',
}

/** Writes a vector as `vectorCell` gives it into `to`. @returns what is wrong with it, or null. */
function readCell(cell: unknown, to: Float32Array, metric: Metric): CellProblem | null {
  const place = { offset: 0, dimension: to.length }
  if (Array.isArray(cell)) return readVector(cell, metric, to, place)
  if (!(cell instanceof Float32Array)) return NO_VECTOR
  if (cell.length !== to.length) {
    return { at: null, text: `has ${cell.length} numbers, the index has ${to.length}` }
  }
  to.set(cell)
  return checkVector(to, metric, place)
}
