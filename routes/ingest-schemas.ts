/**
 * What ingests are asked and what they answer: the schemas of `ingest.ts` and `watches.ts`.
 */

import { Type, type Static } from '@fastify/type-provider-typebox'
import { TABLE_FORMATS } from '../src/codecs/table-reader.ts'
import { badField } from '../src/http/body-field.ts'
import { Name, Nullable } from '../src/http/schemas.ts'
import { COLUMN_CHARS_MAX, METADATA_COLUMNS_MAX, type IndexTarget } from '../src/ingest/watch.ts'

const STRICT = { additionalProperties: false } as const
const BATCH_ROWS_MAX = 100_000
/** Rows that are read at a time. */
export const BATCH_ROWS_DEFAULT = 4096
const TEXT_CHARS_MAX = 64 * 1024

const Column = Type.String({ minLength: 1, maxLength: COLUMN_CHARS_MAX })
const Count = Type.Integer({ minimum: 0 })

export const Format = Type.Enum([...TABLE_FORMATS])

const Mode = Type.Enum(['replace', 'append'], {
  description: 'Whether the rows become the dataset, or come behind those that it has.',
})

const OnBadRow = Type.Enum(['fail', 'skip'], {
  description:
    'Whether a row that is no point fails the whole (default), or is left out and listed.',
})

export const IndexBody = Type.Object(
  {
    name: Name,
    id_column: Type.Unsafe<string>({ ...Column, description: 'Strings or integers.' }),
    vector_column: Type.Optional(
      Nullable(
        Type.Unsafe<string>({
          ...Column,
          description:
            'Lists of float32, text such as "[1,2]" or "{1,2}", or bytes of little-endian float32.',
        }),
      ),
    ),
    text_column: Type.Optional(
      Nullable(
        Type.Unsafe<string>({
          ...Column,
          description: 'Alone only where the index has an embedder.',
        }),
      ),
    ),
    metadata_columns: Type.Optional(
      Nullable(
        Type.Array(Column, {
          maxItems: METADATA_COLUMNS_MAX,
          uniqueItems: true,
          description: 'All others but those of vectors and bytes where it is left out.',
        }),
      ),
    ),
    on_bad_row: Type.Optional(OnBadRow),
  },
  { ...STRICT, description: 'The index that the rows fill.' },
)

export const Targets = {
  dataset: Type.Optional(
    Nullable(
      Type.Unsafe<string>({ ...Name, description: 'The dataset that the rows are stored as.' }),
    ),
  ),
  index: Type.Optional(Nullable(IndexBody)),
}

const Bucket = Type.Unsafe<string>({
  ...Name,
  description: 'Of the dataset. Also as the header X-Lakehouse-Bucket; primary by default.',
})

export const SqlBody = Type.Object(
  {
    dsn: Type.String({
      minLength: 1,
      maxLength: 4096,
      description:
        'mysql://user:password@host/database or postgres://…; it is kept nowhere and shown nowhere.',
    }),
    table: Type.Optional(Type.String({ minLength: 1, maxLength: 256 })),
    schema: Type.Optional(Type.String({ minLength: 1, maxLength: 256 })),
    columns: Type.Optional(
      Type.Array(Column, { minItems: 1, maxItems: METADATA_COLUMNS_MAX, uniqueItems: true }),
    ),
    query: Type.Optional(
      Type.String({ minLength: 1, maxLength: TEXT_CHARS_MAX, description: 'In place of a table.' }),
    ),
    key: Type.Optional(
      Type.Unsafe<string>({
        ...Column,
        description:
          'A column whose values are unique and ascend: pages go by it, a lost connection goes on ' +
          'behind its last value, and so does an ingest with resume.',
      }),
    ),
    ...Targets,
    mode: Type.Optional(Mode),
    resume: Type.Boolean({
      default: false,
      description: 'Append what comes behind the last key that the dataset has.',
    }),
    batch_rows: Type.Integer({ minimum: 1, maximum: BATCH_ROWS_MAX, default: BATCH_ROWS_DEFAULT }),
    bucket: Type.Optional(Bucket),
  },
  { ...STRICT, required: ['dsn'] },
)

