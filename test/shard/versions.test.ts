/**
 * Kept versions against the plainest model, over any run of writes, checkpoints, restarts and changes
 * of how many are kept.
 *
 * How: seeded runs of upserts, deletes, checkpoints and compactions (with writes while they run),
 * changes of the setting and restarts from the last checkpoint with the log replayed after it. After each step what
 * the shard answers for single ids and as of random writes is compared with the model.
 */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import type { CheckpointContent } from '../../src/domain/checkpoint.ts'
import type { VersionsPage, VersionsRequest } from '../../src/domain/search.ts'
import { randomVectors, seededRandom, vectorAt } from '../support/vectors.ts'
import { EVERYTHING, Harness, type ModelPoint } from './harness.ts'
import { VersionsModel } from './versions-model.ts'

const DIMENSION = 4
const STEPS = 150

type Log = {
  readonly lsn: number
  readonly payload: Uint8Array
  redo(model: VersionsModel): void
}[]

interface Run {
  readonly harness: Harness
  readonly random: () => number
  readonly log: Log
  readonly idsMax: number
  model: VersionsModel
  /** The last checkpoint and what the model was then. */
  stored: { readonly content: CheckpointContent; readonly model: VersionsModel } | null
  readonly seen: Record<'restarts' | 'changes' | 'incomplete' | 'kept' | 'compactions', number>
}

for (let seed = 0; seed < 12; seed += 1) {
  it(`seed ${seed}: versions, reads as of a write and their horizon are those of the model`, async (t) => {
    const random = seededRandom(seed + 1)
    // Few ids have long histories; many make parts that are kept with dead rows in them.
    const idsMax = seed % 2 === 0 ? 12 : 150
    const model = new VersionsModel(1 + Math.floor(random() * 4))
    const spec = { keepLastVersions: model.keep }
    const harness = new Harness(t, { dimension: DIMENSION, metric: 'l2', flatRowsMax: 20, spec })
    const seen = { restarts: 0, changes: 0, incomplete: 0, kept: 0, compactions: 0 }
    const run: Run = { harness, random, log: [], idsMax, model, stored: null, seen }
    await harness.open()
    for (let step = 0; step < STEPS; step += 1) {
      await takeStep(run)
      compare(run)
    }
    await restart(run)
    compare(run)
    assert.ok(Math.min(...Object.values(seen)) > 0, JSON.stringify(seen))
  })
}

async function takeStep(run: Run): Promise<void> {
  const { harness, random } = run
  const dice = random()
  if (dice < 0.45) upsert(run)
  else if (dice < 0.68) remove(run)
  else if (dice < 0.74) harness.shard.indexSlice(random() * 20)
  else if (dice < 0.86) {
    const before = run.model.clone()
    const running = harness.shard.checkpoint(random() < 0.3 ? 'always' : 'if_worth')
    await Promise.resolve()
    upsert(run)
    remove(run)
    run.stored = { content: await running, model: before }
  } else if (dice < 0.9) await compact(run)
  else if (dice < 0.95) await retain(run)
  else await restart(run)
}

function upsert({ harness, random, log, model, idsMax }: Run): void {
  const points = new Map<string, ModelPoint>()
  const set = randomVectors(8, DIMENSION, Math.floor(random() * 1e9))
  for (let row = 0; row < 8; row += 1) {
    const id = `id-${Math.floor(random() * idsMax)}`
    const metadata = random() < 0.2 ? null : JSON.stringify({ n: Math.floor(random() * 3) })
    points.set(id, { id, vector: vectorAt(set, row), text: `text ${random()}`, metadata })
  }
  const written = [...points.values()]
  const payload = harness.upsert(written)
  const { lsn } = harness
  model.upsert(lsn, written)
  log.push({ lsn, payload, redo: (other) => other.upsert(lsn, written) })
}

function remove({ harness, random, log, model, idsMax }: Run): void {
  const ids = new Set<string>()
  for (let i = 0; i < 4; i += 1) ids.add(`id-${Math.floor(random() * idsMax)}`)
  const payload = harness.delete([...ids])
  const { lsn } = harness
  model.delete(lsn, [...ids])
  log.push({ lsn, payload, redo: (other) => other.delete(lsn, [...ids]) })
}

/** Writes come between its steps, and what is compared afterwards is compared as ever. */
async function compact(run: Run): Promise<void> {
  const running = run.harness.shard.compact([])
  for (let turn = 0; turn < 3; turn += 1) {
    await Promise.resolve()
    upsert(run)
    remove(run)
  }
  if ((await running).dropped > 0) run.seen.compactions += 1
}

