/**
 * Moving an index: a crash at every object operation, writers beside it, and what is refused.
 *
 * How the crash test works: an index with points and a thing of each kind beside it moves while it is
 * written to, on a store that ends at operation N, before it is done or after, for N = 1, 2, … until
 * the move comes through; a run takes the odd ones or the even ones. A server that starts then finds the index in one bucket, with
 * every acknowledged write, and clears the other one.
 */

import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { it, type TestContext } from 'node:test'
import { MemoryStore } from '../../src/buckets/memory-store.ts'
import { metaDocument } from '../../src/indexes/index-meta.ts'
import { hasCode, VectordError } from '../../src/lib/errors.ts'
import { compare, compareContent, META, remove, write } from '../support/index-scenario.ts'
import { Ledger } from '../support/ledger.ts'
import {
  COLD,
  HOT,
  isRefusal,
  MOVED_BY,
  MovingWorld,
  PrefixStore,
} from '../support/moving-world.ts'
import { until } from '../support/two-servers.ts'

/** Operations of the bucket from one write to the next. */
const PACE = 12

async function temporary(t: TestContext): Promise<string> {
  const scratch = await mkdtemp(join(tmpdir(), 'vectord-moves-'))
  t.after(() => rm(scratch, { recursive: true, force: true }))
  return scratch
}

/** An index in the hot bucket with a checkpoint and a log after it. */
async function prepared(bucket: MemoryStore, scratch: string): Promise<[MovingWorld, Ledger]> {
  const world = new MovingWorld(bucket, { scratch })
  const ledger = new Ledger()
  await world.create()
  await write(world.served, ledger, ['p1', 'p2', 'p3'], 1)
  await remove(world.served, ledger, ['p2'])
  await world.served.checkpoint('always')
  await write(world.served, ledger, ['p3', 'p4'], 2)
  return [world, ledger]
}

/** Writes until told to stop; what is refused is not there. @returns writes that were acknowledged. */
function writer(world: MovingWorld, ledger: Ledger): { stop(): Promise<number> } {
  const stop = new AbortController()
  const { signal } = stop
  async function run(): Promise<number> {
    let acknowledged = 0
    let written = 0
    for (let version = 10; !signal.aborted; version += 1) {
      // In step with the move, however fast the machine is.
      const isDue = (): boolean => world.store.operations >= written + PACE
      await until('the next write is due', () => signal.aborted || isDue())
      written = world.store.operations
      const id = `w${version % 7}`
      try {
        await write(world.served, ledger, [id], version)
        acknowledged += 1
      } catch (error) {
        if (isRefusal(error)) ledger.refused(id, version)
        else if (error instanceof VectordError) throw error
        else return acknowledged
      }
    }
    return acknowledged
  }
  const running = run()
  return {
    stop: () => {
      stop.abort()
      return running
    },
  }
}

it('a crash at any object operation of a move leaves the index whole in one bucket', async (t) => {
  const scratch = await temporary(t)
  const homes: string[] = []
  const first = 1 + (Date.now() % 2)
  t.diagnostic(`from operation ${first} on`)
  for (let n = first; ; n += 2) {
    const bucket = new MemoryStore()
    const [world, ledger] = await prepared(bucket, scratch)
    world.store.crashAt(n, n % 4 < 2 ? 'after' : 'before')
    const writing = writer(world, ledger)
    await world.move(COLD).catch((error: unknown) => {
      if (!world.store.crashed) throw error
    })
    await writing.stop()
    const through = !world.store.crashed
    await world.registry.close()

    const after = new MovingWorld(bucket, { scratch })
    const served = await after.settled()
    await compare(served, ledger, `operation ${n}`)
    await after.registry.refresh()
    await after.registry.refresh()
    const home = await after.home(`operation ${n}`)
    assert.equal(served.meta.bucket, home)
    homes.push(home)
    await write(served, ledger, ['afterwards'], 1)
    if (n % 8 === 0) await served.checkpoint('always')
    await compare(served, ledger, `operation ${n}, afterwards`)
    await after.registry.close()
    if (through) break
  }
  const finished = homes.filter((home) => home === COLD).length
  t.diagnostic(`${homes.length} crashes, ${finished} of them after the switch`)
  assert.ok(homes.length - finished > 50 && finished > 10, `${homes.length}, ${finished}`)
})

it('an index moves there and back with all it has, loads nothing anew, and numbers go on', async (t) => {
  const [world, ledger] = await prepared(new MemoryStore(), await temporary(t))
  const { lsn, revision } = world.served.info
  for (const bucket of [COLD, HOT, COLD]) {
    const writing = writer(world, ledger)
    await world.move(bucket)
    await writing.stop()
    assert.equal(await world.home(bucket), bucket)
    await compare(world.served, ledger, bucket)
  }
  assert.equal(world.loads, 1)
  assert.ok(world.served.info.lsn > lsn)
  assert.ok(world.served.info.revision > revision)
  assert.deepEqual(world.troubles, [])
  await world.registry.close()
})

