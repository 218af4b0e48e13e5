/**
 * Generations of a shard: brought into memory beside the published one, published, kept, dropped,
 * and no write is missed by any of them.
 */

import assert from 'node:assert/strict'
import { it, type TestContext } from 'node:test'
import type { GraphRef } from '../../src/domain/checkpoint.ts'
import { HNSW_DEFAULTS } from '../../src/domain/hnsw-config.ts'
import { randomVectors, vectorAt, type VectorSet } from '../support/vectors.ts'
import { Harness } from './harness.ts'

const SMALL = { ...HNSW_DEFAULTS, m: 6, efConstruction: 40 }
const DIMENSION = 8

/** A shard of 400 points, and the files of another graph over them. */
async function withBuild(
  t: TestContext,
): Promise<{ readonly harness: Harness; readonly set: VectorSet; readonly built: GraphRef }> {
  const set = randomVectors(800, DIMENSION, 5)
  const harness = new Harness(t, { dimension: DIMENSION })
  await harness.open()
  harness.upsertSet(set, { to: 400 })
  harness.indexAll()
  const checkpoint = await harness.shard.checkpoint('always')
  // What a builder does: the same rows, another configuration, files of its own.
  const parts = { ...checkpoint, graphs: [] }
  const builder = new Harness(t, {
    dimension: DIMENSION,
    store: harness.store,
    spec: { hnsw: SMALL },
  })
  await builder.open(parts)
  builder.indexAll()
  const [built] = (await builder.shard.checkpoint('always')).graphs
  assert.ok(built !== undefined)
  return { harness, set, built: { ...built, published: false, graphId: 'feed' } }
}

function statesOf({ shard }: Harness): unknown[] {
  return shard.stats().generations.map(({ generation, state }) => [generation, state])
}

/** Every live point is found by itself in the generation, and nothing else is found. */
function checkFinds(harness: Harness, generation?: number): void {
  for (const [id, { vector }] of harness.live) {
    assert.ok(vector !== null)
    const asked = { k: 1, ef: 100, ...(generation !== undefined && { generation }) }
    assert.equal(harness.search(vector, asked).hits[0]?.id, id)
  }
  const { hits } = harness.search(vectorAt(randomVectors(1, DIMENSION, 9), 0), { k: 1000 })
  assert.equal(hits.length, harness.live.size)
}

it('writes and deletes that come while a build runs are in the generation that follows', async (t) => {
  const { harness, set, built } = await withBuild(t)
  harness.upsertSet(set, { from: 400, to: 500 })
  harness.upsertSet(set, { to: 20 })
  harness.delete(['p30', 'p31', 'p450'])
  await harness.shard.adopt({ generation: 2, ref: built, config: null })
  harness.delete(['p32', 'p451'])
  harness.upsertSet(set, { from: 500, to: 520 })
  assert.deepEqual(statesOf(harness), [
    [1, 'published'],
    [2, 'candidate'],
  ])
  checkFinds(harness)
  checkFinds(harness, 2)
  await harness.shard.publish(2)
  assert.deepEqual(statesOf(harness), [
    [1, 'candidate'],
    [2, 'published'],
  ])
  checkFinds(harness)
  harness.indexAll()
  const answer = harness.search(vectorAt(set, 450), { ef: 100 })
  assert.deepEqual([answer.generation, answer.path], [2, 'graph'])
  checkFinds(harness)
  checkFinds(harness, 1)
  assert.deepEqual(await harness.shard.verify(), [])
})

it('a publication is durable with the next checkpoint, and the older graph is kept on disk', async (t) => {
  const { harness, built, set } = await withBuild(t)
  await harness.shard.adopt({ generation: 2, ref: built, config: null })
  await harness.shard.publish(2)
  await harness.shard.drop(1)
  assert.deepEqual(statesOf(harness), [
    [1, 'stored'],
    [2, 'published'],
  ])
  const checkpoint = await harness.shard.checkpoint('if_worth')
  assert.deepEqual(
    checkpoint.graphs.map(({ generation, published, graphId }) => [generation, published, graphId]),
    [
      [2, true, 'feed'],
      [1, false, null],
    ],
  )
  await harness.open(checkpoint)
  assert.deepEqual(statesOf(harness), [
    [1, 'stored'],
    [2, 'published'],
  ])
  const { generations, deltaPoints } = harness.shard.stats()
  assert.deepEqual([generations[1]?.config, deltaPoints], [SMALL, 0])
  // Back to the older one, from its file, with what was written since.
  harness.upsertSet(set, { from: 600, to: 650 })
  await harness.shard.adopt({ generation: 1, ref: null, config: null })
  harness.indexAll()
  await harness.shard.publish(1)
  checkFinds(harness)
  await harness.shard.drop(2)
  const back = await harness.shard.checkpoint('if_worth')
  assert.deepEqual(
    back.graphs.map(({ generation, published }) => [generation, published]),
    [
      [1, true],
      [2, false],
    ],
  )
})

