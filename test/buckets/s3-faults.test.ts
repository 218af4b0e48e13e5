/**
 * Faulty S3: whatever the network and the server do, an answer is right or an honest error. Never a
 * wrong value, never "not found" for something that is there, never a conflict that overwrites.
 *
 * How: a real gateway behind a proxy that injects each of its faults into each operation, once (the
 * store may well recover) and for good. What really is in the bucket is read past the proxy.
 */

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { access, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { probeBucket } from '../../src/buckets/bucket-probe.ts'
import type { ObjectStore } from '../../src/buckets/object-store.ts'
import { RevisionedDocument } from '../../src/buckets/revisioned-document.ts'
import type { S3Spec } from '../../src/buckets/s3-spec.ts'
import { S3_LIMITS, S3Store } from '../../src/buckets/s3-store.ts'
import { collect } from '../support/collect.ts'
import {
  S3_FAULTS,
  type S3Fault,
  type S3FaultProxy,
  startFaultProxy,
} from '../support/s3-fault-proxy.ts'
import { startS3Server } from '../support/s3-server.ts'

const LIMITS = {
  connectTimeoutMs: 1_000,
  requestTimeoutMs: 1_500,
  attempts: 2,
  partBytes: 5 * 1024 * 1024,
}
const OLD = randomBytes(50_000)
const NEW = randomBytes(70_000)
const LARGE = randomBytes(6 * 1024 * 1024)

/** One of these is made up for by asking again. */
const RECOVERED = new Set<S3Fault>([
  'http_500',
  'http_503_slow_down',
  'reset_before',
  'reset_after',
  'reset_in_body',
  'truncated_body',
  'corrupt_body',
  'latency',
  'hang',
])

const server = await startS3Server()
after(() => server?.close())

if (server !== null) {
  const proxy = await startFaultProxy(server)
  const { accessKeyId, secretAccessKey, endpoint } = server
  const spec: S3Spec = {
    backend: 's3',
    bucket: 'faults',
    prefix: '',
    region: 'us-east-1',
    endpoint,
    credentials: { accessKeyId, secretAccessKey },
  }
  const direct = new S3Store(spec, { ...S3_LIMITS, partBytes: LIMITS.partBytes })
  const faulty = new S3Store({ ...spec, endpoint: proxy.endpoint }, LIMITS)
  before(() => server.createBucket('faults'))
  after(async () => {
    await Promise.all([direct.close(), faulty.close(), proxy.close()])
  })
  describe('every operation under every fault', { concurrency: 8 }, () => {
    for (const fault of S3_FAULTS) {
      for (const times of [1, Infinity]) {
        it(`${fault}, ${times === 1 ? 'once' : 'for good'}`, async () => {
          // Its own client: faults for good use up the retries that a client has in all.
          const own = new S3Store({ ...spec, endpoint: proxy.endpoint }, LIMITS)
          try {
            await operationCases({ direct, faulty: own, proxy, fault, times })
          } finally {
            await own.close()
          }
        })
      }
    }
  })
  describe('what is built on it', { concurrency: 8 }, () => {
    documentCases({ direct, faulty, proxy })
  })
}

interface Buckets {
  /** Past the proxy. */
  readonly direct: ObjectStore
  readonly faulty: ObjectStore
  readonly proxy: S3FaultProxy
}

interface Case extends Buckets {
  readonly fault: S3Fault
  readonly times: number
}

async function operationCases(world: Case): Promise<void> {
  let listed: string | null = null
  const folder = await mkdtemp(join(tmpdir(), 'vectord-test-'))
  try {
    await readCases(world, folder)
    await writeCases(world, folder)
    await conditionCases(world)
    listed = await listCase(world)
  } finally {
    await rm(folder, { recursive: true })
  }
  assert.ok(world.proxy.strikes(partOf(world, 'get')) > 0)
  // A connection that a fault beside this one broke may end a list before it reaches the proxy.
  assert.ok(listed !== null || world.proxy.strikes(partOf(world, 'list')) > 0)
}

async function readCases(world: Case, folder: string): Promise<void> {
  const { faulty } = world
  const read = await attempt(faulty.get(await keyFor(world, 'get', OLD)))
  if (read.code === null) assert.ok(OLD.equals(read.value))
  else assertHonest(read.code)
  if (world.times === 1 && RECOVERED.has(world.fault)) assert.equal(read.code, null)

  const absent = await attempt(faulty.get(await keyFor(world, 'get-absent', null)))
  if (absent.code !== 'object_not_found') assertHonest(absent.code)

  const head = await attempt(faulty.head(await keyFor(world, 'head', OLD)))
  if (head.code === null) assert.equal(head.value.bytes, OLD.length)
  else assertHonest(head.code)

  const large = await attempt(faulty.get(await keyFor(world, 'get-large', LARGE)))
  if (large.code === null) assert.ok(LARGE.equals(large.value))
  else assertHonest(large.code)

  const out = join(folder, 'out')
  const fetched = await attempt(faulty.getFile(await keyFor(world, 'getFile', OLD), out))
  if (fetched.code === null) {
    assert.ok(OLD.equals(await readFile(out)))
  } else {
    assertHonest(fetched.code)
    await assert.rejects(access(out))
  }
}

async function writeCases(world: Case, folder: string): Promise<void> {
  const { direct, faulty } = world
  const putKey = await keyFor(world, 'put', OLD)
  const put = await attempt(faulty.put(putKey, NEW))
  checkWritten(put.code, await direct.get(putKey), NEW)

  await writeFile(join(folder, 'large'), LARGE)
  const fileKey = await keyFor(world, 'putFile', OLD)
  const putFile = await attempt(faulty.putFile(fileKey, join(folder, 'large')))
  checkWritten(putFile.code, await direct.get(fileKey), LARGE)

  const goneKey = await keyFor(world, 'delete', OLD)
  const gone = await attempt(faulty.delete(goneKey))
  const left = await attempt(direct.get(goneKey))
  if (gone.code === null) assert.equal(left.code, 'object_not_found')
  else assertHonest(gone.code)
}

async function conditionCases(world: Case): Promise<void> {
  const { direct, faulty } = world
  const takenKey = await keyFor(world, 'taken', OLD)
  const taken = await attempt(faulty.putIfAbsent(takenKey, NEW))
  const isKept = OLD.equals(await direct.get(takenKey))
  assert.equal(isKept, world.fault !== 'ignored_condition')
  assert.equal(taken.code === null, world.fault === 'ignored_condition')

  const freeKey = await keyFor(world, 'free', null)
  const free = await attempt(faulty.putIfAbsent(freeKey, NEW))
  const there = await attempt(direct.get(freeKey))
  if (there.code === null) assert.ok(NEW.equals(there.value))
  if (free.code === null) assert.equal(there.code, null)
  else if (free.code !== 'object_exists') assertHonest(free.code)
}

async function listCase(world: Case): Promise<string | null> {
  const key = await keyFor(world, 'list', OLD)
  const listed = await attempt(collect(world.faulty.list(key.slice(0, -1))))
  if (listed.code !== null) assertHonest(listed.code)
  // A list that lags behind cannot be told from a right one; what is built on lists must bear it.
  else if (world.fault !== 'stale_list') assert.equal(listed.value.length, 1)
  return listed.code
}

/** A key whose requests are faulty, with an object under it or not. */
async function keyFor(world: Case, name: string, body: Uint8Array | null): Promise<string> {
  const key = `${partOf(world, name)}k`
  if (body !== null) await world.direct.put(key, body)
  world.proxy.arm(partOf(world, name), world.fault, world.times)
  return key
}

function partOf({ fault, times }: Case, name: string): string {
  return `${fault}-${times}/${name}/`
}

function documentCases({ direct, faulty, proxy }: Buckets): void {
  const open = (store: ObjectStore, prefix: string): RevisionedDocument<readonly string[]> =>
    new RevisionedDocument({
      store,
      prefix,
      name: 'test',
      codec: {
        toJson: (document) => ({ applied: document }),
        fromJson: (json) => json['applied'] as readonly string[],
      },
    })
  const append = async (
    document: RevisionedDocument<readonly string[]>,
    name: string,
  ): Promise<void> => {
    await document.modify((current) => ({
      document: [...(current?.document ?? []), name],
      author: 'test',
      reason: 'test',
    }))
  }

  for (const fault of S3_FAULTS.filter((fault) => fault !== 'ignored_condition')) {
    it(`a document loses no acknowledged change to ${fault}, wherever it strikes`, async () => {
      for (let skip = 0; skip < 8; skip += 1) {
        const prefix = `document-${fault}-${skip}/`
        await append(open(direct, prefix), 'first')
        proxy.arm(prefix, 'latency', skip) // Lets so many requests pass.
        proxy.arm(prefix, fault, 1)
        const change = await attempt(append(open(faulty, prefix), 'second'))
        const found = (await open(direct, prefix).read())?.document ?? []
        assert.ok(found[0] === 'first' && found.length <= 2)
        if (change.code === null) assert.deepEqual(found, ['first', 'second'])
        else assertHonest(change.code)
        if (proxy.strikes(prefix) <= skip) break
      }
    })
  }

  it('writers on two servers lose nothing', async () => {
    const documents = [open(direct, 'race/'), open(direct, 'race/'), open(faulty, 'race/')]
    const names = Array.from({ length: 18 }, (_, n) => String(n))
    await Promise.all(
      documents.map(async (document, d) => {
        for (const name of names.filter((name) => Number(name) % 3 === d)) {
          await append(document, name)
        }
      }),
    )
    const found = (await open(direct, 'race/').read())?.document ?? []
    assert.deepEqual([...found].sort(), [...names].sort())
  })

  it('the probe tells a server that ignores conditions from one that keeps them', async () => {
    assert.equal(await probeBucket(direct), 'verified')
    proxy.arm('_probe/', 'ignored_condition', Infinity)
    assert.equal(await probeBucket(faulty), 'single_writer')
    assert.deepEqual(await collect(direct.list('_probe/')), [])
  })
}

type Attempt<T> = { readonly code: null; readonly value: T } | { readonly code: string }

async function attempt<T>(work: Promise<T>): Promise<Attempt<T>> {
  try {
    return { code: null, value: await work }
  } catch (error) {
    if (error instanceof Error && 'code' in error && typeof error.code === 'string') {
      return { code: error.code }
    }
    throw error
  }
}

function assertHonest(code: string | null): void {
  assert.ok(
    ['bucket_unreachable', 'storage_error', 'object_corrupt'].includes(code ?? ''),
    code ?? 'done',
  )
}

/** What was acknowledged is there; what failed left the old object or the new one, whole. */
function checkWritten(code: string | null, found: Uint8Array, wanted: Buffer): void {
  const isWanted = wanted.equals(found)
  if (code === null) {
    assert.ok(isWanted)
  } else {
    assertHonest(code)
    assert.ok(isWanted || OLD.equals(found))
  }
}
