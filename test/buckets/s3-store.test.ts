/**
 * The S3 backend keeps the contract on a real server, and tells what failed without its secrets.
 *
 * How: Ceph's gateway (`test/support/s3-server.ts`); each case has a prefix of its own, one bucket.
 */

import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { inspect } from 'node:util'
import { collect } from '../support/collect.ts'
import { openStore } from '../../src/buckets/open-store.ts'
import type { S3Spec } from '../../src/buckets/s3-spec.ts'
import { S3_LIMITS, S3Store } from '../../src/buckets/s3-store.ts'
import type { VectordError } from '../../src/lib/errors.ts'
import { type S3Server, startS3Server } from '../support/s3-server.ts'
import { objectStoreSuite } from './object-store.suite.ts'

const UNUSED: S3Spec = {
  backend: 's3',
  bucket: 'vectord',
  prefix: '',
  region: 'us-east-1',
  endpoint: 'http://127.0.0.1:9',
  credentials: { accessKeyId: 'KEYOFTHETEST', secretAccessKey: 'SECRETOFTHETEST' },
}
const QUICK = { ...S3_LIMITS, connectTimeoutMs: 500, requestTimeoutMs: 300, attempts: 1 }

const server = await startS3Server()
after(() => server?.close())

if (server !== null) {
  before(() => server.createBucket('vectord'))
  objectStoreSuite('s3', () => openStore(specOf(server)))
  describe('S3Store on a real server', () => {
    realServerCases(server)
  })
}

function realServerCases(server: S3Server): void {
  it('two prefixes of one bucket do not see each other', async (t) => {
    const [one, two] = [new S3Store(specOf(server)), new S3Store(specOf(server))]
    t.after(() => Promise.all([one.close(), two.close()]))
    await one.put('k', Buffer.from('one'))
    await assert.rejects(two.get('k'), { code: 'object_not_found' })
    assert.deepEqual(await collect(two.list('')), [])
  })

  it('a bucket that does not exist is storage_error, never absence', async (t) => {
    const store = new S3Store({ ...specOf(server), bucket: 'no-such-bucket' })
    t.after(() => store.close())
    const refused = { code: 'storage_error' }
    await assert.rejects(store.get('k'), refused)
    await assert.rejects(store.head('k'), refused)
    await assert.rejects(store.put('k', Buffer.from('x')), refused)
    await assert.rejects(store.delete('k'), refused)
    await assert.rejects(collect(store.list('')), refused)
  })

  it('wrong credentials are storage_error, and no secret is told', async (t) => {
    const credentials = { accessKeyId: server.accessKeyId, secretAccessKey: 'WRONGSECRET' }
    const store = new S3Store({ ...specOf(server), credentials })
    t.after(() => store.close())
    const calls = [
      () => store.get('k'),
      () => store.put('k', new Uint8Array()),
      () => store.head('k'),
    ]
    for (const call of calls) {
      const error: unknown = await call().then(
        () => null,
        (error: unknown) => error,
      )
      assert.equal((error as { code: string }).code, 'storage_error')
      const shown = inspect(error, { depth: 20, showHidden: true })
      assert.ok(!shown.includes('WRONGSECRET') && !shown.includes(server.accessKeyId), shown)
    }
  })
}

it('a refused connection is bucket_unreachable', async (t) => {
  const store = new S3Store(UNUSED, QUICK)
  t.after(() => store.close())
  await assert.rejects(store.get('k'), { code: 'bucket_unreachable' })
  await assert.rejects(store.head('k'), { code: 'bucket_unreachable' })
  await assert.rejects(collect(store.list('')), { code: 'bucket_unreachable' })
})

it('a server that accepts and never answers is cut off', async (t) => {
  const hung = createServer(() => undefined)
  await new Promise<void>((resolve) => hung.listen(0, '127.0.0.1', resolve))
  t.after(() => hung.close())
  const address = hung.address()
  assert.ok(address !== null && typeof address === 'object')
  const store = new S3Store({ ...UNUSED, endpoint: `http://127.0.0.1:${address.port}` }, QUICK)
  t.after(() => store.close())
  await assert.rejects(store.get('k'), { code: 'bucket_unreachable' })
  await assert.rejects(store.putIfAbsent('k', Buffer.from('x')), { code: 'bucket_unreachable' })
})

it('a connection that breaks before the body is read fails its reader and nothing else', async (t) => {
  const head = [
    'HTTP/1.1 200 OK',
    'content-length: 100000',
    'x-amz-checksum-crc32: AAAAAA==',
    '',
    '',
  ]
  const breaking = createServer((socket) => {
    socket.on('error', () => undefined)
    socket.once('data', () => {
      socket.write(head.join('\r\n') + 'x'.repeat(50_000), () => socket.resetAndDestroy())
    })
  })
  await new Promise<void>((resolve) => breaking.listen(0, '127.0.0.1', resolve))
  t.after(() => breaking.close())
  const address = breaking.address()
  assert.ok(address !== null && typeof address === 'object')
  const store = new S3Store({ ...UNUSED, endpoint: `http://127.0.0.1:${address.port}` }, QUICK)
  t.after(() => store.close())
  const folder = await mkdtemp(join(tmpdir(), 'vectord-test-'))
  t.after(() => rm(folder, { recursive: true }))
  // Side by side, so that some break while their file is being opened.
  const reads = Array.from({ length: 64 }, (_, i) => store.getFile('k', join(folder, `${i}`)))
  for (const outcome of await Promise.allSettled(reads)) {
    assert.equal(outcome.status, 'rejected')
    assert.equal((outcome.reason as VectordError).code, 'bucket_unreachable')
  }
})

it('odd specs are refused before anything is sent', () => {
  const odd: Partial<S3Spec>[] = [
    { bucket: '' },
    { bucket: 'a/b' },
    { prefix: 'no-slash' },
    { prefix: '/' },
    { prefix: 'a/../' },
    { region: '' },
    { endpoint: 'nowhere' },
    { endpoint: 'ftp://127.0.0.1' },
    { endpoint: 'http://user:password@127.0.0.1' },
  ]
  for (const part of odd) {
    assert.throws(() => new S3Store({ ...UNUSED, ...part }), { code: 'bad_request' })
  }
})

function specOf(server: S3Server): S3Spec {
  const { endpoint, accessKeyId, secretAccessKey } = server
  const credentials = { accessKeyId, secretAccessKey }
  return { ...UNUSED, endpoint, credentials, prefix: `${randomUUID()}/` }
}
