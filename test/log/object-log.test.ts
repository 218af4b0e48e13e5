/**
 * The log in an object store: the contract on memory and on a real S3 server, who may write, and
 * what a crash or damage at any place does.
 */

import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { after, before, it } from 'node:test'
import { crc32 } from 'node:zlib'
import { MemoryStore } from '../../src/buckets/memory-store.ts'
import type { ObjectStore } from '../../src/buckets/object-store.ts'
import { openStore } from '../../src/buckets/open-store.ts'
import { hasCode } from '../../src/lib/errors.ts'
import { LOG_HEADER_BYTES } from '../../src/log/log-header.ts'
import type { LogStore } from '../../src/log/log-store.ts'
import { openObjectLog } from '../../src/log/object-log.ts'
import { collect } from '../support/collect.ts'
import { FaultyStore, SimulatedCrash, type Fault } from '../support/faulty-store.ts'
import { startS3Server } from '../support/s3-server.ts'
import { bytesOf, logStoreSuite, texts, type LogUnderTest } from './log-store.suite.ts'

const PREFIX = '_indexes/x/log/'

interface Opening {
  readonly epoch: number
  readonly owner?: string
  readonly incarnation?: string
  readonly prefix?: string
  readonly baseLsn?: number
}

function open(store: ObjectStore, opening: Opening): Promise<LogStore> {
  const defaults = { incarnation: 'one', owner: 'server', prefix: PREFIX }
  const waits = { retryWaitsMs: [0, 0, 0] }
  return openObjectLog({ store, groupBytesMax: 1000, ...defaults, ...waits, ...opening })
}

function underTest(store: ObjectStore, prefix = PREFIX): LogUnderTest {
  let epoch = 0
  return {
    open: (incarnation = 'one', baseLsn = 0) => {
      epoch += 1
      return open(store, { epoch, incarnation, prefix, baseLsn })
    },
  }
}

logStoreSuite('memory', async () => underTest(new MemoryStore()))

const server = await startS3Server()
after(() => server?.close())

if (server !== null) {
  const { endpoint, accessKeyId, secretAccessKey } = server
  const store = await openStore({
    ...{ backend: 's3', bucket: 'logs', prefix: '', region: 'us-east-1', endpoint },
    credentials: { accessKeyId, secretAccessKey },
  })
  before(() => server.createBucket('logs'))
  after(() => store.close())
  logStoreSuite('s3', async () => underTest(store, `${randomUUID()}/log/`), { runs: 2 })
}

async function keys(store: ObjectStore): Promise<string[]> {
  return (await collect(store.list(PREFIX))).map(({ key }) => key)
}

it('whoever opens the log fences everybody before, for ever', async () => {
  const store = new MemoryStore()
  const first = await open(store, { epoch: 1, owner: 'first' })
  await first.append(bytesOf('a'))
  const second = await open(store, { epoch: 2, owner: 'second' })
  const fenced = { code: 'log_fenced', message: /second/ }
  await assert.rejects(first.append(bytesOf('late')), fenced)
  await second.append(bytesOf('b'))
  await assert.rejects(first.append(bytesOf('later')), fenced)
  assert.deepEqual(await texts(second), ['1:a', '2:b'])
})

it('an older epoch, or the same again, does not get in', async () => {
  const store = new MemoryStore()
  const log = await open(store, { epoch: 5 })
  await log.append(bytesOf('a'))
  for (const epoch of [4, 5]) await assert.rejects(open(store, { epoch }), { code: 'log_fenced' })
  assert.equal(await log.append(bytesOf('b')), 2)
})

it('a late writer is fenced also when the groups after its own were given up', async () => {
  const store = new MemoryStore()
  const first = await open(store, { epoch: 1 })
  await first.append(bytesOf('a'))
  const second = await open(store, { epoch: 2 })
  for (let i = 0; i < 20; i += 1) await second.append(bytesOf('b'))
  await second.truncate(21)
  await assert.rejects(first.append(bytesOf('late')), { code: 'log_fenced' })
  await second.close()
  const third = await open(store, { epoch: 3 })
  assert.equal(third.lastLsn, 21)
})

it('fences are kept in bounded number', async () => {
  const store = new MemoryStore()
  for (let epoch = 1; epoch <= 300; epoch += 1) {
    const log = await open(store, { epoch })
    await log.append(bytesOf('x'))
    await log.truncate(epoch)
    await log.close()
  }
  assert.ok((await keys(store)).length < 260)
})

