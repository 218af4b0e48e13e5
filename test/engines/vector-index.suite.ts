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
import type { VectorIndex } from '../../src/engines/vector-index.ts'
import { randomVectors, vectorAt, type VectorSet } from '../support/vectors.ts'

export interface EngineUnderTest {
  readonly open: (dimension: number, metric: Metric) => VectorIndex
  /** Loads what `save` wrote. */
  readonly load: (path: string, dimension: number, metric: Metric) => Promise<VectorIndex>
  /** Least share of true neighbours among 10 at ef 200: 1 for an exact backend. */
  readonly recall: number
}

const COUNT = 600
const DIMENSION = 17

export function vectorIndexSuite(name: string, engine: EngineUnderTest): void {
  const folder = mkdtempSync(join(tmpdir(), 'vectord-engine-'))
  after(() => {
    rmSync(folder, { recursive: true })
  })

  describe(`VectorIndex: ${name}`, () => {
    for (const metric of METRICS) {
      it(`${metric}: distances are those of the metric, ascending, and the near ones are found`, () => {
        const set = randomVectors(COUNT, DIMENSION, 1)
        const index = filled(engine.open(DIMENSION, metric), set)
        let found = 0
        const queries = randomVectors(50, DIMENSION, 2)
        for (let i = 0; i < queries.count; i += 1) {
          const query = vectorAt(queries, i)
          const { labels, distances } = index.search(query, 10, 200)
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

    it('removed labels are never returned, and the others still are, to the last one', () => {
      const set = randomVectors(COUNT, DIMENSION, 3)
      const index = filled(engine.open(DIMENSION, 'l2'), set)
      for (let label = 0; label < COUNT; label += 1) if (label % 10 !== 0) index.remove(label)
      assert.equal(index.elements, COUNT)
      assert.equal(index.size, COUNT / 10)
      const { labels } = index.search(vectorAt(set, 5), COUNT, COUNT)
      assert.deepEqual(
        [...labels].sort((a, b) => a - b),
        range(0, COUNT, 10),
      )
    })

    it('asks for more than there is answer what there is', () => {
      const index = engine.open(2, 'l2')
      assert.deepEqual(index.search(Float32Array.of(1, 2), 5, 10).labels, [])
      index.add(0, Float32Array.of(1, 2))
      assert.deepEqual(index.search(Float32Array.of(1, 2), 5, 1).labels, [0])
      assert.deepEqual(index.search(Float32Array.of(1, 2), 0, 1).labels, [])
      index.remove(0)
      assert.deepEqual(index.search(Float32Array.of(1, 2), 5, 10).labels, [])
    })

    it('grows as it is filled and says what it holds in memory', () => {
      const small = filled(engine.open(DIMENSION, 'cosine'), randomVectors(2, DIMENSION, 4))
      const large = filled(engine.open(DIMENSION, 'cosine'), randomVectors(5000, DIMENSION, 4))
      assert.equal(large.size, 5000)
      assert.ok(large.memoryBytes - small.memoryBytes > 4900 * DIMENSION * 4 - 2 ** 20)
    })

    it('a vector that no index can hold is refused and changes nothing', () => {
      const index = engine.open(3, 'cosine')
      const refused = { code: 'invalid_vector' }
      assert.throws(() => {
        index.add(0, Float32Array.of(1, NaN, 0))
      }, refused)
      assert.throws(() => {
        index.add(0, Float32Array.of(1, Infinity, 0))
      }, refused)
      assert.throws(() => {
        index.add(0, new Float32Array(3))
      }, refused)
      assert.throws(() => index.search(Float32Array.of(NaN, 0, 0), 1, 10), refused)
      const mismatch = { code: 'vector_dimension_mismatch' }
      assert.throws(() => {
        index.add(0, new Float32Array(4))
      }, mismatch)
      assert.throws(() => index.search(new Float32Array(2), 1, 10), mismatch)
      assert.equal(index.elements, 0)
    })

    it('labels that do not grow, wrap or were removed before are bugs', () => {
      const index = engine.open(1, 'l2')
      const vector = Float32Array.of(1)
      index.add(5, vector)
      for (const label of [5, 4, -1, 5.5, 2 ** 32, NaN]) {
        assert.throws(
          () => {
            index.add(label, vector)
          },
          { name: 'InvariantError' },
          `label ${label}`,
        )
      }
      assert.throws(() => {
        index.remove(4)
      })
      index.remove(5)
      assert.throws(() => {
        index.remove(5)
      })
      assert.equal(index.elements, 1)
    })

    it('what was saved is loaded as it was, removals included', async () => {
      const set = randomVectors(COUNT, DIMENSION, 6)
      const index = filled(engine.open(DIMENSION, 'cosine'), set)
      for (let label = 0; label < COUNT; label += 3) index.remove(label)
      const path = join(folder, `${name}.saved`)
      await index.save(path)
      const loaded = await engine.load(path, DIMENSION, 'cosine')
      assert.equal(loaded.elements, index.elements)
      assert.equal(loaded.size, index.size)
      for (let row = 0; row < 20; row += 1) {
        const query = vectorAt(set, row)
        assert.deepEqual(loaded.search(query, 10, 100), index.search(query, 10, 100))
      }
    })

    it('a save that fails leaves no file and an index that goes on', async () => {
      const index = filled(engine.open(DIMENSION, 'l2'), randomVectors(10, DIMENSION, 7))
      await assert.rejects(index.save(join(folder, 'missing', 'x')), { name: 'VectordError' })
      index.add(10, new Float32Array(DIMENSION))
      assert.equal(index.search(new Float32Array(DIMENSION), 1, 10).labels[0], 10)
    })
  })
}

function filled(index: VectorIndex, set: VectorSet): VectorIndex {
  for (let row = 0; row < set.count; row += 1) index.add(row, vectorAt(set, row))
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
