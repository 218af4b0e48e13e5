/** Documents over an index in memory: replaced as a whole, whatever fails in between. */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import fc from 'fast-check'
import { CHUNK_DEFAULTS } from '../../src/domain/chunker.ts'
import type { Document } from '../../src/domain/document.ts'
import type { WriteBatch } from '../../src/domain/write-batch.ts'
import type { WriteOptions } from '../../src/indexes/index-api.ts'
import { VectordError } from '../../src/lib/errors.ts'
import { Documents, type PutDocuments } from '../../src/services/documents.ts'
import { textPoints } from '../../src/services/text-points.ts'
import { MemoryIndex } from '../support/memory-indexes.ts'

const NOW_MS = 1_000_000
const READ = { minLsn: 0, deadlineMs: NOW_MS + 10_000 }
const WRITE = { ack: 'applied', deadlineMs: NOW_MS + 10_000 } as const
/** Every sentence is a chunk. */
const CHUNKING = { ...CHUNK_DEFAULTS, maxChars: 12, overlapSentences: 0 }

/** An index whose writes fail or wait where a test says so. */
class HeldIndex extends MemoryIndex {
  before: (batch: WriteBatch) => Promise<void> = async () => undefined
  readonly kinds: string[] = []

  override async write(batch: WriteBatch, options: WriteOptions): Promise<{ lsn: number }> {
    await this.before(batch)
    this.kinds.push(batch.kind)
    return super.write(batch, options)
  }
}

interface World {
  readonly index: HeldIndex
  readonly documents: Documents
  put(...documents: readonly Document[]): Promise<PutDocuments>
  texts(id: string): Promise<(string | null)[]>
}

function world(options: { readonly rowsMax?: number; readonly nowMs?: () => number } = {}): World {
  const index = new HeldIndex({
    ...{ name: 'notes', dimension: 3, metric: 'l2', bucket: 'primary', shards: 1 },
    hnsw: { m: 16, efConstruction: 200, efSearch: null, seed: 1 },
    ...{ keepLastVersions: 1, createdBy: 'a test' },
  })
  const { rowsMax = 100, nowMs = () => NOW_MS } = options
  const documents = new Documents({ texts: textPoints(() => true), rowsMax, nowMs })
  return {
    ...{ index, documents },
    put: (...all) => documents.put(index, all, { ...WRITE, chunking: CHUNKING }),
    texts: async (id) => (await documents.get(index, id, READ)).chunks.map(({ text }) => text),
  }
}

function doc(id: string, sentences: number, mark = ''): Document {
  const text = Array.from({ length: sentences }, (_, i) => `Part${mark} ${i} is.`).join(' ')
  return { id, text, metadata: { mark } }
}

function parts(sentences: number, mark = ''): string[] {
  return Array.from({ length: sentences }, (_, i) => `Part${mark} ${i} is.`)
}

it('a document is a point for each chunk, in one batch, and is read in order', async () => {
  const { index, documents, put } = world()
  assert.deepEqual(await put(doc('a', 12), doc('b', 1)), { lsn: 1, chunks: 13, removed: 0 })
  assert.deepEqual(index.kinds, ['upsert'])
  const { chunks, lsn } = await documents.get(index, 'a', READ)
  assert.equal(lsn, 1)
  assert.deepEqual(
    chunks.map(({ text }) => text),
    parts(12),
  )
  assert.deepEqual(chunks[11], {
    ...{ id: 'a#11', chunk: 11, version: 1, text: 'Part 11 is.', metadata: { mark: '' } },
    ...{ start: 122, end: 133 },
  })
})

it('a shorter one leaves nothing of the longer one, and touches no other', async () => {
  const { index, put, texts } = world()
  await put(doc('a', 5), doc('a#1', 2), doc('b', 1))
  assert.deepEqual(await put(doc('a', 2, 'x')), { lsn: 3, chunks: 2, removed: 3 })
  assert.deepEqual(index.kinds, ['upsert', 'upsert', 'delete'])
  assert.deepEqual(await texts('a'), parts(2, 'x'))
  assert.deepEqual(await texts('a#1'), parts(2))
  assert.equal(index.size, 5)
})

it('a crash after the batch leaves the new document alone; the next write clears up', async () => {
  const { index, documents, put, texts } = world()
  await put(doc('a', 5))
  index.before = async ({ kind }) => {
    if (kind === 'delete') throw new VectordError('core_unavailable', 'It died.')
  }
  await assert.rejects(put(doc('a', 2, 'x')), (error: unknown) => {
    assert.ok(error instanceof VectordError)
    assert.equal(error.code, 'core_unavailable')
    assert.deepEqual(error.details, { lsn: 2, durable: true })
    return true
  })
  assert.deepEqual(await texts('a'), parts(2, 'x'))
  const left = await index.fetch(['a#2'], { metadata: true, text: true, vector: true }, READ)
  const [emptied] = left.points
  assert.ok(emptied)
  assert.equal(emptied.text, null, 'no search by words finds it')
  assert.equal(emptied.vector, null, 'none by meaning does')
  index.before = async () => undefined
  assert.equal(index.size, 5)
  assert.deepEqual(await put(doc('a', 1)), { lsn: 4, chunks: 1, removed: 4 })
  assert.equal(index.size, 1)
  await put(doc('a', 3))
  const deleted = await documents.delete(index, 'a', WRITE)
  assert.equal(deleted.deleted, 3)
  assert.equal(index.size, 0)
})

