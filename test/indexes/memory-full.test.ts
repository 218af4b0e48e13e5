/** An index that memory has no room for: what is refused, and what goes on. */

import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { it } from 'node:test'
import { MemoryStore } from '../../src/buckets/memory-store.ts'
import { MemoryQuota } from '../../src/indexes/memory-quota.ts'
import { compare, openIndex, remove, write } from '../support/index-scenario.ts'
import { Ledger } from '../support/ledger.ts'

const MIB = 2 ** 20
const FULL = { code: 'memory_full', status: 507 }

it('a full memory refuses points before they are logged; everything else goes on', async (t) => {
  const scratch = await mkdtemp(join(tmpdir(), 'vectord-memory-'))
  t.after(() => rm(scratch, { recursive: true }))
  const store = new MemoryStore()
  const quota = new MemoryQuota(16 * MIB)
  const other = quota.open({ dimension: 4, metric: 'l2', hnsw: { m: 8 } }, () => null)
  other.load(null, 0)
  const { served, close } = await openIndex(store, scratch, { quota })
  const ledger = new Ledger()
  const accepted = new Ledger()
  await write(served, ledger, ['p1', 'p2', 'p3'], 1)
  observe(quota)

  const rest = quota.boundBytes - quota.usedBytes
  const ids = Array.from({ length: Math.ceil(rest / 500) }, (_, i) => `q${i}`)
  other.sent(1, other.admit(batchOfBytes(rest)))
  const { lsn } = served.info
  await assert.rejects(write(served, accepted, ['p4'], 1), FULL)
  await assert.rejects(write(served, accepted, ids, 1), FULL)
  await assert.rejects(write(served, accepted, ['p1'], 2), FULL, 'a replacement needs room too')
  assert.throws(() => {
    served.checkWritable()
  }, FULL)
  assert.equal(served.info.lsn, lsn, 'nothing was logged')

  await remove(served, ledger, ['p2'])
  await compare(served, ledger, 'while memory is full')
  assert.deepEqual(await served.checkpoint(), { lsn: lsn + 1, written: true })
  assert.equal(await served.count(null, { minLsn: lsn + 1, deadlineMs: 1e9 }), 2)

  other.release()
  await write(served, ledger, ['p4'], 1)
  await compare(served, ledger, 'with room again')
  await close()
  const again = await openIndex(store, scratch)
  await compare(again.served, ledger, 'after a restart')
  await again.close()
})

it('a write that was admitted and not logged gives its room back', async (t) => {
  const scratch = await mkdtemp(join(tmpdir(), 'vectord-memory-'))
  t.after(() => rm(scratch, { recursive: true }))
  const store = new MemoryStore()
  const quota = new MemoryQuota(16 * MIB)
  const { served, close } = await openIndex(store, scratch, { quota })
  observe(quota)
  const before = quota.usedBytes
  const put = store.putIfAbsent.bind(store)
  store.putIfAbsent = () => Promise.reject(new Error('the bucket fails'))
  await assert.rejects(write(served, new Ledger(), ['p1'], 1))
  assert.equal(quota.usedBytes, before)
  store.putIfAbsent = put
  await close()
})

function observe(quota: MemoryQuota): void {
  quota.observe({ rssBytes: 0, processes: 0 })
}

/** One row that takes at least `bytes`, less what a small point takes. */
function batchOfBytes(bytes: number) {
  const text = 'x'.repeat(Math.floor(bytes / 2) - 300)
  return {
    ...({ kind: 'upsert', dimension: 4, vectors: new Float32Array(0) } as const),
    ...{ ids: ['x'], texts: [text], metadata: [null] },
  }
}
