/**
 * T3 for an index: a crash at every object operation of writes, checkpoints and drops.
 *
 * How: a fixed scenario runs on a store that ends at operation N, once before it is done and once
 * after, for N = 1, 2, … until the scenario comes through. After each crash the index is opened again
 * on what the bucket holds: every acknowledged write is there, every acknowledged delete too,
 * nothing was invented, and `verify` is clean. After the sweep the bucket keeps nothing that nobody
 * names, and lacks nothing that something names.
 */

import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { it } from 'node:test'
import { MemoryStore } from '../../src/buckets/memory-store.ts'
import { inspectBucket } from '../support/bucket-lister.ts'
import { FaultyStore } from '../support/faulty-store.ts'
import { compare, openIndex, scenario, write } from '../support/index-scenario.ts'
import { Ledger } from '../support/ledger.ts'

for (const when of ['before', 'after'] as const) {
  it(`a crash ${when} any object operation loses nothing that was acknowledged`, async (t) => {
    const scratch = await mkdtemp(join(tmpdir(), 'vectord-crash-'))
    t.after(() => rm(scratch, { recursive: true }))
    let crashes = 0
    for (let n = 1; ; n += 1) {
      const bucket = new MemoryStore()
      const store = new FaultyStore(bucket)
      store.crashAt(n, when)
      const ledger = new Ledger()
      let through = false
      try {
        const { served } = await openIndex(store, scratch)
        await scenario(served, ledger)
        through = !store.crashed
      } catch (error) {
        if (!store.crashed) throw error
        crashes += 1
      }
      const { served, drops, close } = await openIndex(bucket, scratch)
      await compare(served, ledger, `operation ${n}`)
      await drops.sweep()
      await clean(bucket, `operation ${n}, swept`)
      await compare(served, ledger, `operation ${n}, swept`)
      await write(served, ledger, ['afterwards'], 1)
      await served.checkpoint('always')
      await compare(served, ledger, `operation ${n}, afterwards`)
      await clean(bucket, `operation ${n}, afterwards`)
      await close()
      if (through) break
    }
    t.diagnostic(`${crashes} crashes`)
    assert.ok(crashes > 30, `${crashes} crashes`)
  })
}

async function clean(store: MemoryStore, at: string): Promise<void> {
  const found = await inspectBucket({ store, indexes: ['docs'] })
  assert.deepEqual(found, { leaked: [], missing: [] }, at)
}
