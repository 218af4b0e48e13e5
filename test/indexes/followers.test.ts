/**
 * Servers that share a bucket: one writes an index, the others read along and take over from it.
 */

import assert from 'node:assert/strict'
import { it, type TestContext } from 'node:test'
import { MemoryStore } from '../../src/buckets/memory-store.ts'
import { LEASE_MS } from '../../src/indexes/index-owner.ts'
import { metaDocument } from '../../src/indexes/index-meta.ts'
import { compare, compareContent, META, write } from '../support/index-scenario.ts'
import { Ledger } from '../support/ledger.ts'
import { temporaryFolder } from '../support/service.ts'
import { createIndex, startServer, until, type Server } from '../support/two-servers.ts'

const WHOLE = { metadata: true, vector: true, text: false }

interface Pair {
  readonly a: Server
  readonly b: Server
  readonly bucket: MemoryStore
  readonly ledger: Ledger
  readonly start: (name: string) => Server
}

/** `a` owns the index and has written to it; `b` was started after that. */
async function pair(
  t: TestContext,
  { shards = 2 }: { readonly shards?: number } = {},
): Promise<Pair> {
  const bucket = new MemoryStore()
  await createIndex(bucket, shards)
  const scratch = await temporaryFolder(t)
  const start = (name: string): Server => {
    const server = startServer({ name, bucket, scratch, shards })
    t.after(() => server.runner.close({ checkpoint: false }))
    return server
  }
  const a = start('a')
  await serves(a, 'owner')
  const ledger = new Ledger()
  await write(a.index, ledger, ['p1', 'p2', 'p3'], 1)
  await a.index.checkpoint()
  await write(a.index, ledger, ['p2', 'p4'], 2)
  const b = start('b')
  await serves(b, 'follower')
  return { a, b, bucket, ledger, start }
}

async function serves(server: Server, role: string): Promise<void> {
  await until(`it serves as ${role}`, () => {
    const { info } = server.index
    return info.state === 'ready' && info.role === role
  })
}

/** Waits until `server` has seen all that `owner` wrote. */
async function sees(server: Server, owner: Server): Promise<void> {
  const minLsn = owner.index.info.lsn
  await server.index.fetch(['p1'], WHOLE, { minLsn, deadlineMs: 60_000 })
  assert.equal(server.index.info.lsn, minLsn)
}

/** Time passes for `server` alone until it is the owner. */
async function takesOver(server: Server, each: () => void = () => undefined): Promise<void> {
  await until(
    'it is the owner',
    () => server.index.info.role === 'owner' && server.index.info.state === 'ready',
    () => {
      server.clock.ms += LEASE_MS / 100
      each()
    },
  )
}

function isReady(server: Server): void {
  assert.equal(server.index.info.state, 'ready', 'reads go on')
}

it('a follower serves what the owner wrote, as it is written', async (t) => {
  const { a, b, ledger } = await pair(t)
  assert.deepEqual([b.index.info.role, b.index.info.owner], ['follower', 'a'])
  await compareContent(b.index, ledger, 'at its start')
  for (let round = 3; round < 20; round += 1) {
    await write(a.index, ledger, [`p${round % 5}`, `p${round}`], round)
    await sees(b, a)
    await compareContent(b.index, ledger, `round ${round}`)
  }
  assert.equal(b.loads(), 1)
  const late = { minLsn: a.index.info.lsn + 1, deadlineMs: 1 }
  await assert.rejects(b.index.count(null, late), { code: 'deadline_exceeded' })
})

