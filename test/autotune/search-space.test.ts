/** Guarantees of the lattice, of names and of forecasts. */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { buildForecast } from '../../src/autotune/build-forecast.ts'
import { localIntrinsicDimension } from '../../src/autotune/lid.ts'
import {
  canonical,
  DEFAULT_BOUNDS,
  latticeCells,
  latticeNeighbours,
  nearestCell,
  pointKey,
  predictedFileBytes,
  predictedMemoryBytes,
} from '../../src/autotune/search-space.ts'
import { splitmix32 } from '../../src/lib/splitmix32.ts'
import { CONFIG, trial } from '../support/tuner-trials.ts'

it('has every graph of the lattice within the bounds once, and none under two names', () => {
  const cells = latticeCells(DEFAULT_BOUNDS)
  assert.equal(new Set(cells.map(({ m, efConstruction }) => `${m} ${efConstruction}`)).size, 74)
  assert.equal(cells.length, 74)
  assert.ok(cells.every(({ m, efConstruction }) => efConstruction >= m && efConstruction <= 400))
  const wide = latticeCells({ ...DEFAULT_BOUNDS, efConstruction: [10, 800] })
  assert.ok(wide.some(({ efConstruction }) => efConstruction === 800))
  assert.deepEqual(latticeCells({ ...DEFAULT_BOUNDS, m: [70, 80] }), [])
})

it('gives one name to points that hnswlib does not tell apart', () => {
  const config = { ...CONFIG, m: 32, efConstruction: 20, efSearch: 4 }
  assert.deepEqual(canonical(config, 10), { ...config, efConstruction: 32, efSearch: 10 })
  assert.equal(pointKey(config, 10), pointKey({ ...config, efConstruction: 31, efSearch: 9 }, 10))
  assert.notEqual(pointKey(config, 10), pointKey({ ...config, efSearch: 11 }, 10))
  assert.notEqual(pointKey(config, 10), pointKey({ ...config, efSearch: null }, 10))
})

it('knows what lies beside a cell and nearest to a point', () => {
  const cells = latticeCells(DEFAULT_BOUNDS)
  const beside = latticeNeighbours({ m: 16, efConstruction: 200 }, cells)
  const names = beside.map(({ m, efConstruction }) => `${m} ${efConstruction}`)
  assert.deepEqual(names, ['12 200', '16 128', '16 300', '24 200'])
  assert.deepEqual(nearestCell(cells, { m: 17, efConstruction: 190 }), {
    m: 16,
    efConstruction: 200,
  })
  assert.equal(nearestCell([], CONFIG), null)
})

it('forecasts bytes by the formula of the file format', () => {
  // 1000 · (8·16 + 16 + 4·100) + 1000 · (4·16 + 4) / 15
  const bytes = predictedFileBytes(16, { points: 1000, dimension: 100 })
  assert.ok(Math.abs(bytes - 548_533.3333) < 0.01)
  assert.equal(predictedMemoryBytes(16, { points: 1000, dimension: 100 }) - bytes, 2_700_000)
})

function built(m: number, efConstruction: number, cpuS: number, seq: number) {
  const build = { cpuS, wallS: 0, bytes: 0, predictedCpuS: null, cached: false }
  return trial({ seq, config: { m, efConstruction }, build })
}

it('forecasts builds after the first one, and learns the slopes of the data from more', () => {
  assert.equal(buildForecast([]), null)
  const first = buildForecast([built(16, 200, 10, 0)])
  assert.ok(Math.abs((first?.({ m: 16, efConstruction: 200 }) ?? 0) - 10) < 1e-9)
  const law = (m: number, ef: number): number => 0.02 * m ** 0.14 * ef ** 0.96
  const grid = [4, 16, 48].flatMap((m) => [16, 64, 400].map((ef) => [m, ef] as const))
  const fitted = buildForecast(grid.map(([m, ef], i) => built(m, ef, law(m, Math.max(m, ef)), i)))
  const forecast = fitted?.({ m: 24, efConstruction: 300 }) ?? 0
  assert.ok(Math.abs(forecast / law(24, 300) - 1) < 0.03, String(forecast / law(24, 300)))
})

it('lets no impossible or cached build into a forecast', () => {
  const odd = [built(16, 200, Number.NaN, 1), built(16, 200, 0, 2), built(16, 200, -4, 3)]
  assert.equal(buildForecast(odd), null)
  const cached = trial({ seq: 4, config: {} })
  assert.equal(
    buildForecast([{ ...cached, build: cached.build && { ...cached.build, cached: true } }]),
    null,
  )
})

it('estimates the dimension in which distances were drawn, squared or not', () => {
  for (const dimension of [4, 12, 30]) {
    const random = splitmix32(dimension)
    // In a ball of that dimension distances are u^(1/d).
    const queries = Array.from({ length: 400 }, () =>
      Array.from({ length: 20 }, () => random() ** (1 / dimension)).sort((a, b) => a - b),
    )
    const plain = localIntrinsicDimension(queries, { squared: false }) ?? 0
    assert.ok(Math.abs(plain / dimension - 1) < 0.1, `${plain} for ${dimension}`)
    const squares = queries.map((all) => all.map((distance) => distance ** 2))
    const squared = localIntrinsicDimension(squares, { squared: true }) ?? 0
    assert.ok(Math.abs(squared - plain) < 1e-6)
  }
})

it('has no dimension for duplicates, for too few distances and for none', () => {
  const options = { squared: false }
  assert.equal(localIntrinsicDimension([], options), null)
  assert.equal(localIntrinsicDimension([[0, 0, 0, 0]], options), null)
  assert.equal(localIntrinsicDimension([[1, 2]], options), null)
  assert.equal(localIntrinsicDimension([[1, 1, 1, 1]], options), null)
  assert.equal(localIntrinsicDimension([[Number.NaN, 1]], options), null)
})
