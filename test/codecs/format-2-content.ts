/**
 * What the files of `test/fixtures/codecs-2` hold: texts without vectors, and vectors that an
 * embedder made. Neither changes.
 */

import type { PointRows } from '../../src/codecs/parquet-part.ts'
import type { ProjectBatch, UpsertBatch } from '../../src/domain/write-batch.ts'

export const TEXTS: UpsertBatch = {
  kind: 'upsert',
  dimension: 3,
  ids: ['a', 'é-漢字', '🎈'],
  vectors: Float32Array.of(1, -2.5, 3e38),
  places: Int32Array.of(-1, 0, -1),
  texts: ['some text', null, 'ein Text'],
  metadata: ['{"n":1,"tags":["x","y"]}', '{}', null],
}

export const PROJECT: ProjectBatch = {
  kind: 'project',
  dimension: 3,
  ids: ['a', '🎈'],
  vectors: Float32Array.of(0.1, -0, 1e-45, 7, 8, 9),
  versions: Float64Array.of(1, 2 ** 53 - 1),
  textHashes: ['ab'.repeat(32), 'cd'.repeat(32)],
  embedders: ['model@1/3/unit', 'model@1/3/unit'],
}

export const POINTS: PointRows = {
  ids: TEXTS.ids,
  lsns: Float64Array.of(1, 1, 9),
  rows: Uint32Array.of(0, 1, 2 ** 32 - 1),
  vectors: Float32Array.of(0, 0, 0, 1, -2.5, 3e38, 7, 8, 9),
  texts: TEXTS.texts,
  metadata: TEXTS.metadata,
  origins: {
    versions: Float64Array.of(1, 1, 2),
    embedders: [null, null, 'model@1/3/unit'],
    hasVector: [false, true, true],
  },
}
