/**
 * Datasets as JSON: what the revisions of their documents hold. `docs/formats/datasets.md`.
 */

import type { Json, JsonObject } from '../buckets/revision-codec.ts'
import { COLUMN_TYPES, type Cell } from '../domain/table.ts'
import { VectordError } from '../lib/errors.ts'
import {
  type Dataset,
  type DatasetColumn,
  type DatasetPart,
  type Lineage,
  PUBLISH_MODES,
  type RetiredPart,
  type Watermark,
} from './dataset.ts'
import { PII_FLAGS } from './pii.ts'

/** The number goes up where older versions of vectord would misread what is stored. */
const FORMAT = 1

export function datasetToJson(name: string, dataset: Dataset): JsonObject {
  const { columns, parts, rows, watermark, lineage, retired } = dataset
  return {
    format: FORMAT,
    name,
    columns: columns.map(columnToJson),
    parts: parts.map(({ key, rows, bytes, sha256, source }) => ({
      ...{ key, rows, bytes, sha256 },
      ...(source !== undefined && { source }),
    })),
    rows,
    watermark:
      watermark === null ? null : { column: watermark.column, value: cellToJson(watermark.value) },
    lineage: lineage.map(lineageToJson),
    retired: retired.map(({ key, retiredMs }) => ({ key, retired_at: timeText(retiredMs) })),
  }
}

/** @throws {VectordError} `object_corrupt`, `format_too_new`. */
export function datasetFromJson(json: JsonObject, key: string): Dataset {
  const at = new Fields(json, key)
  const format = at.integer('format')
  if (format > FORMAT) {
    throw new VectordError('format_too_new', `The dataset "${key}" has format ${format}.`, {
      details: { key, format, newest: FORMAT },
    })
  }
  return {
    columns: at.list('columns').map(columnFromJson),
    parts: at.list('parts').map(partFromJson),
    rows: at.integer('rows'),
    watermark: json['watermark'] === null ? null : watermarkFromJson(at.object('watermark')),
    lineage: at.list('lineage').map(lineageFromJson),
    retired: at.list('retired').map(retiredFromJson),
  }
}

/** As documents and the API show it. */
export function columnToJson({ name, type, nullable, dimension, pii }: DatasetColumn): {
  readonly name: string
  readonly type: DatasetColumn['type']
  readonly nullable: boolean
  readonly dimension?: number
  readonly pii: DatasetColumn['pii'][number][]
} {
  return { name, type, nullable, ...(dimension !== undefined && { dimension }), pii: [...pii] }
}

function columnFromJson(at: Fields): DatasetColumn {
  const dimension = at.has('dimension') ? { dimension: at.integer('dimension') } : {}
  return {
    name: at.text('name'),
    type: at.oneOf('type', COLUMN_TYPES),
    nullable: at.boolean('nullable'),
    ...dimension,
    pii: at.words('pii', PII_FLAGS),
  }
}

function partFromJson(at: Fields): DatasetPart {
  return {
    key: at.text('key'),
    rows: at.integer('rows'),
    bytes: at.integer('bytes'),
    sha256: at.text('sha256'),
    ...(at.has('source') && { source: at.text('source') }),
  }
}

function retiredFromJson(at: Fields): RetiredPart {
  return { key: at.text('key'), retiredMs: at.time('retired_at') }
}

/** As documents and the API show it. */
export function lineageToJson(lineage: Lineage): {
  readonly source_system: string
  readonly dsn: string
  readonly query_or_table: string
  readonly rows: number
  readonly started_at: string
  readonly finished_at: string
  readonly mode: Lineage['mode']
} {
  return {
    source_system: lineage.sourceSystem,
    dsn: lineage.dsn,
    query_or_table: lineage.queryOrTable,
    rows: lineage.rows,
    started_at: timeText(lineage.startedMs),
    finished_at: timeText(lineage.finishedMs),
    mode: lineage.mode,
  }
}

function lineageFromJson(at: Fields): Lineage {
  return {
    sourceSystem: at.text('source_system'),
    dsn: at.text('dsn'),
    queryOrTable: at.text('query_or_table'),
    rows: at.integer('rows'),
    startedMs: at.time('started_at'),
    finishedMs: at.time('finished_at'),
    mode: at.oneOf('mode', PUBLISH_MODES),
  }
}

function watermarkFromJson(at: Fields): Watermark {
  return { column: at.text('column'), value: at.cell('value') }
}

/** JSON has no int64 and no bytes: `{"int64": "…"}`, `{"base64": "…"}`; numbers are finite. */
function cellToJson(cell: Cell): Json {
  if (typeof cell === 'bigint') return { int64: cell.toString() }
  if (cell instanceof Float32Array) return Array.from(cell)
  if (cell instanceof Uint8Array) return { base64: Buffer.from(cell).toString('base64') }
  return cell
}

function cellFromJson(json: Json | undefined): Cell | undefined {
  if (json === undefined) return undefined
  if (Array.isArray(json)) return Float32Array.from(json, Number)
  if (json === null || typeof json !== 'object') return json
  const { int64, base64 } = json as JsonObject
  if (typeof int64 === 'string' && /^-?\d+$/.test(int64)) return BigInt(int64)
  if (typeof base64 === 'string') return new Uint8Array(Buffer.from(base64, 'base64'))
  return undefined
}

/** A watermark as people read it: its value as text. */
export function watermarkText({ value }: Watermark): string {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64')
  return String(value)
}

function timeText(ms: number): string {
  return new Date(ms).toISOString()
}

/** Fields of stored JSON, each of its type, or the object is corrupt and the fault names the field. */
class Fields {
  readonly #json: JsonObject
  readonly #key: string

  constructor(json: JsonObject, key: string) {
    this.#json = json
    this.#key = key
  }

  has(name: string): boolean {
    return this.#json[name] !== undefined
  }

  text(name: string): string {
    const value = this.#json[name]
    return typeof value === 'string' ? value : this.#fail(name)
  }

  boolean(name: string): boolean {
    const value = this.#json[name]
    return typeof value === 'boolean' ? value : this.#fail(name)
  }

  /** From 0 to 2^53. */
  integer(name: string): number {
    const value = this.#json[name]
    return Number.isSafeInteger(value) && (value as number) >= 0
      ? (value as number)
      : this.#fail(name)
  }

  time(name: string): number {
    const ms = Date.parse(this.text(name))
    return Number.isFinite(ms) ? ms : this.#fail(name)
  }

  oneOf<T extends string>(name: string, words: readonly T[]): T {
    const value = this.text(name)
    return words.find((word) => word === value) ?? this.#fail(name)
  }

  words<T extends string>(name: string, words: readonly T[]): readonly T[] {
    return this.#array(name).map(
      (value) => words.find((word) => word === value) ?? this.#fail(name),
    )
  }

  cell(name: string): Cell {
    const cell = cellFromJson(this.#json[name])
    return cell === undefined ? this.#fail(name) : cell
  }

  object(name: string): Fields {
    const value = this.#json[name]
    return isObject(value) ? new Fields(value, this.#key) : this.#fail(name)
  }

  list(name: string): readonly Fields[] {
    return this.#array(name).map((value) =>
      isObject(value) ? new Fields(value, this.#key) : this.#fail(name),
    )
  }

  #array(name: string): readonly Json[] {
    const value = this.#json[name]
    return Array.isArray(value) ? (value as readonly Json[]) : this.#fail(name)
  }

  #fail(name: string): never {
    throw new VectordError('object_corrupt', `The dataset "${this.#key}" has a bad "${name}".`, {
      details: { key: this.#key, field: name },
    })
  }
}

function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
