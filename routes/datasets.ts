/**
 * /datasets: named tables in a bucket, as ingests made them.
 *
 * A key that is limited to name prefixes sees the datasets of its prefixes alone.
 */

import {
  Type,
  type FastifyPluginCallbackTypebox,
  type Static,
} from '@fastify/type-provider-typebox'
import type { Revision } from '../src/buckets/revisioned-document.ts'
import type { Dataset } from '../src/datasets/dataset.ts'
import { columnToJson, lineageToJson, watermarkText } from '../src/datasets/dataset-codec.ts'
import type { DatasetFault } from '../src/datasets/dataset-store.ts'
import type { DatasetStores } from '../src/datasets/dataset-stores.ts'
import { PII_FLAGS } from '../src/datasets/pii.ts'
import { PUBLISH_MODES } from '../src/datasets/dataset.ts'
import { COLUMN_TYPES } from '../src/domain/table.ts'
import { checkTouch, mayTouch } from '../src/http/auth.ts'
import { etagOf, ifMatch } from '../src/http/conditional.ts'
import { Name, Nullable, PAGE_DEFAULT, replies } from '../src/http/schemas.ts'

export interface DatasetRoutesOptions {
  readonly datasets: DatasetStores
}

const STRICT = { additionalProperties: false } as const
const TAGS = ['datasets']
const PAGE_MAX = 1000

const Params = Type.Object({ name: Name }, STRICT)
const Count = Type.Integer({ minimum: 0 })
const Bucket = Type.String({ ...Name, default: 'primary' })

const BucketQuery = Type.Object({ bucket: Bucket }, STRICT)

const PageQuery = Type.Object(
  {
    bucket: Bucket,
    limit: Type.Integer({ minimum: 1, maximum: PAGE_MAX, default: PAGE_DEFAULT }),
    cursor: Type.Optional(Name),
  },
  STRICT,
)

const SummaryJson = Type.Object(
  {
    name: Name,
    bucket: Name,
    revision: Count,
    rows: Count,
    bytes: Count,
    parts: Count,
    columns: Count,
    pii: Type.Array(Type.Enum([...PII_FLAGS]), { description: 'What some column seems to hold.' }),
    changed_by: Type.String(),
    changed_at: Type.String(),
  },
  STRICT,
)

const ListJson = Type.Object(
  {
    datasets: Type.Array(SummaryJson),
    next_cursor: Nullable(Type.String()),
    errors: Type.Array(
      Type.Object({ name: Name, code: Type.String(), message: Type.String() }, STRICT),
      { description: 'Datasets that could not be read.' },
    ),
  },
  STRICT,
)

const ColumnJson = Type.Object(
  {
    name: Type.String(),
    type: Type.Enum([...COLUMN_TYPES]),
    nullable: Type.Boolean(),
    dimension: Type.Optional(Count),
    pii: Type.Array(Type.Enum([...PII_FLAGS])),
  },
  STRICT,
)

const LineageJson = Type.Object(
  {
    source_system: Type.String(),
    dsn: Type.String({ description: 'Without secrets.' }),
    query_or_table: Type.String(),
    rows: Count,
    started_at: Type.String(),
    finished_at: Type.String(),
    mode: Type.Enum([...PUBLISH_MODES]),
  },
  STRICT,
)

const DatasetJson = Type.Object(
  {
    name: Name,
    bucket: Name,
    revision: Count,
    rows: Count,
    bytes: Count,
    columns: Type.Array(ColumnJson),
    parts: Type.Array(
      Type.Object({ key: Type.String(), rows: Count, bytes: Count, sha256: Type.String() }, STRICT),
    ),
    watermark: Nullable(Type.Object({ column: Type.String(), value: Type.String() }, STRICT)),
    lineage: Type.Array(LineageJson, { description: 'Oldest first, the last 100.' }),
    changed_by: Type.String(),
    changed_at: Type.String(),
  },
  STRICT,
)

const LIST = {
  config: { role: 'read' },
  schema: {
    tags: TAGS,
    summary: 'List the datasets of a bucket',
    querystring: PageQuery,
    response: replies({ 200: ListJson }),
  },
} as const

const READ = {
  config: { role: 'read' },
  schema: {
    tags: TAGS,
    summary: 'Read what a dataset holds and where it came from',
    params: Params,
    querystring: BucketQuery,
    response: replies({ 200: DatasetJson }),
  },
} as const

const REMOVE = {
  config: { role: 'admin' },
  schema: {
    tags: TAGS,
    summary: 'Delete a dataset and its parts',
    params: Params,
    querystring: BucketQuery,
    response: replies({ 204: Type.Null() }),
  },
} as const

export const datasetRoutes: FastifyPluginCallbackTypebox<DatasetRoutesOptions> = (
  app,
  { datasets },
  done,
) => {
  app.get('/datasets', LIST, async (request) => {
    const { bucket, limit, cursor } = request.query
    const { caller } = request
    const page = await datasets.of(bucket).list({
      ...{ after: cursor ?? null, limit },
      isWanted: (name) => mayTouch(caller, name),
    })
    return {
      datasets: page.datasets.map(({ name, found }) => summaryJson(name, bucket, found)),
      next_cursor: page.next,
      errors: page.faults.map(faultJson),
    }
  })

  app.get('/datasets/:name', READ, async (request, reply) => {
    const { name } = request.params
    checkTouch(request.caller, name)
    const { bucket } = request.query
    const found = await datasets.of(bucket).get(name)
    reply.header('etag', etagOf(found.revision))
    return datasetJson(name, bucket, found)
  })

  app.delete('/datasets/:name', REMOVE, async (request, reply) => {
    const { name } = request.params
    checkTouch(request.caller, name)
    const condition = { expected: ifMatch(request), by: request.caller.name }
    await datasets.writable(request.query.bucket).delete(name, condition)
    return reply.code(204).send(null)
  })
  done()
}

function summaryJson(
  name: string,
  bucket: string,
  { document, revision, author, writtenMs }: Revision<Dataset>,
): Static<typeof SummaryJson> {
  const { rows, parts, columns } = document
  const flags = new Set(columns.flatMap(({ pii }) => pii))
  return {
    ...{ name, bucket, revision, rows, bytes: bytesOf(document) },
    parts: parts.length,
    columns: columns.length,
    pii: PII_FLAGS.filter((flag) => flags.has(flag)),
    changed_by: author,
    changed_at: new Date(writtenMs).toISOString(),
  }
}

function datasetJson(
  name: string,
  bucket: string,
  { document, revision, author, writtenMs }: Revision<Dataset>,
): Static<typeof DatasetJson> {
  const { rows, parts, columns, watermark, lineage } = document
  return {
    ...{ name, bucket, revision, rows, bytes: bytesOf(document) },
    columns: columns.map(columnToJson),
    parts: parts.map(({ key, rows, bytes, sha256 }) => ({ key, rows, bytes, sha256 })),
    watermark:
      watermark === null ? null : { column: watermark.column, value: watermarkText(watermark) },
    lineage: lineage.map(lineageToJson),
    changed_by: author,
    changed_at: new Date(writtenMs).toISOString(),
  }
}

function bytesOf({ parts }: Dataset): number {
  return parts.reduce((sum, part) => sum + part.bytes, 0)
}

function faultJson({ name, error: { code, message } }: DatasetFault): {
  name: string
  code: string
  message: string
} {
  return { name, code, message }
}