it('writers lose nothing and are refused nothing while an index moves; what comes last goes along', async (t) => {
  const [world, ledger] = await prepared(new MemoryStore(), await temporary(t))
  let late: Promise<unknown> = Promise.resolve()
  world.beforeLog = async () => {
    // Everything stands still: these wait, and then find the new home.
    late = Promise.allSettled([
      write(world.served, ledger, ['late'], 1),
      world.homes.of('docs', HOT).put('_hnsw_trials/docs/late', Buffer.from('x')),
    ])
  }
  const writing = writer(world, ledger)
  await world.move(COLD)
  assert.ok((await writing.stop()) > 0)
  const [written, left] = (await late) as PromiseSettledResult<unknown>[]
  assert.equal(written?.status, 'fulfilled')
  assert.ok(left?.status === 'rejected' && hasCode(left.reason, 'index_moving'))
  assert.equal(await world.home('after'), COLD)
  await compare(world.served, ledger, 'after')
  await world.registry.close()
})

it('a move waits for builders that read the old bucket, and builders that come wait for it', async (t) => {
  const [world] = await prepared(new MemoryStore(), await temporary(t))
  const { builds } = world.served
  const leave = builds.enter()
  const moving = world.move(COLD)
  while (!builds.isClosed) await new Promise((resolve) => setImmediate(resolve))
  assert.equal(world.served.meta.bucket, HOT)
  const next = builds.opened(Infinity).then(() => world.served.meta.bucket)
  leave()
  await moving
  assert.equal(await next, COLD)
  await world.registry.close()
})

it('cancelling before the switch calls the move off: the copy goes, the index stays', async (t) => {
  const [world, ledger] = await prepared(new MemoryStore(), await temporary(t))
  const stop = new AbortController()
  const why = new VectordError('operation_cancelled', 'Enough.')
  world.beforeLog = async () => {
    stop.abort(why)
  }
  await assert.rejects(world.move(COLD, stop.signal), (error) => error === why)
  assert.equal(await world.home('cancelled'), HOT)
  assert.equal(world.served.meta.move, undefined)
  await write(world.served, ledger, ['after'], 1)
  await compare(world.served, ledger, 'cancelled')
  world.beforeLog = () => Promise.resolve()
  await world.move(COLD)
  assert.equal(await world.home('again'), COLD)
  await world.registry.close()
})

it('deleting an index that moves calls the move off, and nothing is left in either bucket', async (t) => {
  const [world] = await prepared(new MemoryStore(), await temporary(t))
  let deleting: Promise<void> = Promise.resolve()
  world.beforeLog = async () => {
    deleting = world.registry.delete('docs', MOVED_BY)
  }
  const stopped = await world.move(COLD).then(
    () => 'moved',
    (error: unknown) => (error instanceof VectordError ? error.code : String(error)),
  )
  assert.equal(stopped, 'operation_cancelled')
  await deleting
  assert.equal(world.registry.has('docs'), false)
  assert.deepEqual([await world.stateIn(HOT), await world.stateIn(COLD)], [null, null])
  assert.deepEqual(await world.keys(COLD), [])
})

it('409: the target has an index of that name; 404: no such bucket; one move at a time', async (t) => {
  const [world] = await prepared(new MemoryStore(), await temporary(t))
  await assert.rejects(world.move('nowhere'), { code: 'bucket_not_found' })
  const first = world.move(COLD)
  await assert.rejects(world.move(COLD), { code: 'index_moving' })
  await first
  const document = metaDocument(new PrefixStore(world.store, `${HOT}/`), 'docs')
  const other = { ...META, bucket: HOT, incarnation: 'another' }
  await document.modify(() => ({ document: other, author: 'test', reason: 'create' }))
  await assert.rejects(world.move(HOT), { code: 'index_exists' })
  assert.equal(world.served.meta.bucket, COLD)
  await world.registry.close()
})

it('an eval set of another index under the name of one of ours keeps the index where it is', async (t) => {
  const [world] = await prepared(new MemoryStore(), await temporary(t))
  world.evalsOf = (bucket) => bucket === HOT
  await world.store.put(`${COLD}/_hnsw_evals/mine.json`, Buffer.from('theirs'))
  await assert.rejects(world.move(COLD), { code: 'object_exists' })
  assert.equal((await world.store.get(`${COLD}/_hnsw_evals/mine.json`)).length, 6)
  await world.registry.close()
})

