/** Lance tables keep the contract of `VectorIndex`, without an index and with each kind of one. */

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after } from 'node:test'
import { vectorIndexSuite } from '../vector-index.suite.ts'
import { LanceVectorIndex } from './lance-vector-index.ts'

const folder = mkdtempSync(join(tmpdir(), 'vectord-lance-suite-'))
after(() => {
  rmSync(folder, { recursive: true })
})

const LACKS = {
  memory: 'rows lie on disk',
  refusals: 'vectors are checked before they come to a table',
  labels: 'a table has ids, which come in any order and may come again',
  failedSaves: 'a table is saved by each commit',
}

for (const [kind, recall] of [
  [null, 1],
  ['ivf_pq', 0.95],
  ['ivf_hnsw_sq', 0.95],
] as const) {
  vectorIndexSuite(kind === null ? 'lance' : `lance ${kind}`, {
    open: (dimension, metric) => LanceVectorIndex.open(folder, kind, { dimension, metric }),
    load: (path) => LanceVectorIndex.load(path, kind),
    recall,
    lacks: LACKS,
  })
}
