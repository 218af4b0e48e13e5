/**
 * The body of an upsert, as an `UpsertBatch`: all of it, or an error that lists what is wrong.
 *
 *     rows      {"points": [{"id", "vector", "text"?, "metadata"?}]}
 *     columns   {"ids": […], "vectors": […] or one base64 of all, "texts"?: […], "metadata"?: […]}
 *     NDJSON    one point a line
 *     Arrow     an IPC stream, see `src/codecs/arrow-body.ts`
 *
 * Written by hand and not as a schema: 500 points of 100 numbers take about as long as `JSON.parse`
 * of them, and the refusal names the row and the field.
 */

import { decodeArrowBody, type ArrowBody } from '../codecs/arrow-body.ts'
import type { UpsertBatch } from '../domain/write-batch.ts'
import { VectordError } from '../lib/errors.ts'
import { badField, isObject } from './body-field.ts'
import { jsonBody, parseJson, RawBody, utf8 } from './body-parsers.ts'
import { PointsBuilder, type PointRules } from './points-builder.ts'
import { echo } from './validation-fault.ts'
import { base64Length, readBase64 } from '../domain/vector-values.ts'

/** @throws {VectordError} what the body is refused for; nothing of it was kept. */
export function parsePoints(body: unknown, rules: PointRules): UpsertBatch {
  if (body instanceof RawBody) {
    if (body.kind === 'json') return jsonPoints(jsonBody(body.bytes), rules)
    return body.kind === 'arrow' ? arrowPoints(body.bytes, rules) : ndjsonPoints(body.bytes, rules)
  }
  return jsonPoints(body, rules)
}

function jsonPoints(body: unknown, rules: PointRules): UpsertBatch {
  if (!isObject(body)) throw badField('', 'must be an object with points, or with ids and vectors')
  if ('points' in body) return rowPoints(body, rules)
  if ('ids' in body) return columnPoints(body, rules)
  throw badField('points', 'is missing')
}

function rowPoints(body: Record<string, unknown>, rules: PointRules): UpsertBatch {
  onlyFields(body, ['points'])
  const { points } = body as { points: unknown }
  if (!Array.isArray(points)) throw badField('points', 'must be an array')
  const builder = new PointsBuilder(points.length, rules)
  for (let row = 0; row < points.length; row += 1) addObject(builder, row, points[row])
  return builder.finish()
}

function addObject(builder: PointsBuilder, row: number, point: unknown): void {
  if (!isObject(point)) {
    builder.refuse(row, '', { kind: 'value', text: 'must be an object' })
    return
  }
  let id: unknown
  let vector: unknown
  let text: unknown = null
  let metadata: unknown = null
  for (const field in point) {
    const value = point[field]
    if (field === 'id') id = value
    else if (field === 'vector') vector = value
    else if (field === 'text') text = value
    else if (field === 'metadata') metadata = value
    else builder.refuse(row, echo(field), { kind: 'value', text: 'is not a known field' })
  }
  builder.add(row, { id, vector, text, metadata })
}

function columnPoints(body: Record<string, unknown>, rules: PointRules): UpsertBatch {
  onlyFields(body, ['ids', 'vectors', 'texts', 'metadata'])
  const ids = body['ids']
  if (!Array.isArray(ids)) throw badField('ids', 'must be an array')
  const builder = new PointsBuilder(ids.length, rules)
  const vectors = vectorColumn(body['vectors'], ids.length, rules)
  const texts = column(body['texts'], 'texts', ids.length)
  const metadata = column(body['metadata'], 'metadata', ids.length)
  for (let row = 0; row < ids.length; row += 1) {
    const fields = { text: texts?.[row] ?? null, metadata: metadata?.[row] ?? null }
    builder.add(row, { id: ids[row] as unknown, vector: vectors?.[row], ...fields })
  }
  return builder.finish()
}

function column(value: unknown, name: string, rows: number): readonly unknown[] | null {
  if (value === undefined || value === null) return null
  if (!Array.isArray(value)) throw badField(name, 'must be an array')
  if (value.length !== rows) throw badField(name, `has ${value.length} rows, ids has ${rows}`)
  return value as unknown[]
}

/** One value for each row; a base64 text of the whole column is cut into rows. */
function vectorColumn(
  value: unknown,
  rows: number,
  { dimension, takesTexts }: PointRules,
): readonly unknown[] | null {
  if (typeof value !== 'string') {
    const vectors = column(value, 'vectors', rows)
    if (vectors === null && takesTexts !== true) throw badField('vectors', 'is missing')
    return vectors
  }
  const bytes = base64Length(value)
  if (bytes !== 4 * rows * dimension) {
    const text = `holds ${bytes} bytes; ${rows} rows of ${dimension} float32 are ${4 * rows * dimension}`
    throw new VectordError('vector_dimension_mismatch', `"vectors" in the body ${text}.`, {
      details: { part: 'body', field: 'vectors', problem: text },
    })
  }
  const all = new Float32Array(rows * dimension)
  if (!readBase64(value, all, 0)) throw badField('vectors', 'is not valid base64')
  return Array.from({ length: rows }, (_, i) => all.subarray(i * dimension, (i + 1) * dimension))
}

function ndjsonPoints(bytes: Uint8Array, rules: PointRules): UpsertBatch {
  const lines = filledLines(utf8(bytes), rules.limits.rowsMax)
  const builder = new PointsBuilder(lines.length, rules)
  for (const [row, line] of lines.entries()) {
    const point = jsonLine(line)
    if (point === undefined) builder.refuse(row, '', { kind: 'value', text: 'is not valid JSON' })
    else addObject(builder, row, point)
  }
  return builder.finish()
}

/** Lines that are not blank; one more than allowed is enough to refuse them all. */
function filledLines(text: string, rowsMax: number): string[] {
  const lines: string[] = []
  for (let start = 0; start < text.length && lines.length <= rowsMax;) {
    const found = text.indexOf('\n', start)
    const end = found === -1 ? text.length : found
    const line = text.slice(start, end)
    if (line.trim() !== '') lines.push(line)
    start = end + 1
  }
  return lines
}

function jsonLine(line: string): unknown {
  try {
    return parseJson(line)
  } catch {
    return undefined
  }
}

function arrowPoints(bytes: Uint8Array, rules: PointRules): UpsertBatch {
  const { limits, takesTexts = false } = rules
  const decoded = decodeArrowBody(bytes, limits.rowsMax, takesTexts)
  const { ids, texts, metadata } = decoded
  const builder = new PointsBuilder(ids.length, rules)
  for (const [row, id] of ids.entries()) {
    const vector = arrowVector(decoded, row)
    const json = metadata[row] ?? null
    const parsed = json === null ? null : jsonLine(json)
    if (parsed === undefined) {
      builder.refuse(row, 'metadata', { kind: 'value', text: 'is not valid JSON' })
    }
    builder.add(row, { id, vector, text: texts[row] ?? null, metadata: parsed ?? null })
  }
  return builder.finish()
}

/** Null where the row has none. */
function arrowVector({ vectors, places, dimension }: ArrowBody, row: number): Float32Array | null {
  const place = places === undefined ? row : (places[row] ?? -1)
  return place < 0 ? null : vectors.subarray(place * dimension, (place + 1) * dimension)
}

function onlyFields(body: Record<string, unknown>, known: readonly string[]): void {
  for (const field of Object.keys(body)) {
    if (!known.includes(field)) throw badField(echo(field), 'is not a known field')
  }
}
