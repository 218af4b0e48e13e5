/**
 * The columns of a Lance table of ours; see `docs/formats/lance.md`.
 */

import {
  Field,
  FixedSizeList,
  Float32,
  Int64,
  Schema,
  Utf8,
  DataType,
  type Schema as ArrowSchema,
} from 'apache-arrow'
import { VectordError } from '../../lib/errors.ts'

const FORMAT_KEY = 'vectord.format'
const FORMAT = '1'

export const VECTOR_COLUMN = 'vector'
export const ID_COLUMN = 'id'

/** A vector column holds no nulls, although LanceDB writes its elements as nullable. */
export function vectorType(dimension: number): FixedSizeList<Float32> {
  return new FixedSizeList(dimension, new Field('item', new Float32(), true))
}

/**
 * Of what is declared to be the key, LanceDB notes in each commit of an upsert which it adds; two that
 * add the same one do not both become versions: the later is made again and replaces. That costs a
 * look at those notes, and is of use where servers share a bucket.
 */
const KEY = new Map([['lance-schema:unenforced-primary-key', 'true']])

export function tableSchema(
  dimension: number,
  { isShared = false }: { readonly isShared?: boolean } = {},
): ArrowSchema {
  return new Schema(
    [
      new Field(ID_COLUMN, new Utf8(), false, isShared ? KEY : null),
      // The version of the table whose commit wrote the row.
      new Field('version', new Int64(), false),
      new Field<DataType>(VECTOR_COLUMN, vectorType(dimension), false),
      new Field('text', new Utf8(), true),
      new Field('metadata', new Utf8(), true),
      // Derived from `metadata`, for filters.
      new Field('terms', new Utf8(), false),
    ],
    new Map([[FORMAT_KEY, FORMAT]]),
  )
}

/** The fields of a schema, of types that Arrow's own declarations leave open. */
export function fieldsOf(schema: ArrowSchema): Field<DataType>[] {
  return schema.fields as Field<DataType>[]
}

/** @throws {VectordError} `object_corrupt`, `format_too_new` where the table is not one of ours. */
export function checkSchema(schema: ArrowSchema, index: string, dimension: number): void {
  const format = schema.metadata.get(FORMAT_KEY)
  if (format !== undefined && Number(format) > Number(FORMAT)) {
    const text = `The Lance table "${index}" has format ${format}, which this version cannot read.`
    throw new VectordError('format_too_new', text, { details: { format } })
  }
  const found = new Map(fieldsOf(schema).map(({ name, type }) => [name, nameOf(type)]))
  for (const field of fieldsOf(tableSchema(dimension))) {
    const type = found.get(field.name) ?? null
    const expected = nameOf(field.type)
    if (type === expected) continue
    const text = `The column "${field.name}" of the Lance table "${index}" is not what it should be.`
    const details = { column: field.name, expected, found: type }
    throw new VectordError('object_corrupt', text, { details })
  }
}

/** Such as `int 64`; of types that are not used here the number. */
function nameOf(type: DataType): string {
  if (DataType.isUtf8(type)) return 'utf8'
  if (DataType.isInt(type)) return `int ${type.bitWidth}`
  if (DataType.isFloat(type)) return `float of precision ${type.precision}`
  if (!DataType.isFixedSizeList(type)) return `type ${type.typeId}`
  const [item] = fieldsIn(type)
  return `lists of ${type.listSize} ${item === undefined ? '' : nameOf(item.type)}`
}

function fieldsIn(type: DataType): Field<DataType>[] {
  return type.children as Field<DataType>[]
}
