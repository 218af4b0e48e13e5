/**
 * The headers of write batches, written by apache-arrow once for each kind and dimension.
 *
 * `docs/formats/batch.md` lists the columns of each kind.
 */

import {
  Field,
  FixedSizeList,
  Float32,
  Float64,
  List,
  makeData,
  RecordBatch,
  RecordBatchStreamWriter,
  Schema,
  Struct,
  Utf8,
  vectorFromArray,
  type Data,
} from 'apache-arrow'
import { invariant } from '../lib/invariant.ts'
import { ArrowStream, batchLayout } from './arrow-stream.ts'
import type { Template } from './batch-writer.ts'

/** The highest number that is written; each kind has its own, so that older readers read most. */
export const BATCH_FORMAT = 2

/** `texts` are upserts of which some rows have no vector. */
export type TemplateKind = 'delete' | 'upsert' | 'texts' | 'project'

const FORMATS = { delete: 1, upsert: 1, texts: 2, project: 2 } as const
const DIMENSION_MAX = 65_536

/** Indexes of one server have few dimensions; the bound only keeps a mistake from growing. */
const TEMPLATES_MAX = 64
const templates = new Map<string, Template>()

/** @param dimension 0 for deletes. */
export function templateFor(kind: TemplateKind, dimension: number): Template {
  const key = `${kind} ${dimension}`
  const known = templates.get(key)
  if (known !== undefined) return known
  if (templates.size >= TEMPLATES_MAX) templates.clear()
  const template = buildTemplate(kind, dimension)
  templates.set(key, template)
  return template
}

function buildTemplate(kind: TemplateKind, dimension: number): Template {
  const isSane = kind === 'delete' ? dimension === 0 : dimension > 0 && dimension <= DIMENSION_MAX
  invariant(isSane, 'a sane dimension')
  const columns = sampleOf(kind, dimension)
  const fields = columns.map(([field]) => field)
  const children = columns.map(([, sample]) => sample)
  const schema = new Schema(
    fields,
    new Map([
      ['vectord.format', String(FORMATS[kind])],
      ['vectord.kind', kind === 'texts' ? 'upsert' : kind],
      ['vectord.dimension', String(dimension)],
    ]),
  )
  const data = makeData({ type: new Struct(fields), length: 1, nullCount: 0, children })
  const writer = new RecordBatchStreamWriter()
  writer.write(new RecordBatch(schema, data))
  writer.finish()
  const bytes = writer.toUint8Array(true)
  const schemaEnd = new ArrowStream(bytes).end
  const layout = batchLayout(bytes, schemaEnd)
  invariant(layout.bodyAt % 8 === 0, 'the body is aligned')
  return { head: Buffer.from(bytes.subarray(0, layout.bodyAt)), layout }
}

type Sample = readonly [Field, Data]

/** One row of each column: what matters is the shape of the headers that it gives. */
function sampleOf(kind: TemplateKind, dimension: number): readonly Sample[] {
  const id = stringsSample('id', false)
  switch (kind) {
    case 'delete':
      return [id]
    case 'upsert':
      return [id, fixedSample(dimension), ...PAYLOAD.map((name) => stringsSample(name, true))]
    case 'texts':
      return [id, listSample(dimension), ...PAYLOAD.map((name) => stringsSample(name, true))]
    case 'project':
      return [
        id,
        fixedSample(dimension),
        numbersSample('version'),
        stringsSample('text_hash', false),
        stringsSample('embedder', false),
      ]
  }
}

const PAYLOAD = ['text', 'metadata'] as const

function fixedSample(dimension: number): Sample {
  const list = new FixedSizeList(dimension, ITEM)
  const child = floats(dimension)
  return [
    new Field('vector', list, false),
    makeData({ type: list, length: 1, nullCount: 0, child }),
  ]
}

/** Lists of any length: a row without a vector takes no room. */
function listSample(dimension: number): Sample {
  const list = new List(ITEM)
  const valueOffsets = Int32Array.of(0, dimension)
  const child = floats(dimension)
  const sample = makeData({ type: list, length: 1, nullCount: 0, valueOffsets, child })
  return [new Field('vector', list, true), sample]
}

const ITEM = new Field('item', new Float32(), false)

function floats(dimension: number): Data<Float32> {
  return makeData({ type: new Float32(), length: dimension, data: new Float32Array(dimension) })
}

function numbersSample(name: string): Sample {
  const data = makeData({ type: new Float64(), length: 1, data: Float64Array.of(1) })
  return [new Field(name, new Float64(), false), data]
}

function stringsSample(name: string, nullable: boolean): Sample {
  const [data] = vectorFromArray(['x'], new Utf8()).data
  invariant(data !== undefined, 'a vector of one row has data')
  return [new Field(name, new Utf8(), nullable), data]
}
