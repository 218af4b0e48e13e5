/**
 * The contract of `VectorIndex`, run against every backend.
 *
 * How: each case gets an empty index from `open`; what a backend finds is compared with distances
 * that the test computes itself, from the definitions in `src/domain/metric.ts`.
 */

import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { METRICS, type Metric } from '../../src/domain/metric.ts'
import type { Neighbors } from '../../src/engines/vector-index.ts'
import { randomVectors, vectorAt, type VectorSet } from '../support/vectors.ts'

type Soon<T> = T | Promise<T>

/** A `VectorIndex`, or one that answers later. */
export interface IndexUnderTest {
  readonly elements: number
  readonly size: Soon<number>
  readonly memoryBytes: number
  add(label: number, vector: Float32Array): Soon<void>
  remove(label: number): Soon<void>
  search(query: Float32Array, k: number, ef: number): Soon<Neighbors>
  save(path: string): Promise<void>
}

export interface EngineUnderTest {
  readonly open: (dimension: number, metric: Metric) => Soon<IndexUnderTest>
  /** Loads what `save` wrote. */
  readonly load: (path: string, dimension: number, metric: Metric) => Promise<IndexUnderTest>
  /** Least share of true neighbours among 10 at ef 200: 1 for an exact backend. */
  readonly recall: number
  /** Rules that the backend does not keep, with the reason. */
  readonly lacks?: {
    /** It tells how much memory it takes. */
    readonly memory?: string
    /** It refuses vectors that nobody can search. */
    readonly refusals?: string
    /** It refuses labels that break the rules, and counts removed ones. */
    readonly labels?: string
    /** A save that fails leaves no file. */
    readonly failedSaves?: string
  }
}

const COUNT = 600
const DIMENSION = 17

