/** A Lance index as routes see it, over a table in memory. */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { LANCE_DEFAULTS } from '../../src/domain/lance-settings.ts'
import { upsertOf, type UpsertRow } from '../../src/domain/write-batch.ts'
import type { IndexMeta } from '../../src/indexes/index-meta.ts'
import { foreignHolding, soleHolding } from '../../src/indexes/lance-holding.ts'
import { LanceIndex } from '../../src/indexes/lance-index.ts'
import { notOwner } from '../../src/indexes/index-owner.ts'
import { VectordError } from '../../src/lib/errors.ts'
import { MemoryLanceTable } from '../support/memory-lance-table.ts'

const EMBEDDER = { name: 'e', model: 'm', version: '1', dimension: 2, normalised: false }

const META: IndexMeta = {
  ...{ name: 'docs', incarnation: 'i', createdMs: 0, state: 'active', dimension: 2, metric: 'l2' },
  ...{ bucket: 'primary', backend: 'lance', lance: LANCE_DEFAULTS, shards: 1, keepLastVersions: 1 },
  hnsw: { m: 16, efConstruction: 200, efSearch: null, seed: 42 },
  embedder: EMBEDDER,
}

const NOTHING = { metadata: false, vector: false, text: false }
const WRITE = { ack: 'applied', deadlineMs: 60_000 } as const
const READ = { minLsn: 0, deadlineMs: 60_000 }

interface World {
  readonly index: LanceIndex
  readonly table: MemoryLanceTable
  /** Texts of each call of the embedder. */
  readonly embedded: (readonly string[])[]
}

async function open(): Promise<World> {
  const table = new MemoryLanceTable()
  const embedded: (readonly string[])[] = []
  const index = new LanceIndex({
    ...{ meta: META, revision: 1, table: () => table, nowMs: () => 0 },
    embed: (_, texts) => {
      embedded.push(texts)
      return Promise.resolve(texts.map((text) => Float32Array.of(text.length, 0)))
    },
  })
  index.hold(soleHolding('here'))
  await index.look()
  return { index, table, embedded }
}

function batch(rows: readonly Partial<UpsertRow>[]): ReturnType<typeof upsertOf> {
  const whole = rows.map((row, i) => {
    return { id: `p${i}`, vector: null, text: null, metadata: null, ...row }
  })
  return upsertOf(2, whole)
}

function near(x: number, k: number, more: object = {}) {
  const target = { vector: Float32Array.of(x, 0) }
  return { target, k, ef: null, exact: false, filter: null, include: NOTHING, ...more }
}

it('before its table was seen it answers as one that loads, and says what keeps it', async () => {
  const table = new MemoryLanceTable()
  const embed = () => Promise.resolve([])
  const index = new LanceIndex({
    ...{ meta: META, revision: 1, table: () => table, embed, nowMs: () => 0 },
  })
  assert.deepEqual([index.info.state, index.info.stats], ['loading', null])
  await assert.rejects(index.count(null, READ), { code: 'index_loading' })
  index.failed(new VectordError('bucket_unreachable', 'The bucket is down.'))
  assert.deepEqual([index.info.state, index.info.reason], ['unavailable', 'The bucket is down.'])
  await assert.rejects(index.count(null, READ), { code: 'index_unavailable' })
  await index.look()
  assert.equal(index.info.state, 'ready')
  index.failed(new VectordError('bucket_unreachable', 'The bucket is down.'))
  assert.equal(index.info.state, 'degraded')
  assert.equal(await index.count(null, READ), 0, 'what is only degraded is still tried')
})

it('texts without vectors are embedded before the write, some at a time', async () => {
  const { index, table, embedded } = await open()
  const texts = Array.from({ length: 100 }, (_, i) => ({ text: 'x'.repeat(i + 1) }))
  const own = { id: 'own', vector: Float32Array.of(7, 7), text: 'kept as it is' }
  const { lsn } = await index.write(batch([...texts, own]), WRITE)
  assert.equal(lsn, 2)
  assert.deepEqual(
    embedded.map((some) => some.length),
    [64, 36],
  )
  const { points } = await table.fetch(['p9', 'own'], { ...NOTHING, vector: true }, null)
  assert.deepEqual(
    points.map((point) => [...(point?.vector ?? [])]),
    [
      [10, 0],
      [7, 7],
    ],
  )
  await assert.rejects(index.write(batch([{ id: 'bare' }]), WRITE), { code: 'invalid_points' })
  assert.equal(table.version, 2, 'what was refused changed nothing')
})

