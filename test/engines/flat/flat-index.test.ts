/** The exact backend keeps the contract of `VectorIndex`, and its file is read with suspicion. */

import assert from 'node:assert/strict'
import { mkdtemp, rm, readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { it } from 'node:test'
import { FlatIndex, loadFlat } from '../../../src/engines/flat/flat-index.ts'
import { vectorIndexSuite } from '../vector-index.suite.ts'

vectorIndexSuite('flat', {
  open: (dimension, metric) => new FlatIndex(dimension, metric),
  load: (path, dimension, metric) => loadFlat(path, { dimension, metric }),
  recall: 1,
})

it('a file that is cut off or of another dimension is refused by name', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'vectord-flat-'))
  t.after(() => rm(folder, { recursive: true }))
  const path = join(folder, 'x')
  const index = new FlatIndex(2, 'l2')
  index.add(7, Float32Array.of(1, 2))
  await index.save(path)
  const corrupt = { code: 'object_corrupt' }
  await assert.rejects(loadFlat(path, { dimension: 3, metric: 'l2' }), corrupt)
  const bytes = await readFile(path)
  for (const length of [0, 7, 15, bytes.length - 1]) {
    await writeFile(path, bytes.subarray(0, length))
    await assert.rejects(loadFlat(path, { dimension: 2, metric: 'l2' }), corrupt)
  }
})
