/**
 * A shard against the plainest model: a map of points.
 *
 * How: seeded runs of upserts, deletes, slices of indexing, checkpoints and compactions (with writes
 * while they run) and restarts from the last one, with the log replayed after it. After each step reads are
 * compared with the model; at each restart the shard is verified.
 */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import type { CheckpointContent } from '../../src/domain/checkpoint.ts'
import { METRICS } from '../../src/domain/metric.ts'
import { randomVectors, seededRandom, vectorAt } from '../support/vectors.ts'
import { EVERYTHING, Harness, NOTHING, type ModelPoint, type ModelVector } from './harness.ts'

const DIMENSION = 6
const IDS = 400
const STEPS = 120

for (const [seed, metric] of [...METRICS, ...METRICS].entries()) {
  it(`seed ${seed} (${metric}): any run of writes, checkpoints, compactions and restarts matches the model`, async (t) => {
    const random = seededRandom(seed)
    const harness = new Harness(t, { dimension: DIMENSION, metric, flatRowsMax: 60 })
    await harness.open()
    const log: { lsn: number; payload: Uint8Array }[] = []
    let last: CheckpointContent | null = null
    let restarts = 0
    let compactions = 0
    for (let step = 0; step < STEPS; step += 1) {
      const dice = random()
      if (dice < 0.7) log.push(write(harness, random, dice))
      else if (dice < 0.8) harness.shard.indexSlice(random() * 20)
      else if (dice < 0.84) {
        log.push(...(await compact(harness, random)))
        compactions += 1
      } else if (dice < 0.92) {
        const running = harness.shard.checkpoint(random() < 0.5 ? 'always' : 'if_worth')
        await Promise.resolve()
        const { lsn } = harness
        log.push(upsert(harness, random), project(harness, random), remove(harness, random))
        last = await running
        assert.equal(last.lsn, lsn)
      } else {
        await restart(harness, last, log)
        restarts += 1
      }
      compare(harness, random)
    }
    await restart(harness, last, log)
    compare(harness, random)
    assert.ok(restarts > 0 && compactions > 0 && last !== null, 'the run reached what it is about')
  })
}

async function compact(harness: Harness, random: () => number): Promise<Written[]> {
  // Begins in the turn after this one: writes come before, reads between its steps and after.
  const compacting = harness.shard.compact([])
  await Promise.resolve()
  const written = [upsert(harness, random), project(harness, random), remove(harness, random)]
  compare(harness, random)
  await compacting
  assert.deepEqual(await harness.shard.verify(), [])
  return written
}

function write(harness: Harness, random: () => number, dice: number): Written {
  if (dice < 0.4) return upsert(harness, random)
  return dice < 0.5 ? project(harness, random) : remove(harness, random)
}

interface Written {
  readonly lsn: number
  readonly payload: Uint8Array
}

function upsert(
  harness: Harness,
  random: () => number,
): { readonly lsn: number; readonly payload: Uint8Array } {
  const count = 1 + Math.floor(random() * 40)
  const set = randomVectors(count, DIMENSION, Math.floor(random() * 1e9))
  const points = new Map<string, ModelPoint>()
  for (let row = 0; row < count; row += 1) {
    const id = `id-${Math.floor(random() * IDS)}`
    const n = Math.floor(random() * 5)
    points.set(id, {
      id,
      ...textOr(random, vectorAt(set, row), row),
      metadata: random() < 0.2 ? null : JSON.stringify({ n, tags: [`t${n}`, 'all'] }),
    })
  }
  return { payload: harness.upsert([...points.values()]), lsn: harness.lsn }
}

/** A vector, a vector and its text, or a text without one. */
function textOr(
  random: () => number,
  vector: Float32Array,
  row: number,
): Pick<ModelPoint, 'vector' | 'text'> {
  const dice = random()
  const text = dice < 0.4 ? null : `text ${row}`
  return { vector: dice > 0.6 ? null : vector, text }
}

