/**
 * Documents over a real index: what a write leaves behind that fails after its batch was durable is
 * emptied chunks, which wait for nothing, are found by nobody, and go with the next write.
 */

import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { it, type TestContext } from 'node:test'
import { MemoryStore } from '../../src/buckets/memory-store.ts'
import { CHUNK_DEFAULTS } from '../../src/domain/chunker.ts'
import type { EmbedderStamp } from '../../src/domain/pending-text.ts'
import { textHash } from '../../src/domain/text-hash.ts'
import type { ServedIndex } from '../../src/indexes/served-index.ts'
import { VectordError } from '../../src/lib/errors.ts'
import { Documents } from '../../src/services/documents.ts'
import { textPoints } from '../../src/services/text-points.ts'
import { openIndex } from '../support/index-scenario.ts'

const STAMP: EmbedderStamp = {
  ...{ name: 'one', model: 'm', version: '1', dimension: 4, normalised: false },
}
const READ = { minLsn: 0, deadlineMs: 60_000 }
const PUT = {
  ack: 'applied',
  deadlineMs: 60_000,
  chunking: { ...CHUNK_DEFAULTS, maxChars: 10, overlapSentences: 0 },
} as const
const VECTOR = Float32Array.of(1, 2, 3, 4)

async function open(t: TestContext): Promise<ServedIndex> {
  const scratch = await mkdtemp(join(tmpdir(), 'vectord-emptied-'))
  t.after(() => rm(scratch, { recursive: true }))
  const { served, close } = await openIndex(new MemoryStore(), scratch)
  t.after(close)
  served.changeMeta({ ...served.meta, embedder: STAMP }, 2)
  return served
}

/** Embeds all that waits. @returns its ids. */
async function embed(served: ServedIndex): Promise<string[]> {
  const { items } = await served.texts.pending(null, 100)
  const vectors = items.map(({ id, version, text }) => {
    return { id, version, textHash: textHash(id, text), vector: VECTOR, embedder: STAMP }
  })
  await served.texts.apply(vectors, 60_000)
  return items.map(({ id }) => id)
}

async function found(served: ServedIndex): Promise<{ near: string[]; words: string[] }> {
  const include = { metadata: false, vector: false, text: true }
  const query = { k: 20, ef: null, exact: false, filter: null, include }
  const keywords = { terms: ['one', 'two', 'three', 'new'], statistics: null }
  const near = await served.search({ ...query, target: { vector: VECTOR } }, READ)
  const words = await served.search({ ...query, target: { keywords } }, READ)
  const ids = ({ hits }: typeof near): string[] => hits.map(({ id }) => id).sort()
  return { near: ids(near), words: ids(words) }
}

it('chunks that a failed write left are emptied, and the next write of the document deletes them', async (t) => {
  const served = await open(t)
  const documents = new Documents({ texts: textPoints(() => true), rowsMax: 100, nowMs: () => 0 })
  await documents.put(served, [{ id: 'a', text: 'One x. Two x. Three x.', metadata: null }], PUT)
  assert.deepEqual(await embed(served), ['a#0', 'a#1', 'a#2'])
  const all = ['a#0', 'a#1', 'a#2']
  assert.deepEqual(await found(served), { near: all, words: all })

  const write = served.write.bind(served)
  const held = t.mock.method(served, 'write', async (...args: Parameters<typeof write>) => {
    if (args[0].kind === 'delete') throw new VectordError('core_unavailable', 'It died.')
    return write(...args)
  })
  const shorter = documents.put(served, [{ id: 'a', text: 'New x.', metadata: null }], PUT)
  await assert.rejects(shorter, { code: 'core_unavailable' })
  held.mock.restore()

  assert.equal(await served.count(null, READ), 3)
  assert.deepEqual(await found(served), { near: [], words: ['a#0'] })
  assert.deepEqual(await served.texts.count(), { writes: 1, backfill: 0 })
  assert.deepEqual(await embed(served), ['a#0'])
  assert.deepEqual(await served.texts.count(), { writes: 0, backfill: 0 })
  assert.deepEqual(await embed(served), [])
  assert.deepEqual(await found(served), { near: ['a#0'], words: ['a#0'] })

  // Under another embedder they wait for nothing either.
  served.changeMeta({ ...served.meta, embedder: { ...STAMP, version: '2' } }, 3)
  assert.deepEqual(await served.texts.count(), { writes: 0, backfill: 1 })

  const next = await documents.put(served, [{ id: 'a', text: 'New one.', metadata: null }], PUT)
  assert.equal(next.removed, 2)
  assert.equal(await served.count(null, READ), 1)
})
