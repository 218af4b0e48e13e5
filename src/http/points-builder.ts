/**
 * Collects the rows of one upsert into columns, and what is wrong with them.
 *
 * One refused row refuses the batch: `finish` then throws an error that lists the first
 * `REJECTED_MAX` problems. Memory is bounded by what the body can hold, not by what it claims.
 */

import type { Metric } from '../domain/metric.ts'
import type { UpsertBatch } from '../domain/write-batch.ts'
import { VectordError, type ErrorCode, type ErrorDetails } from '../lib/errors.ts'
import { invariant } from '../lib/invariant.ts'
import type { HttpLimits } from './limits.ts'
import { idProblem, metadataText, textProblem, type RowProblem } from '../domain/row-values.ts'
import { echo } from './validation-fault.ts'
import { checkVector, readVector } from '../domain/vector-values.ts'

/** Problems that an error reply lists; it also says how many there are. */
const REJECTED_MAX = 100

export interface PointRules {
  readonly dimension: number
  readonly metric: Metric
  readonly limits: HttpLimits
  /** A point may be a text without a vector. */
  readonly takesTexts?: boolean
}

export interface RawPoint {
  readonly id: unknown
  /** As sent, or a `Float32Array` of numbers nobody has checked; undefined where there is none. */
  readonly vector: unknown
  readonly text: unknown
  readonly metadata: unknown
}

interface Rejected {
  readonly row: number
  readonly id: string | null
  readonly field: string
  readonly problem: string
}

export class PointsBuilder {
  readonly #rules: PointRules
  readonly #vectors: Float32Array
  readonly #ids: string[] = []
  readonly #texts: (string | null)[] = []
  readonly #metadata: (string | null)[] = []
  readonly #seen = new Set<string>()
  readonly #rejected: Rejected[] = []
  readonly #kinds = new Set<RowProblem['kind']>()
  #rejections = 0
  /** Places of vectors, as in `UpsertBatch`. */
  readonly #places: number[] = []
  #vectorCount = 0

  /** @throws {VectordError} `limit_exceeded` for too many rows, `bad_request` for none. */
  constructor(rows: number, rules: PointRules) {
    const { dimension, limits } = rules
    checkRows(rows, limits.rowsMax, 'points')
    this.#rules = rules
    // Each number takes two bytes of a body or more: claiming rows without vectors gets no memory.
    const floatsMax = Math.max(dimension, Math.floor(limits.bodyBytesMax / 2))
    this.#vectors = new Float32Array(Math.min(rows * dimension, floatsMax))
  }