it('a part that is damaged at its source is not moved', async (t) => {
  const [world] = await prepared(new MemoryStore(), await temporary(t))
  await world.served.checkpoint()
  const [part] = world.served.specs()[0]?.checkpoint?.parts ?? []
  assert.ok(part !== undefined)
  await world.store.put(`${HOT}/${part.key}`, Buffer.alloc(part.bytes))
  await assert.rejects(world.move(COLD), { code: 'object_corrupt' })
  assert.deepEqual(await world.keys(COLD), [])
  assert.equal(await world.stateIn(HOT), 'active')
  await world.registry.close()
})

it('after the switch a server that cannot reach the new bucket says so, and serves neither copy', async (t) => {
  const bucket = new MemoryStore()
  const scratch = await temporary(t)
  const [world, ledger] = await prepared(bucket, scratch)
  crashAtDelete(world, `${HOT}/_hnsw_trials/`)
  await world.move(COLD).catch(() => undefined)
  await world.registry.close()
  assert.equal(await new MovingWorld(bucket, { scratch }).stateIn(HOT), 'moved')

  const alone = new MovingWorld(bucket, { scratch, names: [HOT] })
  await alone.registry.refresh()
  assert.throws(() => alone.served, { code: 'bucket_unreachable' })
  await assert.rejects(alone.create(), { code: 'bucket_unreachable' })
  await alone.registry.close()

  const whole = new MovingWorld(bucket, { scratch })
  await compare(await whole.settled(), ledger, 'back')
  assert.equal(await whole.home('back'), COLD)
  await whole.registry.close()
})

it('a server that knows only the new bucket never takes a copy that is under way for the index', async (t) => {
  const bucket = new MemoryStore()
  const scratch = await temporary(t)
  const [world, ledger] = await prepared(bucket, scratch)
  const other = new MovingWorld(bucket, { scratch, names: [COLD], server: 'two' })
  world.beforeLog = async () => {
    await other.registry.refresh()
    assert.equal(other.registry.has('docs'), false)
    assert.throws(() => other.registry.get('docs'), { code: 'bucket_unreachable' })
  }
  await world.move(COLD)
  await other.registry.refresh()
  await until('it follows', () => other.registry.has('docs') && other.served.info.state === 'ready')
  await compareContent(other.served, ledger, 'the other server')
  await assert.rejects(write(other.served, new Ledger(), ['x'], 1), { code: 'not_owner' })
  await other.registry.close()
  await world.registry.close()
})

it('a server that follows the index goes along with it', async (t) => {
  const bucket = new MemoryStore()
  const scratch = await temporary(t)
  const [world, ledger] = await prepared(bucket, scratch)
  const other = new MovingWorld(bucket, { scratch, server: 'two' })
  await other.registry.refresh()
  await until('it follows', () => other.served.info.state === 'ready')
  await assert.rejects(other.move(COLD), { code: 'not_owner' })
  await world.move(COLD)
  await write(world.served, ledger, ['there'], 1)
  await other.registry.refresh()
  await until('it follows', () => other.registry.has('docs') && other.served.info.state === 'ready')
  assert.equal(other.served.meta.bucket, COLD)
  await other.served.count(null, { minLsn: world.served.info.lsn, deadlineMs: Infinity })
  await compareContent(other.served, ledger, 'the follower')
  await other.registry.close()
  await world.registry.close()
})

it('where the answer of the switch is lost, nothing is acknowledged until it is known', async (t) => {
  for (const when of ['before', 'after'] as const) {
    const [world, ledger] = await prepared(new MemoryStore(), await temporary(t))
    const meta = `${HOT}/_indexes/docs/meta/`
    world.beforeLog = async () => {
      const unreachable = { kind: 'error', code: 'bucket_unreachable' } as const
      world.store.inject({ ...unreachable, when, operations: ['putIfAbsent'], keyPrefix: meta })
      world.store.inject({
        ...unreachable,
        when,
        operations: ['get'],
        keyPrefix: meta,
        times: 3,
        skip: 2,
      })
    }
    const writing = writer(world, ledger)
    await world.move(COLD).catch((error: unknown) => {
      assert.ok(hasCode(error, 'bucket_unreachable', 'revision_mismatch'), String(error))
    })
    await writing.stop()
    world.store.heal()
    await world.registry.refresh()
    assert.equal(await world.home(when), world.served.meta.bucket)
    await write(world.served, ledger, ['after'], 1)
    await compare(world.served, ledger, when)
    await world.registry.close()
  }
})

/** Ends the process at its first deletion of such a key. */
function crashAtDelete({ store }: MovingWorld, prefix: string): void {
  const inner = store.delete.bind(store)
  store.delete = async (key) => {
    if (key.startsWith(prefix)) store.crashAt(1, 'before')
    await inner(key)
  }
}
