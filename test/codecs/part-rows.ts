/**
 * Rows for parts of checkpoints, and parts read back as one.
 */

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { readPointsPart, type PointRows } from '../../src/codecs/parquet-part.ts'
import { collect } from '../support/collect.ts'

export async function scratch(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'vectord-part-'))
  t.after(() => rm(folder, { recursive: true }))
  return folder
}

const TEXTS = [null, '', 'plain', 'é', '漢字', '🎈 balloon', 'line\nbreak\0nul', '\u{10ffff}']

/** Rows `from` to `to`; every value differs from those of other rows where its type has room. */
export function points(from: number, to: number, dimension: number): PointRows {
  const rows = Array.from({ length: to - from }, (_, i) => from + i)
  return {
    ids: rows.map((row) => `id-${row}-é`),
    lsns: Float64Array.from(rows, (row) => 2 ** 53 - 1_000_000 + Math.floor(row / 10)),
    rows: Uint32Array.from(rows, (row) => 2 ** 32 - 1 - (row % 10)),
    vectors: Float32Array.from({ length: rows.length * dimension }, (_, i) => from + i / 3),
    texts: rows.map((row) => TEXTS[row % TEXTS.length] ?? null),
    metadata: rows.map((row) => (row % 3 === 0 ? null : `{"row":${row}}`)),
  }
}

export function* batches(rows: number, dimension: number, step: number): Generator<PointRows> {
  for (let from = 0; from < rows; from += step) {
    yield points(from, Math.min(rows, from + step), dimension)
  }
}

export function joined(parts: readonly PointRows[]): PointRows {
  return {
    ids: parts.flatMap(({ ids }) => ids),
    lsns: Float64Array.from(parts.flatMap(({ lsns }) => [...lsns])),
    rows: Uint32Array.from(parts.flatMap(({ rows }) => [...rows])),
    vectors: Float32Array.from(parts.flatMap(({ vectors }) => [...vectors])),
    texts: parts.flatMap(({ texts }) => texts),
    metadata: parts.flatMap(({ metadata }) => metadata),
  }
}

export async function readPoints(path: string): Promise<PointRows> {
  return joined(await collect(readPointsPart(path)))
}