export function vectorIndexSuite(name: string, engine: EngineUnderTest): void {
  const lacks = engine.lacks ?? {}
  const folder = mkdtempSync(join(tmpdir(), 'vectord-engine-'))
  after(() => {
    rmSync(folder, { recursive: true })
  })

  describe(`VectorIndex: ${name}`, () => {
    for (const metric of METRICS) {
      it(`${metric}: distances are those of the metric, ascending, and the near ones are found`, async () => {
        const set = randomVectors(COUNT, DIMENSION, 1)
        const index = await filled(await engine.open(DIMENSION, metric), set)
        let found = 0
        const queries = randomVectors(50, DIMENSION, 2)
        for (let i = 0; i < queries.count; i += 1) {
          const query = vectorAt(queries, i)
          const { labels, distances } = await index.search(query, 10, 200)
          assert.equal(labels.length, 10)
          for (const [n, label] of labels.entries()) {
            const expected = trueDistance(metric, query, vectorAt(set, label))
            const tolerance = 1e-5 * (1 + Math.abs(expected))
            assert.ok(Math.abs((distances[n] ?? NaN) - expected) < tolerance)
            assert.ok(n === 0 || (distances[n - 1] ?? NaN) <= (distances[n] ?? NaN))
          }
          const truth = nearest(metric, query, set, 10)
          found += labels.filter((label) => truth.includes(label)).length
        }
        assert.ok(found / 500 >= engine.recall, `recall ${found / 500}`)
      })
    }

    it('removed labels are never returned, and the others still are, to the last one', async () => {
      const set = randomVectors(COUNT, DIMENSION, 3)
      const index = await filled(await engine.open(DIMENSION, 'l2'), set)
      for (let label = 0; label < COUNT; label += 1) if (label % 10 !== 0) await index.remove(label)
      if (lacks.labels === undefined) assert.equal(index.elements, COUNT)
      assert.equal(await index.size, COUNT / 10)
      const { labels } = await index.search(vectorAt(set, 5), COUNT, COUNT)
      assert.deepEqual(
        [...labels].sort((a, b) => a - b),
        range(0, COUNT, 10),
      )
    })

    it('asks for more than there is answer what there is', async () => {
      const index = await engine.open(2, 'l2')
      assert.deepEqual((await index.search(Float32Array.of(1, 2), 5, 10)).labels, [])
      await index.add(0, Float32Array.of(1, 2))
      assert.deepEqual((await index.search(Float32Array.of(1, 2), 5, 1)).labels, [0])
      assert.deepEqual((await index.search(Float32Array.of(1, 2), 0, 1)).labels, [])
      await index.remove(0)
      assert.deepEqual((await index.search(Float32Array.of(1, 2), 5, 10)).labels, [])
    })

    it('grows as it is filled and says what it holds in memory', skipIf(lacks.memory), async () => {
      const small = await filled(
        await engine.open(DIMENSION, 'cosine'),
        randomVectors(2, DIMENSION, 4),
      )
      const large = await filled(
        await engine.open(DIMENSION, 'cosine'),
        randomVectors(5000, DIMENSION, 4),
      )
      assert.equal(await large.size, 5000)
      assert.ok(large.memoryBytes - small.memoryBytes > 4900 * DIMENSION * 4 - 2 ** 20)
    })

    it(
      'a vector that no index can hold is refused and changes nothing',
      skipIf(lacks.refusals),
      async () => {
        const index = await engine.open(3, 'cosine')
        const refused = { code: 'invalid_vector' }
        for (const odd of [
          [1, NaN, 0],
          [1, Infinity, 0],
          [0, 0, 0],
        ]) {
          await assert.rejects(async () => index.add(0, Float32Array.from(odd)), refused)
        }
        await assert.rejects(async () => index.search(Float32Array.of(NaN, 0, 0), 1, 10), refused)
        assert.equal(index.elements, 0)
      },
    )

    it('a vector of another dimension is refused', async () => {
      const index = await engine.open(3, 'cosine')
      const mismatch = { code: 'vector_dimension_mismatch' }
      await assert.rejects(async () => index.add(0, new Float32Array(4)), mismatch)
      await assert.rejects(async () => index.search(new Float32Array(2), 1, 10), mismatch)
      assert.equal(await index.size, 0)
    })

    it(
      'labels that do not grow, wrap or were removed before are bugs',
      skipIf(lacks.labels),
      async () => {
        const index = await engine.open(1, 'l2')
        const vector = Float32Array.of(1)
        await index.add(5, vector)
        for (const label of [5, 4, -1, 5.5, 2 ** 32, NaN]) {
          const bug = { name: 'InvariantError' }
          await assert.rejects(async () => index.add(label, vector), bug, `label ${label}`)
        }
        await assert.rejects(async () => index.remove(4))
        await index.remove(5)
        await assert.rejects(async () => index.remove(5))
        assert.equal(index.elements, 1)
      },
    )

    it('what was saved is loaded as it was, removals included', async () => {
      const set = randomVectors(COUNT, DIMENSION, 6)
      const index = await filled(await engine.open(DIMENSION, 'cosine'), set)
      for (let label = 0; label < COUNT; label += 3) await index.remove(label)
      const path = join(folder, `${name}.saved`)
      await index.save(path)
      const loaded = await engine.load(path, DIMENSION, 'cosine')
      if (lacks.labels === undefined) assert.equal(loaded.elements, index.elements)
      assert.equal(await loaded.size, await index.size)
      for (let row = 0; row < 20; row += 1) {
        const query = vectorAt(set, row)
        assert.deepEqual(await loaded.search(query, 10, 100), await index.search(query, 10, 100))
      }
    })

    it(
      'a save that fails leaves no file and an index that goes on',
      skipIf(lacks.failedSaves),
      async () => {
        const index = await filled(
          await engine.open(DIMENSION, 'l2'),
          randomVectors(10, DIMENSION, 7),
        )
        await assert.rejects(index.save(join(folder, 'missing', 'x')), { name: 'VectordError' })
        await index.add(10, new Float32Array(DIMENSION))
        const { labels } = await index.search(new Float32Array(DIMENSION), 1, 10)
        assert.equal(labels[0], 10)
      },
    )
  })
}

function skipIf(reason: string | undefined): { readonly skip: string | false } {
  return { skip: reason ?? false }
}

async function filled(index: IndexUnderTest, set: VectorSet): Promise<IndexUnderTest> {
  for (let row = 0; row < set.count; row += 1) {
    const added = index.add(row, vectorAt(set, row))
    if (added !== undefined) await added
  }
  return index
}

function trueDistance(metric: Metric, a: Float32Array, b: Float32Array): number {
  let product = 0
  let normA = 0
  let normB = 0
  for (const [i, x] of a.entries()) {
    const y = b[i] ?? NaN
    product += x * y
    normA += x * x
    normB += y * y
  }
  if (metric === 'ip') return 1 - product
  if (metric === 'cosine') return 1 - product / Math.sqrt(normA * normB)
  return normA + normB - 2 * product
}

function nearest(metric: Metric, query: Float32Array, set: VectorSet, k: number): number[] {
  return range(0, set.count, 1)
    .map((row) => ({ row, distance: trueDistance(metric, query, vectorAt(set, row)) }))
    .sort((a, b) => a.distance - b.distance)
    .slice(0, k)
    .map(({ row }) => row)
}

function range(from: number, to: number, step: number): number[] {
  return Array.from({ length: Math.ceil((to - from) / step) }, (_, i) => from + i * step)
}
