/**
 * hnswlib-node behind the contract, and each of its traps closed.
 *
 * How: the traps are those of the library as it is installed; where one would end the process, the
 * test asserts the error that comes instead.
 */

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { it, type TestContext } from 'node:test'
import { HNSW_DEFAULTS } from '../../../src/domain/hnsw-config.ts'
import { engineBuild } from '../../../src/engines/hnsw/engine-build.ts'
import { inspectHnswFile } from '../../../src/engines/hnsw/hnsw-file.ts'
import {
  alignRemoved,
  fitsGraph,
  loadHnsw,
  openHnsw,
  type HnswIndex,
  type HnswOptions,
} from '../../../src/engines/hnsw/hnsw-index.ts'
import { randomVectors, seededRandom, vectorAt, type VectorSet } from '../../support/vectors.ts'
import { vectorIndexSuite } from '../vector-index.suite.ts'

vectorIndexSuite('hnsw', {
  open: (dimension, metric) => openHnsw({ dimension, metric, config: HNSW_DEFAULTS }),
  load: async (path, dimension, metric) => {
    return (await loadHnsw(path, { dimension, metric, config: HNSW_DEFAULTS })).index
  },
  recall: 0.98,
})

const OPTIONS: HnswOptions = { dimension: 24, metric: 'cosine', config: HNSW_DEFAULTS }

it('trap 1: a loaded graph searches with the ef that is asked for, not with 10', async (t) => {
  const set = randomVectors(3000, 24, 1)
  const index = filled(set)
  const path = await savedPath(t, index)
  const { index: loaded } = await loadHnsw(path, OPTIONS)
  const answers = (which: HnswIndex, ef: number) =>
    Array.from({ length: 50 }, (_, row) => which.search(vectorAt(set, row), 10, ef).labels)
  assert.deepEqual(answers(loaded, 200), answers(index, 200))
  assert.notDeepEqual(answers(loaded, 10), answers(loaded, 200), 'ef makes a difference here')
})

it('trap 2: a save on a full disk is storage_full and leaves no file', async (t) => {
  const script = `
    import { openHnsw } from './src/engines/hnsw/hnsw-index.ts'
    const config = { m: 16, efConstruction: 200, efSearch: null, seed: 42 }
    const index = openHnsw({ dimension: 64, metric: 'l2', config })
    for (let i = 0; i < 500; i += 1) index.add(i, new Float32Array(64).fill(i))
    await index.save(process.argv[1]).then(
      () => console.log('saved'),
      (error) => console.log(error.code),
    )`
  const folder = await temporary(t)
  const path = join(folder, 'graph')
  // A file size limit of 8 KiB: writes beyond it fail, as on a full disk.
  const limited = `ulimit -f 8; trap '' XFSZ; exec "${process.execPath}" --input-type=module -e "$0" "$1"`
  const { stdout } = spawnSync('bash', ['-c', limited, script, path], { encoding: 'utf8' })
  assert.equal(stdout.trim(), 'storage_full')
  assert.equal(existsSync(path), false)
})

it('trap 3: no flipped bit and no cut of the structure gets to the library', async (t) => {
  const index = filled(randomVectors(400, 24, 2))
  const path = await savedPath(t, index)
  const good = await readFile(path)
  const random = seededRandom(3)
  const headerAndLinks = good.length - 96
  let refused = 0
  for (let i = 0; i < 200; i += 1) {
    const bad = Buffer.from(good)
    // Every fourth flip hits the header; vectors and marks are left to the checksum.
    const at = i % 4 === 0 ? i % 96 : 96 + Math.floor(random() * headerAndLinks)
    bad[at] = (bad[at] ?? 0) ^ (1 << (i % 8))
    await writeFile(path, bad)
    // Either it is refused, or the flip is one that a search survives.
    const loaded = await loadHnsw(path, OPTIONS).catch(() => null)
    if (loaded === null) refused += 1
    else loaded.index.search(vectorAt(randomVectors(1, 24, i), 0), 10, 100)
  }
  assert.ok(refused > 40, `${refused} of 200 refused`)
  for (const length of [0, 50, 96, 1000, good.length - 4, good.length - 1]) {
    await writeFile(path, good.subarray(0, length))
    await assert.rejects(loadHnsw(path, OPTIONS), { name: 'HnswFileError' })
  }
})