it('a follower refuses whatever changes the index, by the name of the owner', async (t) => {
  const { a, b, ledger } = await pair(t)
  const options = { ack: 'applied', deadlineMs: 1e9 } as const
  const refused = { code: 'not_owner', retryAfterS: 5, details: { index: 'docs', owner: 'a' } }
  const before = a.index.info.lsn
  const remove = { kind: 'delete', ids: ['p1'] } as const
  await assert.rejects(b.index.write(remove, options), refused)
  await assert.rejects(b.index.deleteMatching('{"version":1}', options), refused)
  await assert.rejects(b.index.checkpoint(), refused)
  await assert.rejects(b.index.verify(), refused)
  for (const check of ['checkWritable', 'checkOwned'] as const) {
    assert.throws(() => {
      b.index[check]()
    }, refused)
  }
  await write(a.index, ledger, ['p1'], 5)
  assert.equal(a.index.info.lsn, before + 1)
  await sees(b, a)
  await compareContent(b.index, ledger, 'nothing but what the owner wrote')
})

it('a released index is taken over with the shards as they are', async (t) => {
  const { a, b, ledger } = await pair(t)
  await write(a.index, ledger, ['p5', 'p6'], 3)
  await a.runner.close({ checkpoint: true })
  await takesOver(b, () => {
    isReady(b)
  })
  assert.equal(b.loads(), 1)
  await compare(b.index, ledger, 'after the takeover')
  await write(b.index, ledger, ['p6', 'p7'], 4)
  await b.index.checkpoint()
  await write(b.index, ledger, ['p8'], 5)
  await compare(b.index, ledger, 'after writes of the new owner')
})

it('what was written right before a takeover is there after it', async (t) => {
  const { a, b, ledger } = await pair(t)
  let last = 0
  b.store.beforeRead = async (key) => {
    // The follower was at the end of the log, and looks whether the lease is free.
    if (!key.includes('/owner/') || a.index.info.role !== 'owner') return
    last += 1
    await write(a.index, ledger, ['p1', `last${last}`], last + 10)
  }
  await takesOver(b)
  assert.ok(last > 0)
  assert.equal(b.loads(), 1)
  b.store.beforeRead = null
  await compare(b.index, ledger, 'after the takeover')
  await write(b.index, ledger, ['p1'], last + 20)
  await compare(b.index, ledger, 'after a write')
})

it('an owner that lost its lease follows, and nothing acknowledged is lost', async (t) => {
  const { a, b, ledger, start } = await pair(t)
  await takesOver(b)
  assert.equal(b.loads(), 1)
  await write(b.index, ledger, ['p1', 'p9'], 6)
  // The first owner has not heard of it yet, and is told by the log.
  const late = { kind: 'delete', ids: ['p9'] } as const
  await assert.rejects(a.index.write(late, { ack: 'applied', deadlineMs: 1e9 }), {
    code: 'log_fenced',
  })
  await until(
    'it follows',
    () => a.index.info.role === 'follower' && a.loads() === 2 && a.index.info.owner === 'b',
    () => {
      isReady(a)
    },
  )
  await assert.rejects(a.index.write(late, { ack: 'applied', deadlineMs: 1e9 }), {
    code: 'not_owner',
  })
  await assert.rejects(a.index.checkpoint(), { code: 'not_owner' })
  await sees(a, b)
  await compareContent(a.index, ledger, 'the former owner')
  await write(b.index, ledger, ['p2'], 7)
  await sees(a, b)
  await compareContent(a.index, ledger, 'the former owner, later')
  const c = start('c')
  await serves(c, 'follower')
  await compareContent(c.index, ledger, 'a third server')
})

