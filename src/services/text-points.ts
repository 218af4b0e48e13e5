/**
 * Batches of points that have texts and no vectors: those follow when the texts were embedded.
 */

import type { TextPoint } from '../domain/document.ts'
import type { UpsertBatch } from '../domain/write-batch.ts'
import type { ManagedIndex } from '../indexes/index-api.ts'
import { VectordError } from '../lib/errors.ts'
import type { TextWriter } from './documents.ts'

/** `hasEmbedder` says whether an index makes vectors of its texts. */
export function textPoints(hasEmbedder: (index: ManagedIndex) => boolean): TextWriter {
  const check = (index: ManagedIndex): void => {
    if (hasEmbedder(index)) return
    throw new VectordError('not_configured', 'Documents need an index with an embedder.')
  }
  return {
    check,
    write: async (index, points, options) => {
      check(index)
      return index.write(batchOf(points, index.info.dimension), options)
    },
  }
}

function batchOf(points: readonly TextPoint[], dimension: number): UpsertBatch {
  return {
    kind: 'upsert',
    dimension,
    ids: points.map(({ id }) => id),
    vectors: new Float32Array(0),
    // No row has a vector.
    ...{ places: new Int32Array(points.length).fill(-1) },
    texts: points.map(({ text }) => text),
    metadata: points.map(({ metadata }) => metadata),
  }
}
