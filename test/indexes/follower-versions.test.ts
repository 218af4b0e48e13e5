/** Versions on servers that share a bucket: a follower keeps and tells what the owner does. */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { MemoryStore } from '../../src/buckets/memory-store.ts'
import { remove, write } from '../support/index-scenario.ts'
import { Ledger } from '../support/ledger.ts'
import { temporaryFolder } from '../support/service.ts'
import { createIndex, startServer, until, type Server } from '../support/two-servers.ts'

const WHOLE = { metadata: true, vector: true, text: false }
const QUERY = {
  target: { vector: Float32Array.of(1, 0, 0, 0) },
  ...{ k: 50, ef: null, exact: false, filter: null, include: WHOLE },
}
const IDS = ['p1', 'p2', 'p3', 'p4']

/** What a server tells of the past: versions of every id, and what was there as of every write. */
async function past({ index }: Server, lsn: number): Promise<unknown> {
  const read = { minLsn: lsn, deadlineMs: 60_000 }
  const told: unknown[] = []
  for (const id of IDS) {
    const asked = { id, include: WHOLE, before: null, limit: 100, only: null }
    told.push((await index.versions(asked, read)).versions)
  }
  for (let asOf = 0; asOf <= lsn; asOf += 1) {
    const { hits, completeFrom } = await index.search({ ...QUERY, asOf }, read)
    told.push([hits, completeFrom])
  }
  return told
}

it('a follower tells the same past as the owner, from its checkpoint and the log, and when less is kept', async (t) => {
  const bucket = new MemoryStore()
  await createIndex(bucket, 2)
  const scratch = await temporaryFolder(t)
  const start = async (name: string, role: string): Promise<Server> => {
    const server = startServer({ name, bucket, scratch, shards: 2, keepLastVersions: 3 })
    t.after(() => server.runner.close({ checkpoint: false }))
    await until(`${name} serves`, () => {
      return server.index.info.state === 'ready' && server.index.info.role === role
    })
    return server
  }
  const a = await start('a', 'owner')
  const ledger = new Ledger()
  await write(a.index, ledger, IDS, 1)
  await write(a.index, ledger, IDS, 2)
  await remove(a.index, ledger, ['p1', 'p2'])
  await a.index.checkpoint()
  await write(a.index, ledger, ['p1', 'p3'], 3)
  const b = await start('b', 'follower')
  await write(a.index, ledger, ['p1', 'p4'], 4)
  const { lsn } = a.index.info
  const told = await past(a, lsn)
  assert.deepEqual(await past(b, lsn), told)
  for (const { index } of [a, b]) {
    const future = index.search({ ...QUERY, asOf: lsn + 1 }, { minLsn: 0, deadlineMs: 60_000 })
    await assert.rejects(future, { code: 'bad_request' })
  }

  for (const { index } of [a, b]) {
    index.changeMeta({ ...index.meta, keepLastVersions: 2 }, 2)
    await index.alignRetention()
    assert.equal(index.info.stats?.keepLastVersions, 2)
  }
  const less = await past(a, lsn)
  assert.notDeepEqual(less, told)
  assert.deepEqual(await past(b, lsn), less)
  assert.deepEqual([a.troubles, b.troubles], [[], []])
})

it('a shard that was on its way while the settings changed keeps what they say', async (t) => {
  const bucket = new MemoryStore()
  await createIndex(bucket)
  const scratch = await temporaryFolder(t)
  const start = (name: string): Server => {
    const server = startServer({ name, bucket, scratch, keepLastVersions: 3 })
    t.after(() => server.runner.close({ checkpoint: false }))
    return server
  }
  const a = start('a')
  await until('a serves', () => a.index.info.state === 'ready')
  const ledger = new Ledger()
  for (const version of [1, 2, 3]) await write(a.index, ledger, IDS, version)
  await a.index.checkpoint()
  assert.equal(a.index.info.stats?.keptVersions, 2 * IDS.length)
  const b = start('b')
  let changes = 0
  b.store.beforeRead = async (key) => {
    // By now its shard has been told how many versions it keeps.
    if (!key.includes('/parts/')) return
    changes += 1
    b.index.changeMeta({ ...b.index.meta, keepLastVersions: 2 }, 2)
    await assert.rejects(b.index.trimVersions(2), { code: 'index_loading' })
  }
  await until('b keeps less', () => b.index.info.stats?.keepLastVersions === 2)
  await until('b gave up the rest', () => b.index.info.stats?.keptVersions === IDS.length)
  assert.equal(changes, 1)
})