it('trap 3: a link to nowhere, into a lower layer, or a tail is refused', async (t) => {
  const path = await savedPath(t, filled(randomVectors(400, 24, 2)))
  const good = await readFile(path)
  const refused = async (change: (bytes: Buffer) => Buffer) => {
    await writeFile(path, change(Buffer.from(good)))
    await assert.rejects(inspectHnswFile(path, 24), { name: 'HnswFileError' })
  }
  await refused((bytes) => {
    bytes.writeUInt32LE(400, 96 + 4)
    return bytes
  })
  await refused((bytes) => {
    bytes.writeUInt16LE(33, 96)
    return bytes
  })
  await refused((bytes) => {
    bytes.writeUInt32LE(400, 52)
    return bytes
  })
  await refused((bytes) => Buffer.concat([bytes, Buffer.alloc(4)]))
})

it('trap 4 and 5: what is not a finite number never reaches the addon', () => {
  const index = openHnsw({ dimension: 2, metric: 'l2', config: HNSW_DEFAULTS })
  for (const x of [NaN, Infinity, -Infinity]) {
    assert.throws(
      () => {
        index.add(0, Float32Array.of(1, x))
      },
      { code: 'invalid_vector' },
    )
  }
  assert.equal(index.elements, 0)
})

it('trap 5: vectors whose float32 distances overflow are told apart, and refused', () => {
  assert.equal(fitsGraph('l2', 1e31), false)
  assert.equal(fitsGraph('ip', 1e31), false)
  assert.equal(fitsGraph('cosine', 1e70), true)
  const huge = Float32Array.of(1e30, -1e30)
  const index = openHnsw({ dimension: 2, metric: 'ip', config: HNSW_DEFAULTS })
  assert.throws(
    () => {
      index.add(0, huge)
    },
    { name: 'InvariantError' },
  )
  const cosine = openHnsw({ dimension: 2, metric: 'cosine', config: HNSW_DEFAULTS })
  cosine.add(0, huge)
  assert.ok(Math.abs(cosine.search(huge, 1, 10).distances[0] ?? NaN) < 1e-6)
})

it('trap 6: nothing is inserted while a save runs; searches and removals go on', async (t) => {
  const set = randomVectors(2000, 24, 5)
  const index = filled(set)
  const path = join(await temporary(t), 'graph')
  const saved = index.save(path)
  assert.equal(index.saving, true)
  assert.throws(
    () => {
      index.add(2000, vectorAt(set, 0))
    },
    { name: 'InvariantError' },
  )
  assert.equal(index.search(vectorAt(set, 1), 1, 50).labels[0], 1)
  index.remove(1)
  await saved
  assert.equal(index.saving, false)
  index.add(2000, vectorAt(set, 0))
  // The removal may or may not be in the file: the caller's word holds.
  for (const gone of [true, false]) {
    const file = await loadHnsw(path, OPTIONS)
    alignRemoved(file, (label) => gone && label === 1)
    const loaded = file.index
    assert.equal(loaded.size, gone ? 1999 : 2000)
    assert.equal(loaded.search(vectorAt(set, 1), 1, 50).labels[0] === 1, !gone)
  }
})

it('trap 8: k beyond the capacity and points beyond it are no errors', () => {
  const set = randomVectors(1500, 24, 6)
  const index = filled(set)
  assert.equal(index.search(vectorAt(set, 0), 100_000, 10).labels.length, 1500)
})

