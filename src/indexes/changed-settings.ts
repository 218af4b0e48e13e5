/**
 * The settings of an index that can be changed, by its backend; pure.
 */

import type { IndexBackend, IndexChange } from './index-api.ts'
import { withStream, type IndexMeta } from './index-meta.ts'
import { wrongBackend } from './index-refusals.ts'

const SETTINGS: Readonly<Record<IndexBackend, readonly string[]>> = {
  hnsw: ['efSearch', 'keepLastVersions', 'embedder', 'stream'],
  lance: ['stream', 'lance'],
}

/**
 * @throws {VectordError} `wrong_backend` for a setting that an index of this backend has not; as
 *   `changedStream`.
 */
export function changedSettings(meta: IndexMeta, change: IndexChange): IndexMeta {
  const { name: index, backend } = meta
  const alien = Object.keys(change).find((setting) => !SETTINGS[backend].includes(setting))
  if (alien !== undefined) {
    throw wrongBackend({ index, backend }, `the setting "${alien}" is of another one`)
  }
  const { efSearch, embedder, keepLastVersions, lance } = change
  return {
    ...withStream(meta, change.stream),
    ...(efSearch !== undefined && { hnsw: { ...meta.hnsw, efSearch } }),
    ...(embedder !== undefined && { embedder }),
    ...(keepLastVersions !== undefined && { keepLastVersions }),
    ...(lance !== undefined && meta.lance !== undefined && { lance: { ...meta.lance, ...lance } }),
  }
}