/** Vectors for some texts, and of some points whose texts they are not made of. */
function project(
  harness: Harness,
  random: () => number,
): { readonly lsn: number; readonly payload: Uint8Array } {
  const live = [...harness.live.values()]
  const set = randomVectors(30, DIMENSION, Math.floor(random() * 1e9))
  const made = new Map<string, ModelVector>()
  for (let row = 0; row < 30; row += 1) {
    const { id, version, text } = live[Math.floor(random() * live.length)] ?? GONE
    const isStale = random() < 0.1
    const from = { id, version: isStale ? version - 1 : version, text: text ?? 'no text' }
    made.set(id, { ...from, vector: vectorAt(set, row) })
  }
  const tag = random() < 0.8 ? 'm@1' : 'm@2'
  return { payload: harness.project([...made.values()], tag), lsn: harness.lsn }
}

const GONE = { id: 'never there', version: 1, text: null }

function remove(
  harness: Harness,
  random: () => number,
): { readonly lsn: number; readonly payload: Uint8Array } {
  const ids = new Set<string>()
  const count = 1 + Math.floor(random() * 30)
  for (let i = 0; i < count; i += 1) ids.add(`id-${Math.floor(random() * IDS)}`)
  return { payload: harness.delete([...ids]), lsn: harness.lsn }
}

async function restart(
  harness: Harness,
  checkpoint: CheckpointContent | null,
  log: readonly { readonly lsn: number; readonly payload: Uint8Array }[],
): Promise<void> {
  const fractions: number[] = []
  // As from a manifest: nothing but JSON survives.
  const stored = JSON.parse(JSON.stringify(checkpoint)) as CheckpointContent | null
  const shard = await harness.open(stored, {}, (fraction) => fractions.push(fraction))
  assert.deepEqual(shard.notices, [])
  assert.equal(fractions.at(-1), 1)
  assert.equal(shard.stats().appliedLsn, checkpoint?.lsn ?? 0)
  for (const { lsn, payload } of log) shard.apply(lsn, payload)
  assert.deepEqual(await shard.verify(), [])
}

function compare(harness: Harness, random: () => number): void {
  const { shard, live } = harness
  const stats = shard.stats()
  assert.equal(stats.livePoints, live.size)
  assert.equal(stats.appliedLsn, harness.lsn)
  const waiting = [...live.values()].filter(({ vector }) => vector === null)
  assert.equal(stats.pendingTexts, waiting.length)
  const ids = Array.from({ length: 10 }, () => `id-${Math.floor(random() * IDS)}`)
  assert.deepEqual(
    shard.fetch(ids, EVERYTHING),
    ids.map((id) => {
      const point = live.get(id)
      if (point === undefined) return null
      const { vector, text, metadata, version } = point
      return { id, version, metadata, text, vector }
    }),
  )
  const inOrder = [...live.values()].sort((a, b) => a.lsn - b.lsn || a.row - b.row)
  const page = shard.scroll(null, 10_000, null, NOTHING)
  assert.deepEqual(
    page.points.map(({ id }) => id),
    inOrder.map(({ id }) => id),
  )
  compareSearches(harness, random)
}

function compareSearches(harness: Harness, random: () => number): void {
  const query = vectorAt(randomVectors(1, DIMENSION, Math.floor(random() * 1e9)), 0)
  const n = Math.floor(random() * 5)
  const matches = ({ metadata }: ModelPoint): boolean => metadata?.includes(`"n":${n},`) ?? false
  for (const filter of [null, JSON.stringify({ tags: `t${n}` })]) {
    const truth = harness.trueDistances(query, filter === null ? undefined : matches).slice(0, 10)
    assert.equal(harness.shard.count(filter) >= truth.length, true)
    for (const options of [{ exact: true }, { ef: 1000 }]) {
      const { hits, exhausted } = harness.search(query, { filter, ...options })
      assert.equal(exhausted, truth.length < 10)
      // At this ef a graph of hundreds of points is searched as good as exactly.
      assert.deepEqual(
        hits.map(({ id }) => id),
        truth.map(({ id }) => id),
      )
    }
  }
}