async function retain(run: Run): Promise<void> {
  const { harness, random, model } = run
  const keep = 1 + Math.floor(random() * 4)
  const before = harness.shard.stats()
  model.retain(keep)
  const { versions, bytes } = await harness.shard.retain(keep)
  const after = harness.shard.stats()
  assert.equal(versions, before.keptVersions - after.keptVersions)
  assert.equal(bytes, before.keptBytes - after.keptBytes)
  run.seen.changes += 1
}

/** What comes back is the model of the checkpoint, and after it the log under what is kept now. */
async function restart(run: Run): Promise<void> {
  const { harness, stored, log, model } = run
  const { keep } = model
  const content = stored && (JSON.parse(JSON.stringify(stored.content)) as CheckpointContent)
  const shard = await harness.open(content, { keepLastVersions: keep })
  run.model = stored?.model.clone() ?? new VersionsModel(keep)
  run.model.retain(keep)
  for (const { lsn, payload, redo } of log) {
    if (lsn > (content?.lsn ?? 0)) redo(run.model)
    shard.apply(lsn, payload)
  }
  // Nothing that could be read before is lost by it.
  assert.ok(run.model.horizonLsn <= model.horizonLsn)
  assert.ok(run.model.keptVersions >= model.keptVersions)
  run.seen.restarts += 1
  assert.deepEqual(await shard.verify(), [])
}

function compare({ harness, model, random, idsMax, seen }: Run): void {
  const stats = harness.shard.stats()
  assert.equal(stats.keptVersions, model.keptVersions)
  assert.equal(stats.keepLastVersions, model.keep)
  seen.kept += stats.keptVersions
  for (let i = 0; i < 6; i += 1)
    compareVersions(harness, model, `id-${Math.floor(random() * idsMax)}`)
  for (let i = 0; i < 3; i += 1) {
    const asOf = Math.floor(random() * (harness.lsn + 1))
    const n = random() < 0.5 ? null : Math.floor(random() * 3)
    if (asOf < model.horizonLsn) seen.incomplete += 1
    compareAsOf(harness, model, { asOf, n })
  }
}

function versions(harness: Harness, id: string, asked: Partial<VersionsRequest>): VersionsPage {
  const all = { id, include: EVERYTHING, before: null, limit: 100, only: null }
  return harness.shard.versions({ ...all, ...asked })
}

function compareVersions(harness: Harness, model: VersionsModel, id: string): void {
  const expected = model.versions(id)
  const page = versions(harness, id, {})
  assert.equal(page.isKnown, expected.length > 0)
  assert.deepEqual(
    page.versions.map(({ version, endedAt, kind, vector, text, metadata }) => {
      return { lsn: version, endedAt, kind, vector, text, metadata }
    }),
    expected.map(({ lsn, endedAt, point }) => ({
      ...{ lsn, endedAt },
      kind: point === null ? 'deleted' : endedAt === null ? 'live' : 'kept',
      vector: point?.vector ?? null,
      text: point?.text ?? null,
      metadata: point?.metadata ?? null,
    })),
  )
  const [first, second] = expected
  if (first === undefined || second === undefined) return
  const one = versions(harness, id, { limit: 1 })
  assert.deepEqual([one.versions[0]?.version, one.done], [first.lsn, false])
  const next = versions(harness, id, { before: first.lsn, limit: 1 })
  assert.equal(next.versions[0]?.version, second.lsn)
  const exact = versions(harness, id, { only: { version: second.lsn } })
  assert.equal(exact.versions[0]?.text, second.point?.text)
}

function compareAsOf(
  harness: Harness,
  model: VersionsModel,
  { asOf, n }: { readonly asOf: number; readonly n: number | null },
): void {
  const zero = new Float32Array(DIMENSION)
  const filter = n === null ? null : JSON.stringify({ n })
  const matches = ({ metadata }: ModelPoint): boolean =>
    n === null || (metadata?.includes(`"n":${n}`) ?? false)
  const { hits, path, completeFrom, exhausted } = harness.search(zero, { k: 200, asOf, filter })
  const textsOf = (points: readonly ModelPoint[]): string[] =>
    points
      .filter(matches)
      .map(({ id, text }) => `${id} ${text}`)
      .sort()
  const found = harness.search(zero, { k: 200, asOf, filter, include: EVERYTHING }).hits
  assert.deepEqual(
    found.map(({ id, text }) => `${id} ${text}`).sort(),
    textsOf(model.visibleAt(asOf)),
  )
  assert.deepEqual([path, completeFrom, exhausted], ['exact', model.horizonLsn, true])
  const isSorted = hits.every(({ distance }, i) => distance >= (hits[i - 1]?.distance ?? 0))
  assert.ok(isSorted, 'nearest first')
  // What is said to be complete is what was there, whatever was given up since.
  if (asOf >= model.horizonLsn) {
    assert.deepEqual(textsOf(model.visibleAt(asOf)), textsOf(model.trulyAt(asOf)))
  }
}
