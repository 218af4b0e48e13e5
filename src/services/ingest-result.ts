/**
 * What an ingest answers, as JSON.
 */

import type { Cell, Column } from '../domain/table.ts'
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
  readonly columns: (Pick<Column, 'name' | 'type' | 'nullable' | 'dimension'> & {
    readonly pii: string[]
  })[]
  readonly index: {
    readonly name: string
    readonly points: number
    readonly refused: { readonly count: number; readonly rows: RefusedRow[] }
  } | null
  readonly lineage: {
    readonly source_system: string
    readonly dsn: string
    readonly query_or_table: string
    readonly rows: number
    readonly started_at: string
    readonly finished_at: string
    readonly mode: 'replace' | 'append'
  }
  readonly watermark: {
    readonly column: string
    readonly value: string | number | boolean | null
  } | null
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
    columns: columns.map(({ name, type, nullable, dimension }, at) => ({
      ...{ name, type, nullable },
      ...(dimension !== undefined && { dimension }),
      pii: [...(pii[at] ?? [])],
    })),
    index:
      request.index === null
        ? null
        : {
            ...{ name: request.index.name, points },
            refused: { count: refusals.count, rows: [...refusals.rows] },
          },
    lineage: {
      source_system: lineage.sourceSystem,
      dsn: lineage.dsn,
      query_or_table: lineage.queryOrTable,
      rows: lineage.rows,
      started_at: new Date(lineage.startedMs).toISOString(),
      finished_at: new Date(lineage.finishedMs).toISOString(),
      mode: lineage.mode,
    },
    watermark:
      watermark === null ? null : { column: watermark.column, value: cellJson(watermark.value) },
    repeated: isRepeated,
  }
}

/** Integers beyond 2^53 become text, and bytes base64. */
function cellJson(cell: Cell): string | number | boolean | null {
  if (typeof cell === 'bigint')
    return Number.isSafeInteger(Number(cell)) ? Number(cell) : String(cell)
  if (typeof cell === 'string' || typeof cell === 'number' || typeof cell === 'boolean') return cell
  return cell === null
    ? null
    : Buffer.from(cell.buffer, cell.byteOffset, cell.byteLength).toString('base64')
}