it('two servers that take the log from each other lose nothing that was acknowledged', async () => {
  const store = new MemoryStore()
  const acked: string[] = []
  let epoch = 0
  const serve = async (name: string): Promise<void> => {
    for (let turn = 0; turn < 20; turn += 1) {
      epoch += 1
      const log = await open(store, { epoch, owner: name }).catch(() => null)
      for (let i = 0; log !== null && i < 5; i += 1) {
        const payload = `${name} ${turn} ${i}`
        const lsn = await log.append(bytesOf(payload)).catch((error: unknown) => {
          assert.ok(hasCode(error, 'log_fenced'), String(error))
          return null
        })
        if (lsn !== null) acked.push(`${lsn}:${payload}`)
      }
    }
  }
  await Promise.all([serve('a'), serve('b')])
  const log = await open(store, { epoch: epoch + 1 })
  const found = await texts(log)
  assert.deepEqual(
    found,
    acked.toSorted((a, b) => Number.parseInt(a) - Number.parseInt(b)),
  )
  assert.ok(acked.length >= 100)
})

it('a lost answer to a put is found to be our own group', async () => {
  const inner = new MemoryStore()
  const store = new FaultyStore(inner)
  const log = await open(store, { epoch: 1 })
  for (const code of ['bucket_unreachable', 'object_exists'] as const) {
    store.inject({ kind: 'error', code, when: 'after', operations: ['putIfAbsent'] })
    await log.append(bytesOf(code))
  }
  assert.deepEqual(await texts(log), ['1:bucket_unreachable', '2:object_exists'])
})

it('a group that arrives after it was refused is kept whole, and the next one follows it', async () => {
  const inner = new MemoryStore()
  const store = new FaultyStore(inner)
  const log = await open(store, { epoch: 1 })
  await log.append(bytesOf('a'))
  // Stored, but every answer is lost until the append has given up.
  const fault = { kind: 'error', code: 'bucket_unreachable', when: 'after' } as const
  store.inject({ ...fault, operations: ['putIfAbsent'] })
  const lost = { kind: 'error', code: 'bucket_unreachable', when: 'before' } as const
  store.inject({ ...lost, operations: ['putIfAbsent', 'get'], times: Infinity })
  await assert.rejects(log.append(bytesOf('refused')), { code: 'bucket_unreachable' })
  store.heal()
  assert.equal(await log.append(bytesOf('b')), 3)
  assert.deepEqual(await texts(log), ['1:a', '2:refused', '3:b'])
  await log.close()
  assert.deepEqual(await texts(await open(inner, { epoch: 2 })), ['1:a', '2:refused', '3:b'])
})

it('a group that never arrived is absent, and its number is not used again', async () => {
  const inner = new MemoryStore()
  const store = new FaultyStore(inner)
  const log = await open(store, { epoch: 1 })
  for (const code of ['bucket_unreachable', 'storage_full', 'storage_error'] as const) {
    const fault: Fault = { kind: 'error', code, when: 'before', times: Infinity }
    store.inject({ ...fault, operations: ['putIfAbsent'] })
    await assert.rejects(log.append(bytesOf('refused')), { code })
    store.heal()
  }
  assert.equal(await log.append(bytesOf('a')), 4)
  assert.deepEqual(await texts(log), ['4:a'])
})

it('an answer that was damaged on its way is asked for again', async () => {
  const store = new FaultyStore(new MemoryStore())
  const log = await open(store, { epoch: 1 })
  await log.append(bytesOf('a'))
  for (const kind of ['flip', 'truncate'] as const) {
    store.inject({ kind, operations: ['get'] })
    assert.deepEqual(await texts(log), ['1:a'])
    store.inject({ kind, operations: ['get'], times: 2 })
    await assert.rejects(texts(log), { code: 'log_corrupt' })
  }
})

it('a stale list at the opening only costs a try', async () => {
  const inner = new MemoryStore()
  const store = new FaultyStore(inner)
  const log = await open(store, { epoch: 1 })
  for (let i = 0; i < 5; i += 1) await log.append(bytesOf('x'))
  await log.close()
  store.inject({ kind: 'stale_list', changes: 3 })
  const again = await open(store, { epoch: 2 })
  assert.equal(again.lastLsn, 5)
  assert.equal((await texts(again)).length, 5)
})

interface Ledger {
  readonly acked: string[]
  readonly unsure: Set<string>
  floor: number
}

async function append(log: LogStore, payload: string, ledger: Ledger): Promise<void> {
  ledger.unsure.add(payload)
  const lsn = await log.append(bytesOf(payload))
  ledger.unsure.delete(payload)
  ledger.acked.push(`${lsn}:${payload}`)
}

async function scenario(store: ObjectStore, ledger: Ledger): Promise<void> {
  for (const epoch of [1, 2, 3]) {
    const log = await open(store, { epoch })
    for (let i = 0; i < 3; i += 1) await append(log, `${epoch} ${i}`, ledger)
    await Promise.all([4, 5, 6].map((i) => append(log, `${epoch} ${i}`.padEnd(400), ledger)))
    ledger.floor = log.lastLsn - 2
    await log.truncate(ledger.floor)
    await texts(log, ledger.floor)
    await append(log, `${epoch} last`, ledger)
    await log.close()
  }
}

