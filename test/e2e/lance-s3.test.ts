/** Lance indexes in a bucket on S3: a kill -9, and two servers of which one writes. */

import assert from 'node:assert/strict'
import { chmod, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, describe, it, type TestContext } from 'node:test'
import { startS3Server } from '../support/s3-server.ts'
import { startService, temporaryFolder, type Service } from '../support/service.ts'

const INDEX = '/vectors/indexes/shared'

const s3 = await startS3Server()

describe('on S3', { skip: s3 === null ? 'no S3 server can be had' : false }, () => {
  if (s3 === null) return
  after(() => s3.close())

  async function serve(t: TestContext, root: string): Promise<Service> {
    assert.ok(s3 !== null)
    const { accessKeyId, secretAccessKey, endpoint } = s3
    const file = join(root, 'credentials.json')
    const credentials = { access_key_id: accessKeyId, secret_access_key: secretAccessKey }
    await writeFile(file, JSON.stringify(credentials))
    await chmod(file, 0o600)
    const env = {
      VECTORD_PRIMARY_BACKEND: 's3',
      VECTORD_PRIMARY_BUCKET: 'tables',
      VECTORD_PRIMARY_ENDPOINT: endpoint,
      VECTORD_PRIMARY_CREDENTIALS_FILE: file,
    }
    const service = await startService(root, { env })
    t.after(() => service.kill())
    await service.ready(60_000)
    return service
  }

  function write(service: Service, from: number): Promise<{ readonly status: number }> {
    const points = Array.from({ length: 20 }, (_, i) => {
      return { id: `p${from + i}`, vector: [from + i, 1], metadata: { n: from + i } }
    })
    return service.request('POST', `${INDEX}/points`, { points })
  }

  async function nearest(service: Service, x: number): Promise<string | undefined> {
    const body = { vector: [x, 1], k: 1 }
    const found = (await service.must('POST', `${INDEX}/search`, body)) as {
      results: { id: string }[]
    }
    return found.results[0]?.id
  }

  it('what was acknowledged is there after a kill -9, and one server at a time writes', async (t) => {
    await s3.createBucket('tables')
    const root = await temporaryFolder(t)
    let first = await serve(t, root)
    const index = { name: 'shared', dimension: 2, metric: 'l2', backend: 'lance' }
    await first.must('POST', '/vectors/indexes', index)
    assert.equal((await write(first, 0)).status, 200)
    assert.equal((await write(first, 100)).status, 200)
    await first.kill()

    first = await serve(t, root)
    assert.equal(await nearest(first, 105), 'p105')
    const second = await serve(t, await temporaryFolder(t))
    await second.eventually(INDEX, ({ text }) => text.includes('"role":"follower"'))
    assert.equal(await nearest(second, 7), 'p7')
    const refused = await second.request('POST', `${INDEX}/points`, {
      points: [{ id: 'late', vector: [1, 1] }],
    })
    const { code } = (refused.body as { error: { code: string } }).error
    assert.deepEqual([refused.status, code], [503, 'not_owner'])
    assert.equal((await second.request('DELETE', INDEX)).status, 503)

    assert.equal((await write(first, 200)).status, 200)
    await second.eventually(INDEX, ({ text }) => text.includes('"points":60'))
    assert.equal(await first.stop(), 0)
    await second.eventually(INDEX, ({ text }) => text.includes('"role":"owner"'))
    assert.equal((await write(second, 300)).status, 200)
    assert.equal(await nearest(second, 303), 'p303')
    const report = await second.must('POST', `${INDEX}/verify?wait=true`)
    assert.deepEqual(report, { clean: true, faults: [], log_records: 0, live_points: 80 })
    await second.must('DELETE', INDEX)
    const { objects } = (await second.must(
      'GET',
      '/storage/buckets/primary/objects?prefix=_lance/',
    )) as { objects: unknown[] }
    assert.deepEqual(objects, [])
  })
})