  add(row: number, point: RawPoint): void {
    this.#checkId(row, point.id)
    const hasVector = this.#checkVector(row, point)
    const text = this.#text(row, point)
    const metadata = this.#metadataText(row, point)
    if (this.#rejections > 0) return
    this.#ids.push(point.id as string)
    this.#places.push(hasVector ? this.#vectorCount : -1)
    if (hasVector) this.#vectorCount += 1
    this.#texts.push(text)
    this.#metadata.push(metadata)
  }

  refuse(row: number, field: string, problem: RowProblem, id: unknown = null): void {
    this.#rejections += 1
    this.#kinds.add(problem.kind)
    if (this.#rejected.length >= REJECTED_MAX) return
    const named = typeof id === 'string' ? echo(id).toWellFormed() : null
    this.#rejected.push({ row, id: named, field, problem: problem.text })
  }

  /** @throws {VectordError} where any row was refused. */
  finish(): UpsertBatch {
    if (this.#rejections > 0) throw this.#refusal()
    const { dimension } = this.#rules
    const isWhole = this.#vectorCount === this.#ids.length
    const floats = this.#vectorCount * dimension
    invariant(!isWhole || floats === this.#vectors.length, 'every row has its vector')
    return {
      kind: 'upsert',
      dimension,
      ids: this.#ids,
      vectors: isWhole ? this.#vectors : this.#vectors.slice(0, floats),
      ...(!isWhole && { places: Int32Array.from(this.#places) }),
      texts: this.#texts,
      metadata: this.#metadata,
    }
  }

  #checkId(row: number, id: unknown): void {
    const problem =
      id === undefined
        ? ({ kind: 'value', text: 'is missing' } as const)
        : idProblem(id, this.#rules.limits.idBytesMax)
    if (problem !== null) {
      this.refuse(row, 'id', problem, id)
      return
    }
    const known = this.#seen.size
    if (this.#seen.add(id as string).size === known) {
      this.refuse(row, 'id', { kind: 'value', text: 'comes twice in this request' }, id)
    }
  }

  /** @returns false where the row is a text without a vector. */
  #checkVector(row: number, { id, vector, text }: RawPoint): boolean {
    if (vector === undefined || vector === null) {
      const problem = this.#problemOfNone(text)
      if (problem !== null) this.refuse(row, 'vector', { kind: 'value', text: problem }, id)
      return false
    }
    const { dimension, metric } = this.#rules
    // Rows after a refused one are only looked at: they may overwrite each other.
    const place = { offset: this.#rejections > 0 ? 0 : this.#vectorCount * dimension, dimension }
    const problem =
      vector instanceof Float32Array
        ? this.#copy(vector, place)
        : readVector(vector, metric, this.#vectors, place)
    if (problem === null) return true
    const field = problem.at === null ? 'vector' : `vector[${problem.at}]`
    this.refuse(row, field, problem, id)
    return true
  }

  /** What is wrong with a row without a vector; what is wrong with its text is told of the text. */
  #problemOfNone(text: unknown): string | null {
    if (text === null) return 'is missing'
    if (this.#rules.takesTexts !== true) {
      return 'is missing: a point with text alone needs an index with an embedder'
    }
    return text === '' ? 'is missing, and the text is empty' : null
  }

  #copy(
    vector: Float32Array,
    place: { readonly offset: number; readonly dimension: number },
  ): ReturnType<typeof readVector> {
    if (vector.length !== place.dimension) {
      const text = `has ${vector.length} numbers, the index has ${place.dimension}`
      return { kind: 'dimension', at: null, text }
    }
    this.#vectors.set(vector, place.offset)
    return checkVector(this.#vectors, this.#rules.metric, place)
  }

  #text(row: number, { id, text }: RawPoint): string | null {
    if (text === null) return null
    const problem = textProblem(text)
    if (problem !== null) this.refuse(row, 'text', problem, id)
    return text as string
  }

  #metadataText(row: number, { id, metadata }: RawPoint): string | null {
    if (metadata === null) return null
    const text = metadataText(metadata, this.#rules.limits.metadataBytesMax)
    if (typeof text === 'string') return text
    this.refuse(row, 'metadata', text, id)
    return null
  }

  #refusal(): VectordError {
    const rejected = this.#rejected.map((entry): ErrorDetails => ({ ...entry }))
    const [first] = this.#rejected
    const at = `row ${first?.row ?? 0}: "${first?.field ?? ''}" ${first?.problem ?? ''}`
    const message = `Nothing was written. The first of ${this.#rejections} problems is in ${at}.`
    return new VectordError(codeOf(this.#kinds), message, {
      details: { rejected, rejected_total: this.#rejections },
    })
  }
}

function codeOf(kinds: ReadonlySet<RowProblem['kind']>): ErrorCode {
  const [only] = kinds
  if (kinds.size > 1 || only === undefined) return 'invalid_points'
  const codes = {
    dimension: 'vector_dimension_mismatch',
    limit: 'limit_exceeded',
    value: 'invalid_points',
  } as const
  return codes[only]
}

/** @throws {VectordError} `limit_exceeded` or, for none at all, `bad_request`. */
export function checkRows(rows: number, rowsMax: number, field: string): void {
  if (rows === 0) {
    throw new VectordError('bad_request', `"${field}" must not be empty.`, { details: { field } })
  }
  if (rows > rowsMax) {
    throw new VectordError('limit_exceeded', `A request may hold ${rowsMax} rows at the most.`, {
      details: { limit: 'rows_per_request', max: rowsMax },
    })
  }
}
