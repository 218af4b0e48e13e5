/** Rows become parts of bounded size, and nothing behind a bad row is given on. */

import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { it } from 'node:test'
import { readTable } from '../../src/codecs/table-reader.ts'
import type { PointsJob, WrittenPart } from '../../src/ingest/ingest-job.ts'
import { runIngest } from '../../src/ingest/run-ingest.ts'
import { inFolder } from '../support/service.ts'

const SIGNAL = new AbortController().signal

async function ingest(
  folder: string,
  lines: readonly string[],
  { points = null, rows = 1000 }: { readonly points?: PointsJob | null; readonly rows?: number },
) {
  const path = join(folder, 'rows.ndjson')
  await writeFile(path, lines.join('\n'))
  const partsFolder = join(folder, 'parts')
  await mkdir(partsFolder, { recursive: true })
  const parts: WrittenPart[] = []
  const ids: string[] = []
  const seen: (readonly [number, number | null])[] = []
  const result = runIngest(
    {
      source: { kind: 'file', path, format: 'ndjson', batchRows: 10 },
      ...{ partsFolder, points },
    },
    {
      points: async (batch) => {
        ids.push(...batch.ids)
      },
      part: async (part) => {
        parts.push(part)
      },
      progress: (read, total) => seen.push([read, total]),
    },
    SIGNAL,
    { bytes: 2 ** 30, rows },
  )
  return { result, parts, ids, seen }
}

const line = (id: number): string => JSON.stringify({ id, email: `u${id}@example.org` })

it('a part is closed when it has its rows; all parts together are the table', async () => {
  await inFolder(async (folder) => {
    const lines = Array.from({ length: 95 }, (_, id) => line(id))
    const { result, parts, seen } = await ingest(folder, lines, { rows: 30 })
    const summary = await result
    assert.deepEqual(
      parts.map(({ rows }) => rows),
      [30, 30, 30, 5],
    )
    assert.equal(summary.rows, 95)
    assert.deepEqual(seen.at(-1)?.[0], 95)
    assert.deepEqual(
      summary.columns.map(({ name }, at) => [name, summary.pii[at]]),
      [
        ['id', []],
        ['email', ['email']],
      ],
    )
    const ids: unknown[] = []
    for (const { path } of parts) {
      for await (const { cells } of readTable(path, 'parquet', { batchRows: 10, signal: SIGNAL })) {
        ids.push(...(cells[0] ?? []))
      }
    }
    assert.deepEqual(
      ids.map(Number),
      lines.map((_, id) => id),
    )
  })
})

it('of no rows there are columns, and no part', async () => {
  await inFolder(async (folder) => {
    const { result, parts } = await ingest(folder, [''], {})
    const outcome = await result.then(
      ({ rows }) => rows,
      (error: unknown) => (error as { code: string }).code,
    )
    assert.ok(outcome === 0 || outcome === 'file_corrupt', String(outcome))
    assert.deepEqual(parts, [])
  })
})

it('what stands before a bad row may be given on, what stands behind it never', async () => {
  await inFolder(async (folder) => {
    const points: PointsJob = {
      mapping: { idColumn: 'id', vectorColumn: 'v', textColumn: null, metadataColumns: [] },
      rules: {
        ...{ dimension: 1, metric: 'l2', takesTexts: false, rowsMax: 4 },
        ...{ idBytesMax: 512, metadataBytesMax: 1024 },
      },
      onBadRow: 'fail',
    }
    const lines = Array.from({ length: 30 }, (_, id) =>
      JSON.stringify({ id, v: id === 13 ? '[]' : `[${id}]` }),
    )
    const failing = await ingest(folder, lines, { points })
    await assert.rejects(failing.result, { code: 'invalid_points', message: /row 13/ })
    assert.ok(failing.ids.every((id) => Number(id) < 13))
    const skipping = await ingest(folder, lines, { points: { ...points, onBadRow: 'skip' } })
    const summary = await skipping.result
    assert.deepEqual([summary.points, summary.refusals.count, summary.rows], [29, 1, 30])
    assert.equal(skipping.ids.length, 29)
  })
})