it('an append of ids that are there is refused whole, and names them', async () => {
  const { index, table } = await open()
  const vector = Float32Array.of(1, 0)
  await index.append(batch([{ vector }, { vector }]), WRITE)
  const refused = index.append(
    batch([
      { id: 'new', vector },
      { id: 'p1', vector },
    ]),
    WRITE,
  )
  await assert.rejects(refused, (error: VectordError) => {
    return error.code === 'points_exist' && JSON.stringify(error.details).includes('"p1"')
  })
  assert.equal((await table.count(null)).count, 2)
})

it('a search that finds too few through an index is made again row by row', async () => {
  const { index, table } = await open()
  const rows = Array.from({ length: 9 }, (_, i) => ({ vector: Float32Array.of(i, 0) }))
  await index.write(batch(rows), WRITE)
  table.found = (hits) => hits.slice(0, 2)
  const few = await index.search(near(0, 5), READ)
  assert.deepEqual([few.path, few.hits.length, few.exhausted], ['exact', 5, false])
  const enough = await index.search(near(0, 2), READ)
  assert.deepEqual([enough.path, enough.lsn, enough.generation], ['ivf', 2, 2])
  const all = await index.search(near(0, 20), READ)
  assert.deepEqual([all.hits.length, all.exhausted], [9, true])
  const byId = await index.search({ ...near(0, 3), target: { id: 'p4' }, exact: true }, READ)
  assert.deepEqual(
    byId.hits.map(({ id }) => id).sort(),
    ['p2', 'p3', 'p5', 'p6'].filter((id) => byId.hits.some((hit) => hit.id === id)),
  )
  assert.equal(byId.hits.length, 3)
  await assert.rejects(index.search({ ...near(0, 3), target: { id: 'none' } }, READ), {
    code: 'point_not_found',
  })
})

it('a version of the past is searched exactly; one that is still to come is refused', async () => {
  const { index } = await open()
  await index.write(batch([{ id: 'old', vector: Float32Array.of(1, 0) }]), WRITE)
  await index.write({ kind: 'delete', ids: ['old'] }, WRITE)
  const then = await index.search(near(1, 1, { asOf: 2 }), READ)
  assert.deepEqual([then.hits[0]?.id, then.path], ['old', 'exact'])
  assert.deepEqual((await index.search(near(1, 1), READ)).hits, [])
  await assert.rejects(index.search(near(1, 1, { asOf: 9 }), READ), { code: 'bad_request' })
  await assert.rejects(index.search(near(1, 1), { ...READ, minLsn: 9, deadlineMs: 0 }), {
    code: 'deadline_exceeded',
  })
})

it('words, kept versions and cursors of other backends are refused by name', async () => {
  const { index } = await open()
  const words = { ...near(0, 1), target: { keywords: { terms: ['a'], statistics: null } } }
  await assert.rejects(index.search(words, READ), { code: 'wrong_backend' })
  await assert.rejects(index.versions(), { code: 'wrong_backend', message: /as_of/ })
  const page = { after: { lsn: 1, row: 0 }, limit: 1, filter: null, include: NOTHING }
  await assert.rejects(index.scroll(page, READ), { code: 'invalid_cursor' })
})

it('a server that is not the owner reads and does not write; a lost lease stops a commit', async () => {
  const { index, table } = await open()
  index.hold(foreignHolding(notOwner('docs', 'there')))
  assert.deepEqual([index.info.role, index.info.owner], ['follower', 'there'])
  const write = batch([{ vector: Float32Array.of(1, 0) }])
  await assert.rejects(index.write(write, WRITE), { code: 'not_owner', message: /"there"/ })
  assert.equal(await index.count(null, READ), 0)

  const confirm = () => Promise.reject(notOwner('docs', 'there'))
  index.hold({ ...soleHolding('here'), confirm })
  await assert.rejects(index.write(write, WRITE), { code: 'not_owner' })
  await assert.rejects(index.deleteMatching('{}', WRITE), { code: 'not_owner' })
  await assert.rejects(
    index.maintain(() => table.optimize()),
    { code: 'not_owner' },
  )
  assert.equal(table.version, 1, 'nothing was committed')
})

it('verify finds an id that two rows have', async () => {
  const { index, table } = await open()
  const vector = Float32Array.of(1, 0)
  await index.write(batch([{ vector }, { vector }]), WRITE)
  assert.equal((await index.verify()).clean, true)
  const row = table.states.at(-1)?.get('p1')
  assert.ok(row !== undefined)
  table.states.at(-1)?.set('again', row)
  const { clean, faults } = await index.verify()
  assert.equal(clean, false)
  assert.ok(faults.some(({ detail }) => detail.includes('"p1"')))
})
