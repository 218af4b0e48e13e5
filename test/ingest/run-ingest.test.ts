/** Rows become parts of bounded size, and nothing behind a bad row is given on. */

import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { it } from 'node:test'
import { readTable } from '../../src/codecs/table-reader.ts'
import type { Cell, Column } from '../../src/domain/table.ts'
import type { PointsJob, WrittenPart } from '../../src/ingest/ingest-job.ts'
import { runIngest } from '../../src/ingest/run-ingest.ts'
import { hasCode } from '../../src/lib/errors.ts'
import { inFolder } from '../support/service.ts'

const SIGNAL = new AbortController().signal

async function ingest(
  folder: string,
  lines: readonly string[],
  {
    points = null,
    rows = 1000,
    appendTo = null,
    partsFolder = join(folder, 'parts'),
  }: {
    readonly points?: PointsJob | null
    readonly rows?: number
    readonly appendTo?: readonly Column[] | null
    readonly partsFolder?: string
  },
) {
  const path = join(folder, 'rows.ndjson')
  await writeFile(path, lines.join('\n'))
  await mkdir(join(folder, 'parts'), { recursive: true })
  const parts: WrittenPart[] = []
  const ids: string[] = []
  const seen: (readonly [number, number | null])[] = []
  const result = runIngest(
    {
      source: { kind: 'file', path, format: 'ndjson', batchRows: 10 },
      ...{ partsFolder, appendTo, points },
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

const intoDataset = (...columns: readonly (readonly [string, Column['type']])[]): Column[] =>
  columns.map(([name, type]) => ({ name, type, nullable: true }))

async function cellsOf({ path }: WrittenPart): Promise<Record<string, readonly Cell[]>> {
  const found: Record<string, Cell[]> = {}
  for await (const table of readTable(path, 'parquet', { batchRows: 10, signal: SIGNAL })) {
    for (const [at, { name }] of table.columns.entries()) {
      found[name] = [...(found[name] ?? []), ...(table.cells[at] ?? [])]
    }
  }
  return found
}

it('rows that are appended take the types of the dataset where that loses nothing', async () => {
  await inFolder(async (folder) => {
    const appendTo = intoDataset(['n', 'int64'], ['x', 'float64'], ['none', 'timestamp'])
    const lines = ['{"n":1,"x":2,"none":null}', '{"n":-2147483648,"x":null}']
    const { result, parts } = await ingest(folder, lines, { appendTo })
    const { columns } = await result
    assert.deepEqual(
      columns.map(({ name, type }) => [name, type]),
      [
        ['n', 'int64'],
        ['x', 'float64'],
        ['none', 'timestamp'],
      ],
    )
    const [part] = parts
    assert.ok(part !== undefined)
    assert.deepEqual(await cellsOf(part), {
      n: [1n, -2_147_483_648n],
      x: [2, null],
      none: [null, null],
    })
  })
})

it('rows that do not fit a dataset are refused before any is given on', async () => {
  await inFolder(async (folder) => {
    const points: PointsJob = {
      mapping: { idColumn: 'id', vectorColumn: 'v', textColumn: null, metadataColumns: [] },
      rules: {
        ...{ dimension: 1, metric: 'l2', takesTexts: false, rowsMax: 1 },
        ...{ idBytesMax: 512, metadataBytesMax: 1024 },
      },
      onBadRow: 'fail',
    }
    const lines = ['{"id":1,"v":"[1]"}', '{"id":2,"v":"[2]"}']
    const [id, v] = [['id', 'int32'] as const, ['v', 'utf8'] as const]
    for (const [columns, column] of [
      [[id, ['v', 'int32'] as const], 'v'],
      [[['id', 'boolean'] as const, v], 'id'],
      [[id], 'v'],
      [[id, v, ['more', 'utf8'] as const], 'more'],
    ] as const) {
      const { result, ids } = await ingest(folder, lines, {
        ...{ points, appendTo: intoDataset(...columns) },
      })
      await assert.rejects(result, (error) => {
        assert.ok(hasCode(error, 'dataset_schema_mismatch'), String(error))
        assert.equal(error.details['column'], column)
        return true
      })
      assert.deepEqual(ids, [], column)
    }
  })
})
