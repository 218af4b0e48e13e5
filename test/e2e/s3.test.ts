/**
 * The service on a real S3 server: kill -9, two servers on one bucket, one index each on two buckets.
 */

import assert from 'node:assert/strict'
import { chmod, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, describe, it, type TestContext } from 'node:test'
import type { ObjectStore } from '../../src/buckets/object-store.ts'
import { openStore } from '../../src/buckets/open-store.ts'
import { killLoop } from '../support/kill-loop.ts'
import { startS3Server } from '../support/s3-server.ts'
import { startService, temporaryFolder, type Service } from '../support/service.ts'

const KILLS = 4

const s3 = await startS3Server()

describe('on S3', { skip: s3 === null ? 'no S3 server can be had' : false }, () => {
  if (s3 === null) return
  after(() => s3.close())

  async function environment(root: string, bucket: string): Promise<Record<string, string>> {
    assert.ok(s3 !== null)
    const file = join(root, 'credentials.json')
    const { accessKeyId, secretAccessKey } = s3
    await writeFile(
      file,
      JSON.stringify({ access_key_id: accessKeyId, secret_access_key: secretAccessKey }),
    )
    await chmod(file, 0o600)
    return {
      VECTORD_PRIMARY_BACKEND: 's3',
      VECTORD_PRIMARY_BUCKET: bucket,
      VECTORD_PRIMARY_ENDPOINT: s3.endpoint,
      VECTORD_PRIMARY_CREDENTIALS_FILE: file,
    }
  }

  function openBucket(bucket: string): Promise<ObjectStore> {
    assert.ok(s3 !== null)
    const { endpoint, accessKeyId, secretAccessKey } = s3
    return openStore({
      ...{ backend: 's3', bucket, prefix: '', region: 'us-east-1', endpoint },
      credentials: { accessKeyId, secretAccessKey },
    })
  }

  async function put(service: Service, id: string, vector: readonly number[]): Promise<number> {
    const points = [{ id, vector }]
    return (await service.request('POST', '/vectors/indexes/docs/points', { points })).status
  }

  it(`no acknowledged write is lost over ${KILLS} kills`, async (t) => {
    await s3.createBucket('kills')
    const root = await temporaryFolder(t)
    const seed = Date.now() % 2 ** 31
    t.diagnostic(`seed ${seed}`)
    const env = await environment(root, 'kills')
    const counts = await killLoop({
      ...{ root, seed, kills: KILLS, env },
      openBucket: () => openBucket('kills'),
    })
    t.diagnostic(JSON.stringify(counts))
    assert.ok(counts.acknowledged > 50, 'the loop wrote')
  })

  async function serve(t: TestContext, root: string, bucket: string): Promise<Service> {
    const service = await startService(root, { env: await environment(root, bucket) })
    t.after(() => service.kill())
    return service
  }

  /** Two servers on one bucket, the first with an index of one point. */
  async function twoServers(
    t: TestContext,
    bucket: string,
  ): Promise<{ readonly first: Service; readonly second: Service }> {
    assert.ok(s3 !== null)
    await s3.createBucket(bucket)
    const first = await serve(t, await temporaryFolder(t), bucket)
    await first.ready()
    const created = await first.request('POST', '/vectors/indexes', { name: 'docs', dimension: 2 })
    assert.equal(created.status, 201, created.text)
    assert.equal(await put(first, 'a', [1, 2]), 200)
    const second = await serve(t, await temporaryFolder(t), bucket)
    await isServed(second, 'a')
    return { first, second }
  }

  async function isServed(service: Service, id: string, withinMs?: number): Promise<void> {
    const path = `/vectors/indexes/docs/points/${id}`
    await service.eventually(path, ({ status }) => status === 200, withinMs)
  }

  async function field(service: Service, name: string): Promise<unknown> {
    const { body } = await service.request('GET', '/vectors/indexes/docs')
    return (body as Record<string, unknown>)[name]
  }

  it('a second server follows: it reads what the first wrote, and refuses to write', async (t) => {
    const { first, second } = await twoServers(t, 'followed')
    assert.equal(await field(first, 'role'), 'owner')
    assert.equal(await field(second, 'role'), 'follower')
    const owner = await field(first, 'owner')
    assert.equal(await field(second, 'owner'), owner)
    assert.equal((await second.ready()).status, 200)

    const lags: number[] = []
    for (let lsn = 2; lsn <= 12; lsn += 1) {
      assert.equal(await put(first, `p${lsn}`, [lsn, 1]), 200)
      const from = performance.now()
      const seen = await second.request(
        'GET',
        `/vectors/indexes/docs/points/p${lsn}?min_lsn=${lsn}`,
      )
      lags.push(performance.now() - from)
      assert.equal(seen.status, 200, seen.text)
      assert.ok(Number(seen.headers.get('x-vectord-lsn')) >= lsn)
    }
    t.diagnostic(`lag in ms: ${lags.map((ms) => Math.round(ms)).join(' ')}`)
    const early = await second.request(
      'GET',
      '/vectors/indexes/docs/points/a?min_lsn=1000&deadline_ms=300',
    )
    assert.equal(early.status, 504, early.text)
    assert.match(early.text, /"deadline_exceeded"/)

    const found = await second.request('POST', '/vectors/indexes/docs/search', {
      vector: [12, 1],
      k: 1,
      min_lsn: 12,
    })
    assert.match(found.text, /"id":"p12"/)
    const refusals = [
      await second.request('POST', '/vectors/indexes/docs/points', {
        points: [{ id: 'x', vector: [1, 2] }],
      }),
      await second.request('POST', '/vectors/indexes/docs/points/delete', { ids: ['a'] }),
      await second.request('POST', '/vectors/indexes/docs/checkpoint?wait=true'),
      await second.request('POST', '/vectors/indexes/docs/verify?wait=true'),
      await second.request('DELETE', '/vectors/indexes/docs'),
    ]
    for (const { status, text, headers } of refusals) {
      assert.equal(status, 503, text)
      assert.match(text, /"not_owner"/)
      assert.ok(text.includes(String(owner)), text)
      assert.match(headers.get('retry-after') ?? '', /^\d+$/)
    }

    // The owner gives up parts and groups beneath the follower.
    for (let round = 0; round < 3; round += 1) {
      assert.equal(await put(first, 'a', [round, 1]), 200)
      const done = await first.request('POST', '/vectors/indexes/docs/checkpoint?wait=true')
      assert.equal(done.status, 200, done.text)
    }
    const { text } = await second.request(
      'GET',
      '/vectors/indexes/docs/points?limit=100&min_lsn=15',
    )
    assert.equal((text.match(/"id":/g) ?? []).length, 12, text)

    // The index goes, and one of the same name comes: the follower mixes nothing up.
    assert.equal((await first.request('DELETE', '/vectors/indexes/docs')).status, 204)
    await first.request('POST', '/vectors/indexes', { name: 'docs', dimension: 3 })
    assert.equal(await put(first, 'new', [1, 2, 3]), 200)
    await isServed(second, 'new')
    const all = await second.request('GET', '/vectors/indexes/docs/points?limit=100')
    assert.equal((all.text.match(/"id":/g) ?? []).length, 1, all.text)
  })

  it('a follower takes over when the owner has ended, and the other way round', async (t) => {
    const { first, second } = await twoServers(t, 'handed')
    assert.equal(await put(second, 'b', [1, 2]), 503)
    assert.equal(await put(first, 'b', [3, 4]), 200)
    assert.equal(await first.stop(), 0)
    await second.eventually('/vectors/indexes/docs', ({ text }) => text.includes('"role":"owner"'))
    assert.equal(await put(second, 'c', [5, 6]), 200)
    for (const id of ['a', 'b', 'c']) await isServed(second, id)

    const again = await serve(t, first.root, 'handed')
    await isServed(again, 'c')
    assert.equal(await field(again, 'role'), 'follower')
    assert.equal(await put(again, 'd', [1, 2]), 503)
  })

  it('a follower takes over from a killed owner with every acknowledged write', async (t) => {
    const { first, second } = await twoServers(t, 'killed')
    const acknowledged: string[] = []
    const writes = Array.from({ length: 4 }, async (_, writer) => {
      for (let i = 0; ; i += 1) {
        const id = `w${writer}-${i}`
        const status = await put(first, id, [writer, i]).catch(() => null)
        if (status !== 200) return
        acknowledged.push(id)
        if (acknowledged.length === 200) await first.kill()
      }
    })
    await Promise.all(writes)
    const from = performance.now()
    let reads = 0
    const isOwner = ({ status, text }: { status: number; text: string }): boolean => {
      reads += 1
      assert.equal(status, 200)
      assert.match(text, /"state":"ready"/, 'reads go on through the takeover')
      return text.includes('"role":"owner"')
    }
    await second.eventually('/vectors/indexes/docs', isOwner, 90_000)
    t.diagnostic(`taken over after ${Math.round(performance.now() - from)} ms, ${reads} looks`)
    assert.equal(await put(second, 'after', [5, 6]), 200)
    const { text } = await second.request('GET', '/vectors/indexes/docs/points?limit=1000')
    for (const id of ['a', 'after', ...acknowledged]) {
      assert.ok(text.includes(`"id":"${id}"`), `${id} is lost`)
    }
    const verified = await second.request('POST', '/vectors/indexes/docs/verify?wait=true')
    assert.match(verified.text, /"clean":true/)

    const again = await serve(t, first.root, 'killed')
    await isServed(again, 'after')
    assert.equal(await field(again, 'role'), 'follower')
  })
})