for (const when of ['before', 'after'] as const) {
  it(`a crash ${when} any call to the bucket loses nothing that was acknowledged`, async () => {
    for (let nth = 1, crashed = true; crashed; nth += 1) {
      const inner = new MemoryStore()
      const store = new FaultyStore(inner)
      const ledger: Ledger = { acked: [], unsure: new Set(), floor: 0 }
      store.crashAt(nth, when)
      await scenario(store, ledger).catch((error: unknown) => {
        if (!(error instanceof SimulatedCrash)) throw error
      })
      crashed = store.crashed
      const log = await open(inner, { epoch: 9 })
      const found = await texts(log, ledger.floor)
      const expected = ledger.acked.filter((entry) => Number.parseInt(entry) > ledger.floor)
      for (const entry of expected) assert.ok(found.includes(entry), `call ${nth}: lost ${entry}`)
      for (const entry of found) {
        const payload = entry.slice(entry.indexOf(':') + 1)
        const known = expected.includes(entry) || ledger.unsure.has(payload)
        assert.ok(known, `call ${nth}: phantom ${entry}`)
      }
      await log.verify()
      const next = await log.append(bytesOf('next'))
      assert.ok(next > Math.max(0, ...expected.map((entry) => Number.parseInt(entry))))
    }
  })
}

it('every flipped byte, cut or absence of a group is found, with its key', async () => {
  const store = new MemoryStore()
  const writer = await open(store, { epoch: 1 })
  for (const payload of ['first', 'second', 'third']) await writer.append(bytesOf(payload))
  await writer.close()
  const key = (await keys(store))[2] ?? ''
  const bytes = Buffer.from(await store.get(key))
  const check = async (what: string): Promise<void> => {
    const copy = new MemoryStore()
    for (const one of await keys(store)) await copy.put(one, await store.get(one))
    const log = await open(copy, { epoch: 2 })
    await assert.rejects(log.verify(), (error) => {
      assert.ok(hasCode(error, 'log_corrupt'), `${what}: ${String(error)}`)
      assert.match(JSON.stringify(error.details['file']), /\.group"$/)
      return true
    })
  }
  for (let at = 0; at < bytes.length; at += 1) {
    const flipped = Buffer.from(bytes)
    flipped[at] = (flipped[at] ?? 0) ^ (1 << (at % 8))
    await store.put(key, flipped)
    await check(`byte ${at}`)
  }
  for (const cut of [0, 100, LOG_HEADER_BYTES, bytes.length - 1]) {
    await store.put(key, bytes.subarray(0, cut))
    await check(`cut at ${cut}`)
  }
  await store.delete(key)
  const log = await open(store, { epoch: 2 })
  await assert.rejects(texts(log, 0), { code: 'log_corrupt', message: /not there/ })
})

it('a whole group that does not belong where it stands is found', async () => {
  const [store, other] = [new MemoryStore(), new MemoryStore()]
  const log = await open(store, { epoch: 1 })
  for (const payload of ['a', 'b', 'c']) await log.append(bytesOf(payload))
  const stranger = await open(other, { epoch: 1 })
  await Promise.all([stranger.append(bytesOf('x')), stranger.append(bytesOf('y'))])
  await stranger.append(bytesOf('z'))
  const key = (await keys(store))[2] ?? ''
  await store.put(key, await other.get(key))
  await assert.rejects(texts(log), { code: 'log_corrupt', message: /replaced/ })
  await log.close()
  const again = await open(store, { epoch: 2 })
  await assert.rejects(texts(again), { code: 'log_corrupt', message: /follows lsn 2 and not 1/ })
})

it('a log that format 1 wrote still opens, and a later format is refused by name', async () => {
  const store = new MemoryStore()
  const folder = new URL('../fixtures/log-1/groups/', import.meta.url)
  for (const name of await readdir(folder)) {
    await store.put(`${PREFIX}${name}`, await readFile(new URL(name, folder)))
  }
  const log = await open(store, { epoch: 3, incarnation: 'fixture' })
  assert.deepEqual(await texts(log, 1), ['2:second', '3:third', '4:fourth'])
  const key = (await keys(store)).at(-1) ?? ''
  const newer = Buffer.from(await store.get(key))
  newer.writeUInt32LE(2, 8)
  const rest = newer.subarray(16, LOG_HEADER_BYTES)
  newer.writeUInt32LE(crc32(rest, crc32(newer.subarray(0, 12))), 12)
  await store.put(key, newer)
  const refused = { code: 'format_too_new', message: /format 2.*up to 1/ }
  await assert.rejects(open(store, { epoch: 4, incarnation: 'fixture' }), refused)
})
