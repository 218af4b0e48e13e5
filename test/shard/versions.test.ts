/**
 * Kept versions against the plainest model, over any run of writes, checkpoints, restarts and changes
 * of how many are kept.
 *
 * How: seeded runs of upserts, deletes, vectors for texts (in two of three runs), checkpoints and compactions (with writes while they run),
 * changes of the setting and restarts from the last checkpoint with the log replayed after it. After each step what
 * the shard answers for single ids and as of random writes is compared with the model.
 */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import type { CheckpointContent } from '../../src/domain/checkpoint.ts'
import { CLIENT_TAG, type PendingText } from '../../src/domain/pending-text.ts'
import type { ScrollPosition, VersionsPage, VersionsRequest } from '../../src/domain/search.ts'
import { randomVectors, seededRandom, vectorAt } from '../support/vectors.ts'
import { EVERYTHING, Harness, type ModelPoint, type ModelVector } from './harness.ts'
import { VersionsModel } from './versions-model.ts'

const DIMENSION = 4
const STEPS = 150
const TAGS: readonly string[] = ['m@1', 'm@2']

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
  /** Share of the points that are texts without a vector. */
  readonly texts: number
  /** Texts that were ever written, to make vectors from. */
  readonly written: Omit<ModelVector, 'vector'>[]
  model: VersionsModel
  /** The last checkpoint and what the model was then. */
  stored: { readonly content: CheckpointContent; readonly model: VersionsModel } | null
  readonly seen: Record<'restarts' | 'changes' | 'incomplete' | 'kept' | 'compactions', number>
  /** Rows that wait for vectors, and rows with vectors of another embedder than the first. */
  readonly waiting: { writes: number; backfill: number }
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
    const texts = (seed % 3) / 2
    const waiting = { writes: 0, backfill: 0 }
    const shape = { idsMax, texts, written: [], waiting }
    const run: Run = { harness, random, log: [], ...shape, model, stored: null, seen }
    await harness.open()
    for (let step = 0; step < STEPS; step += 1) {
      await takeStep(run)
      compare(run)
    }
    await restart(run)
    compare(run)
    assert.ok(Math.min(...Object.values(seen)) > 0, JSON.stringify(seen))
    const isReached = Math.min(waiting.writes, waiting.backfill) > 0
    assert.equal(isReached, texts > 0, JSON.stringify(waiting))
  })
}

async function takeStep(run: Run): Promise<void> {
  const { harness, random } = run
  const dice = random()
  if (dice < 0.45) upsert(run)
  else if (dice < 0.68) (dice < 0.55 && run.texts > 0 ? project : remove)(run)
  else if (dice < 0.74) harness.shard.indexSlice(random() * 20)
  else if (dice < 0.86) {
    const before = run.model.clone()
    const running = harness.shard.checkpoint(random() < 0.3 ? 'always' : 'if_worth')
    await Promise.resolve()
    upsert(run)
    project(run)
    remove(run)
    run.stored = { content: await running, model: before }
  } else if (dice < 0.9) await compact(run)
  else if (dice < 0.95) await retain(run)
  else await restart(run)
}

function upsert(run: Run): void {
  const { harness, random, log, model, idsMax, texts } = run
  const points = new Map<string, ModelPoint>()
  const set = randomVectors(8, DIMENSION, Math.floor(random() * 1e9))
  for (let row = 0; row < 8; row += 1) {
    const id = `id-${Math.floor(random() * idsMax)}`
    const metadata = random() < 0.2 ? null : JSON.stringify({ n: Math.floor(random() * 3) })
    const vector = random() < texts ? null : vectorAt(set, row)
    points.set(id, { id, vector, text: `text ${random()}`, metadata })
  }
  const written = [...points.values()]
  const payload = harness.upsert(written)
  const { lsn } = harness
  model.upsert(lsn, written)
  log.push({ lsn, payload, redo: (other) => other.upsert(lsn, written) })
  for (const { id, text } of written) run.written.push({ id, version: lsn, text: text ?? '' })
}

/** Vectors for texts of lately, of which some were overwritten, deleted or embedded already. */
function project({ harness, random, log, model, texts, written }: Run): void {
  if (texts === 0) return
  const set = randomVectors(12, DIMENSION, Math.floor(random() * 1e9))
  const made = new Map<string, ModelVector>()
  for (let row = 0; row < 12; row += 1) {
    const one = written[written.length - 1 - Math.floor(random() * 40)]
    if (one === undefined) continue
    // One in ten was made of another text, which must not be believed.
    const text = random() < 0.1 ? 'another text' : one.text
    made.set(one.id, { ...one, text, vector: vectorAt(set, row) })
  }
  if (made.size === 0) return
  const vectors = [...made.values()]
  const tag = TAGS[Math.floor(random() * 2)] ?? ''
  const payload = harness.project(vectors, tag)
  const { lsn } = harness
  model.project(vectors, tag)
  log.push({ lsn, payload, redo: (other) => other.project(vectors, tag) })
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

function compare({ harness, model, random, idsMax, seen, waiting }: Run): void {
  const stats = harness.shard.stats()
  assert.equal(stats.keptVersions, model.keptVersions)
  assert.equal(stats.keepLastVersions, model.keep)
  seen.kept += stats.keptVersions
  const counts = comparePending(harness, model)
  waiting.writes += counts.writes
  waiting.backfill += counts.backfill
  for (let i = 0; i < 6; i += 1)
    compareVersions(harness, model, `id-${Math.floor(random() * idsMax)}`)
  for (let i = 0; i < 3; i += 1) {
    const asOf = Math.floor(random() * (harness.lsn + 1))
    const n = random() < 0.5 ? null : Math.floor(random() * 3)
    if (asOf < model.horizonLsn) seen.incomplete += 1
    compareAsOf(harness, model, { asOf, n })
  }
}

/** What waits for the embedder `m@1`: counted, and page by page in the order of the rows. */
function comparePending(
  harness: Harness,
  model: VersionsModel,
): ReturnType<VersionsModel['pending']> {
  const tag = 'm@1'
  const expected = model.pending(tag)
  assert.deepEqual(harness.shard.texts({ kind: 'count', tag }).counts, expected)
  assert.equal(harness.shard.stats().pendingTexts, expected.writes)
  const inOrder = [...harness.live.values()]
    .filter((point) => point.vector === null || ![CLIENT_TAG, tag].includes(point.tag))
    .sort((a, b) => a.lsn - b.lsn || a.row - b.row)
  const found: PendingText[] = []
  let after: ScrollPosition | null = null
  for (let isDone = false; !isDone;) {
    const { page } = harness.shard.texts({ kind: 'page', tag, after, limit: 7, priority: null })
    assert.ok(page !== undefined)
    found.push(...page.items)
    after = page.positions.at(-1) ?? after
    isDone = page.done
  }
  assert.deepEqual(
    found,
    inOrder.map(({ id, version, text, vector }) => {
      return { id, version, text, priority: vector === null ? 1000 : 0 }
    }),
  )
  return expected
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
      .filter((point) => point.vector !== null && matches(point))
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
