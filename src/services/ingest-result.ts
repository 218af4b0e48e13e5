/**
 * What an ingest answers, as JSON.
 */

import { columnToJson, lineageToJson, watermarkText } from '../datasets/dataset-codec.ts'
import type { IngestRequest } from '../ingest/ingest-request.ts'
import type { RefusedRow } from '../ingest/row-points.ts'
import type { IngestOutcome } from './ingest-run.ts'

export interface IngestJson {
  readonly dataset: string | null
  readonly bucket: string
  /** Of the dataset; null where there is none. */
  readonly revision: number | null
  readonly rows: number
  readonly parts: number
  readonly bytes: number
  readonly columns: ReturnType<typeof columnToJson>[]
  readonly index: {
    readonly name: string
    readonly points: number
    readonly refused: { readonly count: number; readonly rows: RefusedRow[] }
  } | null
  readonly lineage: ReturnType<typeof lineageToJson>
  readonly watermark: { readonly column: string; readonly value: string } | null
  /** The dataset had the file already. */
  readonly repeated: boolean
}

export function ingestJson(request: IngestRequest, outcome: IngestOutcome): IngestJson {
  const { summary, dataset, parts, lineage, isRepeated } = outcome
  const { columns, pii, rows, points, refusals } = summary
  const watermark = dataset?.document.watermark ?? null
  return {
    dataset: request.dataset?.name ?? null,
    bucket: request.bucket,
    revision: dataset?.revision ?? null,
    rows,
    parts: parts.length,
    bytes: parts.reduce((sum, part) => sum + part.bytes, 0),
    columns: columns.map((column, at) => columnToJson({ ...column, pii: pii[at] ?? [] })),
    index:
      request.index === null
        ? null
        : {
            ...{ name: request.index.name, points },
            refused: { count: refusals.count, rows: [...refusals.rows] },
          },
    lineage: lineageToJson(lineage),
    watermark:
      watermark === null ? null : { column: watermark.column, value: watermarkText(watermark) },
    repeated: isRepeated,
  }
}