it('trap 10: same vectors, order, config and seed give the same bytes of the predicted size', async (t) => {
  const set = randomVectors(2000, 24, 7)
  const [a, b] = [filled(set), filled(set)]
  // Capacities differ: growing step by step, and at once.
  const [first, second] = [await savedPath(t, a), await savedPath(t, b)]
  assert.ok((await readFile(first)).equals(await readFile(second)))
  const { m } = HNSW_DEFAULTS
  const predicted = 2000 * (8 * m + 16 + 4 * 24) + (2000 * (4 * m + 4)) / (m - 1)
  const { size } = await stat(first)
  assert.ok(Math.abs(size / predicted - 1) < 0.02, `${size} bytes, predicted ${predicted}`)
})

it('trap 11: an efConstruction below M counts as M when a graph is loaded', async (t) => {
  const config = { m: 16, efConstruction: 4, efSearch: null, seed: 1 }
  const index = openHnsw({ ...OPTIONS, config })
  const set = randomVectors(50, 24, 8)
  for (let row = 0; row < 50; row += 1) index.add(row, vectorAt(set, row))
  const path = await savedPath(t, index)
  const { index: loaded } = await loadHnsw(path, { ...OPTIONS, config })
  assert.equal(loaded.elements, 50)
  const other = { ...OPTIONS, config: { ...config, m: 8 } }
  await assert.rejects(loadHnsw(path, other), { name: 'HnswFileError' })
})

it('a graph whose entry point was removed still finds everything', () => {
  const set = randomVectors(3000, 24, 9)
  const index = filled(set)
  for (let row = 0; row < 2990; row += 1) index.remove(row)
  assert.equal(index.search(vectorAt(set, 0), 10, 10).labels.length, 10)
  index.add(3000, vectorAt(set, 0))
  assert.equal(index.search(vectorAt(set, 0), 1, 10).labels[0], 3000)
})

it('a loaded graph takes more points', async (t) => {
  const set = randomVectors(2100, 24, 10)
  const path = await savedPath(t, filled({ ...set, count: 2000 }))
  const { index } = await loadHnsw(path, OPTIONS)
  for (let row = 2000; row < 2100; row += 1) index.add(row, vectorAt(set, row))
  for (let row = 2000; row < 2100; row += 1) {
    assert.equal(index.search(vectorAt(set, row), 1, 100).labels[0], row)
  }
  index.close()
  assert.throws(() => index.search(vectorAt(set, 0), 1, 10), { name: 'InvariantError' })
})

it('the build of the addon is known or unknown, never an error', () => {
  const { instructionSet, cpu, builtFor } = engineBuild()
  for (const text of [instructionSet, cpu, builtFor]) assert.ok(text.length > 0)
})

function filled(set: VectorSet): HnswIndex {
  const index = openHnsw(OPTIONS)
  for (let row = 0; row < set.count; row += 1) index.add(row, vectorAt(set, row))
  return index
}

async function savedPath(t: TestContext, index: HnswIndex): Promise<string> {
  const path = join(await temporary(t), 'graph')
  await index.save(path)
  return path
}

async function temporary(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'vectord-hnsw-'))
  t.after(() => rm(folder, { recursive: true }))
  return folder
}

it('a save tells what no walk reaches: every other element finds itself where ef has no end', async (t) => {
  const set = randomVectors(2000, 16, 3)
  const config = { m: 2, efConstruction: 4, efSearch: null, seed: 1 }
  const index = openHnsw({ dimension: set.dimension, metric: 'l2', config })
  for (let label = 0; label < set.count; label += 1) index.add(label, vectorAt(set, label))
  const folder = await mkdtemp(join(tmpdir(), 'vectord-'))
  t.after(() => rm(folder, { recursive: true }))
  const { unlinked } = await index.saveInspected(join(folder, 'poor.hnsw'))
  const told = new Set(unlinked)
  const lost = Array.from({ length: set.count }, (_, label) => label).filter(
    (label) => index.search(vectorAt(set, label), 1, set.count).labels[0] !== label,
  )
  t.diagnostic(`${lost.length} of ${set.count} are lost, ${told.size} are told`)
  assert.ok(lost.length > 0, 'the graph is poor')
  assert.deepEqual(
    lost.filter((label) => !told.has(label)),
    [],
  )
})
