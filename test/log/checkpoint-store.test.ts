/** Checkpoints in a bucket: which exists, what damage does, and what may be deleted. */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { MemoryStore } from '../../src/buckets/memory-store.ts'
import { retentionOf, type CheckpointContent, type PartRef } from '../../src/domain/checkpoint.ts'
import { CheckpointStore } from '../../src/log/checkpoint-store.ts'
import { decodeManifest, encodeManifest } from '../../src/log/checkpoint-manifest.ts'

const SHA = 'a'.repeat(64)

function part(key: string, lsn: number): PartRef {
  const range = { rows: 3, deadRows: 1, firstLsn: 1, lastLsn: lsn }
  return { kind: 'points', shard: 0, key, bytes: 10, sha256: SHA, ...range }
}

function content(lsn: number, parts: readonly string[]): CheckpointContent {
  const file = (key: string) => ({ key, bytes: 1, sha256: SHA })
  const graph = {
    shard: 0,
    generation: 1,
    published: true,
    graphId: null,
    config: { m: 16, efConstruction: 200, efSearch: null, seed: 42 },
    graph: file(`_indexes/x/graphs/${lsn}.hnsw`),
    labels: file(`_indexes/x/graphs/${lsn}.labels`),
    indexedLsn: lsn,
    elements: 3,
  }
  return { lsn, parts: parts.map((key) => part(key, lsn)), graphs: [graph], retention: [] }
}

function open(store: MemoryStore, incarnation = 'one'): CheckpointStore {
  return new CheckpointStore({ store, index: 'x', incarnation, nowMs: () => 1_700_000_000_000 })
}

async function keys(store: MemoryStore): Promise<string[]> {
  const all: string[] = []
  for await (const { key } of store.list('')) all.push(key)
  return all
}

it('checkpoints are found newest first and come back as they were written', async () => {
  const store = new MemoryStore()
  const checkpoints = open(store)
  for (const lsn of [7, 100, 20]) await checkpoints.write(content(lsn, ['p']))
  assert.deepEqual(await open(store).found(), [
    { lsn: 100, content: content(100, ['p']) },
    { lsn: 20, content: content(20, ['p']) },
    { lsn: 7, content: content(7, ['p']) },
  ])
})

it('what was kept of older versions comes back; where nothing was told, nothing older is known', async () => {
  const store = new MemoryStore()
  const retention = [
    { shard: 0, keepLastVersions: 3, horizonLsn: 5 },
    { shard: 1, keepLastVersions: 2, horizonLsn: 0 },
  ]
  await open(store).write({ ...content(7, ['p']), retention })
  const [found] = await open(store).found()
  assert.ok(found !== undefined && 'content' in found)
  assert.deepEqual(found.content.retention, retention)
  assert.deepEqual(retentionOf(found.content, 1), retention[1])
  const unknown = { shard: 0, keepLastVersions: 1, horizonLsn: 7 }
  assert.deepEqual(retentionOf(content(7, ['p']), 0), unknown)
  assert.deepEqual(retentionOf(null, 0), { ...unknown, horizonLsn: 0 })
  const bytes = encodeManifest({
    ...{ index: 'x', incarnation: 'one', createdMs: 0 },
    content: { ...content(7, []), retention: [{ shard: 0, keepLastVersions: -1, horizonLsn: 5 }] },
  })
  assert.throws(() => decodeManifest('k', bytes), { code: 'object_corrupt' })
})

it('a later checkpoint at the same lsn replaces the first', async () => {
  const store = new MemoryStore()
  await open(store).write(content(7, ['p']))
  await open(store).write(content(7, ['p', 'q']))
  assert.deepEqual(await open(store).found(), [{ lsn: 7, content: content(7, ['p', 'q']) }])
})

it('any flipped byte of a manifest is found, or changes nothing', () => {
  const bytes = encodeManifest({
    index: 'x',
    incarnation: 'one',
    createdMs: 0,
    content: content(7, ['p']),
  })
  const intact = decodeManifest('k', bytes)
  for (let at = 0; at < bytes.length; at += 1) {
    for (const bit of [1, 32]) {
      const flipped = Uint8Array.from(bytes)
      flipped[at] = (flipped[at] ?? 0) ^ bit
      try {
        // White space between fields is not content.
        assert.deepEqual(decodeManifest('k', flipped), intact, `byte ${at}`)
      } catch (error) {
        const { code } = error as { code?: string }
        assert.ok(code === 'object_corrupt' || code === 'format_too_new', String(error))
      }
    }
  }
})

