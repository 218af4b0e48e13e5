/**
 * A watched prefix: files that come below it are ingested, each once.
 *
 * As JSON it is the same in a bucket and over HTTP, but for what the bucket adds around it.
 */

import type { JsonObject } from '../buckets/revision-codec.ts'
import { TABLE_FORMATS, type TableFormat } from '../codecs/table-reader.ts'
import { NAME_PATTERN } from '../domain/names.ts'
import { VectordError } from '../lib/errors.ts'
import {
  fieldsOf,
  isIntegerIn,
  isListOf,
  isOneOf,
  isText,
  orNull,
  type JsonFields,
} from '../journal/json-fields.ts'
import type { PointMapping } from './point-mapping.ts'

/** Seconds between two looks; oftener would be listing without an end. */
export const INTERVAL_SECS_BOUNDS = [5, 86_400] as const
export const INTERVAL_SECS_DEFAULT = 60
export const PREFIX_CHARS_MAX = 512
export const COLUMN_CHARS_MAX = 256
export const METADATA_COLUMNS_MAX = 1000

/** The index that an ingest fills, and how. */
export interface IndexTarget {
  readonly name: string
  readonly mapping: PointMapping
  readonly onBadRow: 'fail' | 'skip'
}

export interface Watch {
  readonly name: string
  readonly bucket: string
  readonly prefix: string
  /** Null: by the ending of each file. */
  readonly format: TableFormat | null
  readonly intervalSecs: number
  /** Name of the dataset that files are appended to; of this and an index one is there. */
  readonly dataset: string | null
  readonly index: IndexTarget | null
}

export interface IndexTargetJson {
  readonly name: string
  readonly id_column: string
  readonly vector_column: string | null
  readonly text_column: string | null
  readonly metadata_columns: string[] | null
  readonly on_bad_row: 'fail' | 'skip'
}

export type WatchJson = {
  readonly name: string
  readonly bucket: string
  readonly prefix: string
  readonly format: TableFormat | null
  readonly interval_secs: number
  readonly dataset: string | null
  readonly index: (IndexTargetJson & JsonObject) | null
}

/** @throws {VectordError} `bad_request` for what cannot be watched. */
export function checkPrefixOf({ prefix }: Pick<Watch, 'prefix'>): void {
  if (!prefix.startsWith('_')) return
  const message = 'What begins with "_" is of the service itself, and cannot be watched.'
  throw new VectordError('bad_request', message, { details: { field: 'prefix', prefix } })
}

export function watchToJson(watch: Watch): WatchJson {
  const { name, bucket, prefix, format, intervalSecs, dataset, index } = watch
  return {
    ...{ name, bucket, prefix, format, dataset, interval_secs: intervalSecs },
    index: index === null ? null : indexTargetJson(index),
  }
}

function indexTargetJson({ name, mapping, onBadRow }: IndexTarget): WatchJson['index'] {
  const { idColumn, vectorColumn, textColumn, metadataColumns } = mapping
  return {
    name,
    id_column: idColumn,
    vector_column: vectorColumn,
    text_column: textColumn,
    metadata_columns: metadataColumns === null ? null : [...metadataColumns],
    on_bad_row: onBadRow,
  }
}

/** @throws {VectordError} `object_corrupt` naming the field, also where it is another watch. */
export function watchFromJson(name: string, json: JsonObject): Watch {
  const field = fieldsOf('watch', json)
  return {
    name: field('name', (value): value is string => value === name),
    bucket: field('bucket', isName),
    prefix: field('prefix', isText(PREFIX_CHARS_MAX)),
    format: field('format', orNull(isOneOf(TABLE_FORMATS))),
    intervalSecs: field('interval_secs', isIntegerIn(...INTERVAL_SECS_BOUNDS)),
    dataset: field('dataset', orNull(isName)),
    index: json['index'] === null ? null : targetFrom(fieldsOf('watch', json['index'])),
  }
}

function targetFrom(field: JsonFields): IndexTarget {
  const isColumn = isText(COLUMN_CHARS_MAX, 1)
  return {
    name: field('name', isName),
    mapping: {
      idColumn: field('id_column', isColumn),
      vectorColumn: field('vector_column', orNull(isColumn)),
      textColumn: field('text_column', orNull(isColumn)),
      metadataColumns: field('metadata_columns', orNull(isListOf(isColumn, METADATA_COLUMNS_MAX))),
    },
    onBadRow: field('on_bad_row', isOneOf(['fail', 'skip'])),
  }
}

function isName(value: unknown): value is string {
  return typeof value === 'string' && NAME.test(value)
}

const NAME = new RegExp(NAME_PATTERN)