it('groups that were given up beneath a follower: it loads anew, and reads go on', async (t) => {
  const { a, b, ledger } = await pair(t)
  const unreachable = { kind: 'error', code: 'bucket_unreachable', when: 'before' } as const
  b.store.inject({ ...unreachable, times: Infinity })
  await until('it is told', () => b.index.info.reason !== null)
  const before = b.index.info.lsn
  for (let round = 3; round < 7; round += 1) {
    await write(a.index, ledger, ['p1', `p${round}`], round)
    await a.index.checkpoint()
  }
  assert.equal(b.index.info.lsn, before)
  assert.equal(await b.index.count(null, { minLsn: 0, deadlineMs: 1 }), 4)
  b.store.heal()
  await until(
    'it has loaded anew',
    () => b.index.info.lsn === a.index.info.lsn,
    () => {
      isReady(b)
    },
  )
  assert.equal(b.loads(), 2)
  assert.deepEqual(b.troubles, ['bucket_unreachable', 'object_not_found', 'not_owner'])
  assert.equal(b.index.info.reason, null)
  await compareContent(b.index, ledger, 'after the second load')
  await write(a.index, ledger, ['p1'], 9)
  await sees(b, a)
  await compareContent(b.index, ledger, 'it goes on')
})

it('a checkpoint that is replaced while a follower loads it: the newer one is loaded', async (t) => {
  const { a, ledger, start } = await pair(t)
  const c = start('c')
  let replaced = 0
  c.store.beforeRead = async (key) => {
    if (!key.includes('/parts/') || replaced > 0) return
    replaced += 1
    for (let round = 3; round < 6; round += 1) {
      await write(a.index, ledger, ['p1', 'p2', 'p3', 'p4', `p${round}`], round)
      await a.index.checkpoint('always')
    }
  }
  await serves(c, 'follower')
  assert.equal(replaced, 1)
  assert.equal(c.loads(), 2)
  assert.deepEqual(c.troubles, [], 'it is no trouble')
  await sees(c, a)
  await compareContent(c.index, ledger, 'after the newer checkpoint')
})

it('damage in the log is told and not gone past; reads go on', async (t) => {
  const { a, b, ledger } = await pair(t)
  b.store.beforeRead = async (key) => {
    if (key.includes('/log/')) b.store.inject({ kind: 'flip', operations: ['get'] })
  }
  const before = b.index.info.lsn
  await write(a.index, ledger, ['p1'], 8)
  await until('it is told', () => (b.index.info.reason ?? '').includes('log'))
  assert.equal(b.index.info.lsn, before)
  isReady(b)
  b.store.beforeRead = null
  b.store.heal()
  await sees(b, a)
  await compareContent(b.index, ledger, 'when the bucket is sound again')
})

it('an index that was deleted is not taken over, and nothing is left behind', async (t) => {
  const { a, b, bucket } = await pair(t)
  const document = metaDocument(bucket, META.name)
  await document.update(1, {
    document: { ...META, state: 'deleting' },
    author: 'test',
    reason: 'delete',
  })
  await a.runner.close({ checkpoint: false })
  const groups = async (): Promise<number> => {
    let count = 0
    for await (const _ of bucket.list('_indexes/docs/log/')) count += 1
    return count
  }
  const before = await groups()
  await until(
    'it was refused',
    () => b.troubles.includes('index_not_found'),
    () => {
      b.clock.ms += LEASE_MS / 100
    },
  )
  assert.equal(b.index.info.role, 'follower')
  assert.equal(await groups(), before)
})

it('two servers that take the index from each other lose nothing', async (t) => {
  const { a, b, ledger } = await pair(t, { shards: 1 })
  let version = 10
  for (let turn = 0; turn < 4; turn += 1) {
    const [from, to] = turn % 2 === 0 ? [a, b] : [b, a]
    for (let i = 0; i < 5; i += 1) {
      version += 1
      await write(from.index, ledger, [`p${version % 7}`, `q${version}`], version)
      if (version % 4 === 0) await from.index.checkpoint()
    }
    await takesOver(to)
    await compare(to.index, ledger, `turn ${turn}`)
    // Its next write tells the former owner.
    const late = { kind: 'delete', ids: ['p1'] } as const
    await assert.rejects(from.index.write(late, { ack: 'applied', deadlineMs: 1e9 }))
    await serves(from, 'follower')
    await sees(from, to)
    await compareContent(from.index, ledger, `turn ${turn}, the former owner`)
  }
})