it('no more than the wanted number of older graphs is kept', async (t) => {
  const { harness, built } = await withBuild(t)
  for (const generation of [2, 3, 4, 5]) {
    await harness.shard.adopt({ generation, ref: built, config: null })
    await harness.shard.publish(generation)
    await harness.shard.drop(generation - 1)
    await harness.shard.checkpoint('if_worth')
  }
  const { graphs } = await harness.shard.checkpoint('if_worth')
  assert.deepEqual(
    graphs.map(({ generation }) => generation),
    [5, 4, 3],
  )
})

it('a generation that is published while a checkpoint is written changes nothing of it', async (t) => {
  const { harness, built } = await withBuild(t)
  await harness.shard.adopt({ generation: 2, ref: built, config: null })
  harness.delete(['p1'])
  const checkpoint = harness.shard.checkpoint('always')
  const published = harness.shard.publish(2)
  const { graphs } = await checkpoint
  assert.deepEqual(
    graphs.map(({ generation }) => generation),
    [1],
  )
  await published
  const after = await harness.shard.checkpoint('if_worth')
  assert.deepEqual(
    after.graphs.map(({ generation }) => generation),
    [2, 1],
  )
})

it('what is not there is refused, and changes nothing', async (t) => {
  const { harness, built } = await withBuild(t)
  const { shard } = harness
  await assert.rejects(shard.publish(7), { code: 'generation_not_found' })
  await assert.rejects(shard.adopt({ generation: 7, ref: null, config: null }), {
    code: 'generation_not_found',
  })
  await assert.rejects(shard.adopt({ generation: 1, ref: built, config: null }), {
    code: 'generation_exists',
  })
  const graph = { ...built.graph, sha256: 'ab'.repeat(32) }
  await assert.rejects(shard.adopt({ generation: 2, ref: { ...built, graph }, config: null }), {
    code: 'object_corrupt',
  })
  await shard.adopt({ generation: 2, ref: built, config: null })
  await shard.adopt({ generation: 3, ref: null, config: SMALL })
  await assert.rejects(shard.adopt({ generation: 4, ref: built, config: null }), {
    code: 'limit_exceeded',
  })
  await shard.drop(9)
  assert.equal(shard.stats().generation, 1)
  checkFinds(harness)
})

it('a sample has the truth of its snapshot beside what each generation finds', async (t) => {
  const { harness, set, built } = await withBuild(t)
  await harness.shard.adopt({ generation: 2, ref: built, config: null })
  const vector = vectorAt(set, 700)
  const query = {
    ...{ target: { vector }, k: 10, ef: null, exact: false, filter: null },
    include: { metadata: false, vector: false, text: false },
  }
  const probes = [
    { generation: 1, ef: 10 },
    { generation: 2, ef: 200 },
  ]
  const truth = harness.trueDistances(vector).slice(0, 10)
  const sampling = harness.shard.sample({ query, probes })
  // After the snapshot: the sample must not see it.
  harness.delete([truth[0]?.id ?? ''])
  const sample = await sampling
  assert.deepEqual(
    sample.truth.ids,
    truth.map(({ id }) => id),
  )
  assert.deepEqual(sample.probes[1]?.ids, sample.truth.ids)
  assert.deepEqual(
    sample.probes.map(({ generation, ef, ids }) => [generation, ef, ids.length]),
    [
      [1, 10, 10],
      [2, 200, 10],
    ],
  )
  assert.deepEqual([sample.livePoints, sample.matching, sample.generation], [400, 400, 1])
  assert.ok(sample.workUs > 0, 'it is known what it cost')
})