it('what fails before it is durable changes nothing', async () => {
  const { index, put, texts } = world()
  await put(doc('a', 3))
  index.before = async () => {
    throw new VectordError('storage_full', 'Full.')
  }
  await assert.rejects(put(doc('a', 1), doc('b', 1)), { code: 'storage_full' })
  index.before = async () => undefined
  assert.deepEqual(await texts('a'), parts(3))
  assert.deepEqual(await texts('b'), [])
})

it('the point of somebody else is not overwritten, and is no chunk', async () => {
  const { index, documents, put, texts } = world()
  const own = {
    kind: 'upsert',
    dimension: 3,
    vectors: new Float32Array(6),
    texts: ['x', 'y'],
  } as const
  const like = '{"document_id":"a","chunk":7,"chunk_start":0,"chunk_end":1}'
  await index.write(
    { ...own, ids: ['a#1', 'mine'], metadata: ['{"document_id":"a"}', like] },
    WRITE,
  )
  await assert.rejects(put(doc('b', 1), doc('a', 2)), (error: unknown) => {
    assert.ok(error instanceof VectordError)
    assert.equal(error.code, 'document_conflict')
    assert.deepEqual(error.details, { ids: ['a#1'], ids_total: 1 })
    return true
  })
  assert.equal(index.size, 2)
  await put(doc('a', 1))
  assert.deepEqual(await texts('a'), parts(1))
  assert.equal((await documents.delete(index, 'a', WRITE)).deleted, 1)
  assert.equal(index.size, 2)
})

it('writes of one document go one after the other, others do not wait', async () => {
  const { index, put, texts } = world()
  const held = Promise.withResolvers<undefined>()
  const entered = Promise.withResolvers<undefined>()
  index.before = async (batch) => {
    if (!batch.ids.includes('a#4')) return
    entered.resolve(undefined)
    await held.promise
  }
  const long = put(doc('a', 5), doc('c', 1))
  await entered.promise
  const short = put(doc('c', 2), doc('a', 2, 'x'))
  await put(doc('b', 1))
  assert.deepEqual(await texts('b'), parts(1))
  assert.deepEqual(await texts('a'), [])
  held.resolve(undefined)
  assert.deepEqual([(await long).removed, (await short).removed], [0, 3])
  assert.deepEqual(await texts('a'), parts(2, 'x'))
})

it('a write that was given up keeps its turn until it is settled', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const { index, put, texts } = world()
  const held = Promise.withResolvers<undefined>()
  const entered = Promise.withResolvers<undefined>()
  index.before = async () => {
    entered.resolve(undefined)
    await held.promise
  }
  const first = put(doc('a', 5))
  await entered.promise
  t.mock.timers.tick(10_000)
  await assert.rejects(first, { code: 'deadline_exceeded' })
  const second = put(doc('a', 2, 'x'))
  held.resolve(undefined)
  assert.equal((await second).removed, 3)
  assert.deepEqual(await texts('a'), parts(2, 'x'))
  assert.equal(index.size, 2)
})

it('a write whose turn comes too late is not begun', async () => {
  let nowMs = NOW_MS
  const { index, put } = world({ nowMs: () => nowMs })
  const late = put(doc('a', 1))
  nowMs += 60_000
  await assert.rejects(late, { code: 'deadline_exceeded' })
  assert.deepEqual(index.kinds, [])
})

it('a write holds at most so many points, emptied ones too', async () => {
  const { put, texts } = world({ rowsMax: 6 })
  await assert.rejects(put(doc('a', 4), doc('b', 3)), { code: 'limit_exceeded' })
  await put(doc('a', 6))
  await put(doc('b', 6))
  await assert.rejects(put(doc('a', 1), doc('b', 1)), { code: 'limit_exceeded' })
  assert.deepEqual(await texts('a'), parts(6))
  // One document alone can always be replaced.
  assert.equal((await put(doc('a', 1))).removed, 5)
})

it('an index that has no embedder takes no documents', async () => {
  const { index } = world()
  const texts = textPoints(() => false)
  const documents = new Documents({ texts, rowsMax: 9, nowMs: () => NOW_MS })
  const options = { ...WRITE, chunking: CHUNKING }
  await assert.rejects(documents.put(index, [doc('a', 1)], options), { code: 'not_configured' })
})

it('whatever is written, replaced and deleted, each document is what was written last', async () => {
  const ids = fc.constantFrom('a', 'a#0', 'a#1', 'b')
  const step = fc.record({
    id: ids,
    sentences: fc.integer({ min: 0, max: 14 }),
    fails: fc.boolean(),
  })
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 12 }), async (steps) => {
      const { index, documents, put, texts } = world()
      const expected = new Map<string, string[]>()
      for (const [n, { id, sentences, fails }] of steps.entries()) {
        index.before = async ({ kind }) => {
          if (fails && kind === 'delete') throw new VectordError('core_unavailable', 'It died.')
        }
        const work =
          sentences === 0 ? documents.delete(index, id, WRITE) : put(doc(id, sentences, `${n}`))
        const failed = await work.then(
          () => false,
          () => true,
        )
        if (!failed || sentences > 0) expected.set(id, parts(sentences, `${n}`))
      }
      for (const id of ['a', 'a#0', 'a#1', 'b']) {
        assert.deepEqual(await texts(id), expected.get(id) ?? [])
      }
    }),
    { numRuns: 200 },
  )
})
