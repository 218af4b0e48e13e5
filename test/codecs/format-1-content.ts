/**
 * What the files of `test/fixtures/codecs-1` hold. Neither changes: files that were written once
 * must always open, and mean the same.
 */

import type { RowKeys, PointRows } from '../../src/codecs/parquet-part.ts'
import type { PartRef, StoredFile } from '../../src/domain/checkpoint.ts'
import type { DeleteBatch, UpsertBatch } from '../../src/domain/write-batch.ts'
import type { Manifest } from '../../src/log/checkpoint-manifest.ts'

export const UPSERT: UpsertBatch = {
  kind: 'upsert',
  dimension: 3,
  ids: ['a', 'é-漢字', '🎈'],
  vectors: Float32Array.of(1, -2.5, 3e38, 0.1, -0, 1e-45, 7, 8, 9),
  texts: ['some text', null, ''],
  metadata: ['{"n":1,"tags":["x","y"]}', '{}', null],
}

export const DELETE: DeleteBatch = { kind: 'delete', ids: ['a', 'never there', '🎈'] }

export const POINTS: PointRows = {
  ids: UPSERT.ids,
  lsns: Float64Array.of(1, 1, 2 ** 53 - 1),
  rows: Uint32Array.of(0, 1, 2 ** 32 - 1),
  vectors: UPSERT.vectors,
  texts: UPSERT.texts,
  metadata: UPSERT.metadata,
}

export const DELETES: RowKeys = { ids: DELETE.ids, lsns: Float64Array.of(2, 3, 2 ** 53 - 1) }

export interface PartFiles {
  readonly points: Omit<StoredFile, 'key'>
  readonly deletes: Omit<StoredFile, 'key'>
}

export function manifest({ points, deletes }: PartFiles): Manifest {
  const folder = '_indexes/docs'
  const part = { shard: 0, rows: 3, firstLsn: 1, lastLsn: 2 ** 53 - 1 }
  const parts: PartRef[] = [
    { ...part, kind: 'points', key: `${folder}/parts/p.parquet`, ...points, deadRows: 1 },
    { ...part, kind: 'deletes', key: `${folder}/parts/d.parquet`, ...deletes, deadRows: 0 },
  ]
  const file = (name: string, sha256: string): StoredFile => ({
    key: `${folder}/graphs/${name}`,
    bytes: 1234,
    sha256,
  })
  const graph = {
    shard: 0,
    generation: 7,
    published: true,
    graphId: null,
    graph: file('g.hnsw', 'ab'.repeat(32)),
    labels: file('g.labels', 'cd'.repeat(32)),
    indexedLsn: 1,
    elements: 2,
  }
  const config = { m: 16, efConstruction: 200, seed: 100 }
  return {
    index: 'docs',
    incarnation: '0123456789abcdef',
    createdMs: Date.UTC(2026, 10, 21, 12, 30, 15, 250),
    content: {
      lsn: 2 ** 53 - 1,
      parts,
      graphs: [
        { ...graph, config: { ...config, efSearch: 64 } },
        { ...graph, generation: 6, config: { ...config, efSearch: null } },
      ],
      retention: [],
    },
  }
}