it('a manifest of an earlier index of the same name is not ours', async () => {
  const store = new MemoryStore()
  await open(store, 'earlier').write(content(7, ['p']))
  const [found] = await open(store, 'later').found()
  assert.ok(found !== undefined && 'fault' in found)
  assert.equal(found.fault.code, 'object_corrupt')
})

it('a newer format is refused by name', async () => {
  const store = new MemoryStore()
  await open(store).write(content(7, ['p']))
  const key = `_indexes/x/checkpoints/${'7'.padStart(20, '0')}/manifest.json`
  const text = Buffer.from(await store.get(key))
    .toString()
    .replace('"format": 1', '"format": 2')
  await store.put(key, Buffer.from(text))
  const [found] = await open(store).found()
  assert.ok(found !== undefined && 'fault' in found)
  assert.equal(found.fault.code, 'format_too_new')
})

/** Drops all but the newest `keep`. */
async function dropOld(
  store: MemoryStore,
  keep: number,
  confirm: () => Promise<void> = () => Promise.resolve(),
): Promise<void> {
  await open(store).drop({
    doomed: (lsns) => lsns.slice(0, -keep),
    confirm,
    deleting: ({ key }) => store.delete(key),
  })
}

it('a drop keeps what the kept checkpoints name and deletes the rest', async () => {
  const store = new MemoryStore()
  const checkpoints = open(store)
  const names = ['a', 'b', 'c', 'orphan'].map((name) => `_indexes/x/parts/${name}`)
  for (const name of names) await store.put(name, Buffer.from('x'))
  for (const [lsn, parts] of [
    [1, ['a']],
    [2, ['a', 'b']],
    [3, ['b', 'c']],
  ] as const) {
    await checkpoints.write(
      content(
        lsn,
        parts.map((name) => `_indexes/x/parts/${name}`),
      ),
    )
    await store.put(`_indexes/x/graphs/${lsn}.hnsw`, Buffer.from('x'))
  }
  await dropOld(store, 2)
  assert.deepEqual(
    (await keys(store)).map((key) => key.slice('_indexes/x/'.length)),
    [
      `checkpoints/${'2'.padStart(20, '0')}/manifest.json`,
      `checkpoints/${'3'.padStart(20, '0')}/manifest.json`,
      ...['graphs/2.hnsw', 'graphs/3.hnsw', 'parts/a', 'parts/b', 'parts/c'],
    ],
  )
})

it('while a kept manifest cannot be read, no part is deleted', async () => {
  const store = new MemoryStore()
  const checkpoints = open(store)
  await checkpoints.write(content(1, []))
  await checkpoints.write(content(2, []))
  await store.put(`_indexes/x/checkpoints/${'2'.padStart(20, '0')}/manifest.json`, Buffer.from('{'))
  await store.put('_indexes/x/parts/maybe-needed', Buffer.from('x'))
  await dropOld(store, 2)
  assert.ok((await keys(store)).includes('_indexes/x/parts/maybe-needed'))
})

it('who is not the owner any more when it is asked deletes nothing', async () => {
  const store = new MemoryStore()
  for (const lsn of [1, 2, 3]) await open(store).write(content(lsn, []))
  await store.put('_indexes/x/parts/of-the-new-owner', Buffer.from('x'))
  const before = await keys(store)
  const lost = (): Promise<void> => Promise.reject(new Error('another server writes it'))
  await assert.rejects(dropOld(store, 2, lost))
  await assert.rejects(dropOld(store, 3, lost))
  assert.deepEqual(await keys(store), before)
})

it('what is written after the owner was confirmed is not deleted', async () => {
  const store = new MemoryStore()
  await open(store).write(content(1, []))
  await store.put('_indexes/x/parts/orphan', Buffer.from('x'))
  await dropOld(store, 1, () => store.put('_indexes/x/parts/later', Buffer.from('x')))
  const left = (await keys(store)).filter((key) => key.includes('/parts/'))
  assert.deepEqual(left, ['_indexes/x/parts/later'])
})
