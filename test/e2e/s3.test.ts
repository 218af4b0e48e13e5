/**
 * The service on a real S3 server: kill -9, two servers on one bucket, one index each on two buckets.
 */

import assert from 'node:assert/strict'
import { chmod, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
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
    const counts = await killLoop({ root, seed, kills: KILLS, env })
    t.diagnostic(JSON.stringify(counts))
    assert.ok(counts.acknowledged > 50, 'the loop wrote')
  })

  it('a second server is told who owns an index, and takes over when that one has ended', async (t) => {
    await s3.createBucket('shared')
    const roots = [await temporaryFolder(t), await temporaryFolder(t)] as const
    const first = await startService(roots[0], { env: await environment(roots[0], 'shared') })
    t.after(() => first.kill())
    await first.ready()
    const created = await first.request('POST', '/vectors/indexes', { name: 'docs', dimension: 2 })
    assert.equal(created.status, 201, created.text)
    assert.equal(await put(first, 'a', [1, 2]), 200)

    const second = await startService(roots[1], { env: await environment(roots[1], 'shared') })
    t.after(() => second.kill())
    const refused = await second.eventually('/vectors/indexes/docs/points/a', ({ text }) =>
      text.includes('not_owner'),
    )
    assert.equal(refused.status, 503)
    assert.match(refused.headers.get('retry-after') ?? '', /^\d+$/)
    assert.equal(await put(second, 'b', [1, 2]), 503)
    assert.equal(await put(first, 'b', [3, 4]), 200)

    assert.equal(await first.stop(), 0)
    await second.eventually(
      '/vectors/indexes/docs/points/b',
      ({ status }) => status === 200,
      90_000,
    )
    assert.equal(await put(second, 'c', [5, 6]), 200)
  })
})
