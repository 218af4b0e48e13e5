/** The live points of a checkpoint as a stream, against the plainest model of them. */

import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { it, type TestContext } from 'node:test'
import fc from 'fast-check'
import { hasCode } from '../../src/lib/errors.ts'
import type { CheckpointContent } from '../../src/domain/checkpoint.ts'
import {
  countLivePoints,
  livePoints,
  toldLivePoints,
  type LivePoints,
} from '../../src/shard/live-points.ts'
import { collect } from '../support/collect.ts'
import { Harness, type LivePoint, type ModelPoint } from './harness.ts'

const DIMENSION = 3
/** The last four are of `BASE`. */
const IDS = ['a', 'b', 'c', 'd', 'e', 'p0', 'p1', 'p2', 'p3']
const TAG = 'model@1/3/raw'

function scratchOf(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'vectord-live-'))
  t.after(() => {
    rmSync(folder, { recursive: true, force: true })
  })
  return join(folder, 'scratch')
}

/** So many that a few dead rows among them stay in their part. */
const BASE: readonly ModelPoint[] = Array.from({ length: 60 }, (_, n) => ({
  ...{ id: `p${n}`, vector: Float32Array.of(n, 0, 1), text: null, metadata: null },
}))

interface FlatPoint extends ModelPoint {
  readonly version: number
}

function flat(batches: readonly LivePoints[]): FlatPoint[] {
  return batches.flatMap(({ ids, vectors, texts, metadata, versions }) =>
    ids.map((id, i) => ({
      ...{ id, vector: vectors[i] ?? null, text: texts[i] ?? null },
      ...{ metadata: metadata[i] ?? null, version: versions[i] ?? -1 },
    })),
  )
}

/** In the order of their rows. */
function modelOf(live: ReadonlyMap<string, LivePoint>): FlatPoint[] {
  return [...live.values()]
    .sort((a, b) => a.lsn - b.lsn || a.row - b.row)
    .map(({ id, vector, text, metadata, version }) => ({ id, vector, text, metadata, version }))
}

async function read(
  { store }: Harness,
  content: CheckpointContent | null,
  scratch: string,
): Promise<FlatPoint[]> {
  const { signal } = new AbortController()
  const options = { dimension: DIMENSION, scratch, signal }
  const all = flat(await collect(livePoints(store, content, options)))
  assert.equal(await countLivePoints(store, content, options), all.length)
  const told = toldLivePoints(content)
  if (told !== null) assert.equal(told, all.length)
  assert.equal(existsSync(scratch), false, 'no scratch file stays')
  return all
}

const point = fc.record({
  id: fc.constantFrom(...IDS),
  vector: fc.option(fc.array(fc.integer({ min: -9, max: 9 }), { minLength: 3, maxLength: 3 })),
  text: fc.constantFrom('one', 'two'),
  metadata: fc.constantFrom(null, '{"a":1}', '{"b":"ü"}'),
})
const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('upsert'),
      points: fc.array(point, { minLength: 1, maxLength: 4 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('delete'),
      ids: fc.array(fc.constantFrom(...IDS), { minLength: 1, maxLength: 3 }),
    }),
  },
  { weight: 2, arbitrary: fc.constant({ kind: 'project' }) },
  { weight: 2, arbitrary: fc.constant({ kind: 'checkpoint' }) },
)

type Step = {
  readonly kind: string
  readonly points?: readonly {
    readonly id: string
    readonly vector: readonly number[] | null
    readonly text: string
    readonly metadata: string | null
  }[]
  readonly ids?: readonly string[]
}

async function play(harness: Harness, steps: readonly Step[]): Promise<void> {
  for (const { kind, points = [], ids = [] } of steps) {
    if (kind === 'upsert') {
      const unique = [...new Map(points.map((one) => [one.id, one])).values()]
      harness.upsert(
        unique.map((one) => ({ ...one, vector: one.vector && Float32Array.from(one.vector) })),
      )
    } else if (kind === 'delete') harness.delete(ids)
    else if (kind === 'project') {
      const waiting = [...harness.live.values()].filter(({ vector }) => vector === null)
      const made = waiting.slice(0, 2).map(({ id, version, text }) => ({
        ...{ id, version, text: text ?? '', vector: Float32Array.of(version, 1, 2) },
      }))
      if (made.length > 0) harness.project(made, TAG)
    } else await harness.shard.checkpoint('if_worth')
  }
}

it('gives the live rows of any history, in order, whatever is kept beside them', async (t) => {
  const scratch = scratchOf(t)
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { maxLength: 24 }),
      fc.constantFrom(1, 1, 3),
      async (steps, keepLastVersions) => {
        const harness = new Harness(t, {
          dimension: DIMENSION,
          metric: 'l2',
          spec: { keepLastVersions },
        })
        await harness.open()
        harness.upsert(BASE)
        await harness.shard.checkpoint('if_worth')
        await play(harness, steps)
        const content = await harness.shard.checkpoint('if_worth')
        assert.deepEqual(await read(harness, content, scratch), modelOf(harness.live))
      },
    ),
    { numRuns: 60 },
  )
})

it('an index without a checkpoint has no points', async (t) => {
  const harness = new Harness(t, { dimension: DIMENSION, metric: 'l2' })
  assert.deepEqual(await read(harness, null, scratchOf(t)), [])
  assert.equal(toldLivePoints(null), 0)
})

it('names the part that is damaged or gone, and leaves no file', async (t) => {
  const harness = new Harness(t, { dimension: DIMENSION, metric: 'l2' })
  await harness.open()
  const scratch = scratchOf(t)
  harness.upsert([{ id: 'a', vector: new Float32Array(3), text: null, metadata: null }])
  const content = await harness.shard.checkpoint('if_worth')
  const key = content.parts[0]?.key ?? ''
  const bytes = Uint8Array.from(await harness.store.get(key))
  bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1
  await harness.store.put(key, bytes)
  const isNamed = (error: unknown): boolean =>
    hasCode(error, 'object_corrupt') && error.details['key'] === key
  await assert.rejects(read(harness, content, scratch), isNamed)
  await harness.store.delete(key)
  await assert.rejects(read(harness, content, scratch), isNamed)
  assert.equal(existsSync(scratch), false)
})

it('stops where its signal says so, and where nobody asks for more', async (t) => {
  const harness = new Harness(t, { dimension: DIMENSION, metric: 'l2' })
  await harness.open()
  const scratch = scratchOf(t)
  harness.upsert([{ id: 'a', vector: new Float32Array(3), text: null, metadata: null }])
  await harness.shard.checkpoint('if_worth')
  harness.upsert([{ id: 'b', vector: new Float32Array(3), text: null, metadata: null }])
  const content = await harness.shard.checkpoint('if_worth')
  assert.equal(content.parts.length, 2)
  const stop = new AbortController()
  const options = { dimension: DIMENSION, scratch, signal: stop.signal }
  const rows = livePoints(harness.store, content, options)
  await rows.next()
  stop.abort(new Error('enough'))
  await assert.rejects(rows.next(), /enough/)
  assert.equal(existsSync(scratch), false)
  const { signal } = new AbortController()
  for await (const { ids } of livePoints(harness.store, content, { ...options, signal })) {
    assert.deepEqual(ids, ['a'])
    break
  }
  assert.equal(existsSync(scratch), false)
})