export const ObjectBody = Type.Object(
  {
    bucket: Type.Unsafe<string>({ ...Name, description: 'Where the file lies.' }),
    key: Type.String({ minLength: 1, maxLength: 512 }),
    format: Type.Optional(Nullable(Format)),
    ...Targets,
    mode: Type.Optional(Mode),
    batch_rows: Type.Integer({ minimum: 1, maximum: BATCH_ROWS_MAX, default: BATCH_ROWS_DEFAULT }),
    dataset_bucket: Type.Optional(Bucket),
  },
  { ...STRICT, required: ['bucket', 'key'] },
)

const Names = Type.String({
  minLength: 1,
  maxLength: TEXT_CHARS_MAX,
  description: 'Divided by commas.',
})

/** Of a body that is a file: what its JSON would say otherwise. */
export const FileQuery = Type.Object(
  {
    wait: Type.Boolean({ default: false, description: 'Answer when it is done.' }),
    dataset: Type.Optional(Name),
    mode: Type.Optional(Mode),
    bucket: Type.Optional(Bucket),
    index: Type.Optional(Name),
    id_column: Type.Optional(Column),
    vector_column: Type.Optional(Column),
    text_column: Type.Optional(Column),
    metadata_columns: Type.Optional(Names),
    on_bad_row: Type.Optional(OnBadRow),
    batch_rows: Type.Optional(Type.Integer({ minimum: 1, maximum: BATCH_ROWS_MAX })),
  },
  STRICT,
)

const RefusedJson = Type.Object(
  {
    row: Type.Integer({ minimum: 0, description: 'From 0, in the order of the source.' }),
    id: Nullable(Type.String()),
    field: Type.String(),
    problem: Type.String(),
  },
  STRICT,
)

export const IngestReply = Type.Object(
  {
    dataset: Nullable(Name),
    bucket: Name,
    revision: Nullable(Count),
    rows: Count,
    parts: Count,
    bytes: Count,
    columns: Type.Array(
      Type.Object(
        {
          name: Type.String(),
          type: Type.String(),
          nullable: Type.Boolean(),
          dimension: Type.Optional(Count),
          pii: Type.Array(Type.String(), { description: 'What its values tell of a person.' }),
        },
        STRICT,
      ),
    ),
    index: Nullable(
      Type.Object(
        {
          name: Name,
          points: Type.Integer({ minimum: 0, description: 'An id that came twice counts twice.' }),
          refused: Type.Object({ count: Count, rows: Type.Array(RefusedJson) }, STRICT),
        },
        STRICT,
      ),
    ),
    lineage: Type.Object(
      {
        source_system: Type.String(),
        dsn: Type.String({ description: 'Without secrets.' }),
        query_or_table: Type.String(),
        rows: Count,
        started_at: Type.String(),
        finished_at: Type.String(),
        mode: Mode,
      },
      STRICT,
    ),
    watermark: Nullable(Type.Object({ column: Type.String(), value: Type.String() }, STRICT)),
    repeated: Type.Boolean({ description: 'The dataset had the file already: nothing was done.' }),
  },
  STRICT,
)

/** @throws {VectordError} `bad_request` where it says no column that makes a point. */
export function toIndexTarget(
  body: Static<typeof IndexBody> | null | undefined,
): IndexTarget | null {
  if (body === null || body === undefined) return null
  const { name, id_column, vector_column, text_column, metadata_columns, on_bad_row } = body
  const mapping = {
    idColumn: id_column,
    vectorColumn: vector_column ?? null,
    textColumn: text_column ?? null,
    metadataColumns: metadata_columns ?? null,
  }
  if (mapping.vectorColumn === null && mapping.textColumn === null) {
    throw badField('index.vector_column', 'is missing: name it, or "text_column", or both')
  }
  return { name, mapping, onBadRow: on_bad_row === 'skip' ? 'skip' : 'fail' }
}

/** @throws {VectordError} `bad_request` where rows would go nowhere. */
export function checkTargets(dataset: string | null, index: IndexTarget | null): void {
  if (dataset === null && index === null) {
    throw badField('dataset', 'is missing: name a dataset, an index, or both')
  }
}
