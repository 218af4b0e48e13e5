/** Snapshots of a real server over HTTP: operations, other buckets, key prefixes, kill -9. */

import assert from 'node:assert/strict'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { it } from 'node:test'
import { bearer, keyLine } from '../support/http-app.ts'
import { startService, temporaryFolder, type Reply, type Service } from '../support/service.ts'

const KILLS = 3
const SNAPSHOTS = '/vectors/indexes/docs/snapshots'

interface SnapshotBody {
  readonly id: string
  readonly lsn: number
  readonly points: number
  readonly note: string | null
  readonly bucket: string
}

function codeOf({ body }: Reply): string | undefined {
  return (body as { error?: { code: string } } | undefined)?.error?.code
}

async function rows(service: Service, index: string): Promise<string> {
  const reply = await service.request('GET', `/vectors/indexes/${index}/export?format=ndjson`)
  assert.equal(reply.status, 200, reply.text)
  return reply.text
}

async function fill(service: Service, count: number): Promise<void> {
  await service.must('POST', '/vectors/indexes', { name: 'docs', dimension: 3, metric: 'l2' })
  const points = Array.from({ length: count }, (_, n) => ({
    ...{ id: `p${n}`, vector: [n, 1, 2], metadata: { n } },
  }))
  await service.must('POST', '/vectors/indexes/docs/points', { points })
}

/** The result of an operation, once it has ended. */
async function outcome(service: Service, { body }: Reply): Promise<unknown> {
  const { operation_id: id } = body as { operation_id: string }
  const reply = await service.eventually(`/operations/${id}`, (one) => {
    return (one.body as { ended_at: string | null }).ended_at !== null
  })
  const { state, result, error } = reply.body as Record<string, unknown>
  assert.equal(state, 'succeeded', JSON.stringify(error))
  return result
}

it('made, checked, copied and restored as operations, also when the index is gone', async (t) => {
  const root = await temporaryFolder(t)
  const service = await startService(root)
  t.after(() => service.kill())
  await service.ready()
  await fill(service, 3000)
  const expected = await rows(service, 'docs')
  await service.must('POST', '/storage/buckets', {
    ...{ name: 'vault', backend: 'local', root: join(root, 'vault') },
  })
  const begun = await service.request('POST', SNAPSHOTS, { note: 'before the change' })
  assert.equal(begun.status, 202)
  const made = (await outcome(service, begun)) as SnapshotBody
  assert.deepEqual(
    [made.lsn, made.points, made.note, made.bucket],
    [1, 3000, 'before the change', 'primary'],
  )
  // Nothing has to be said of one.
  const bare = (await service.must('POST', `${SNAPSHOTS}?wait=true`)) as SnapshotBody
  assert.ok(bare.id > made.id)
  await service.must('POST', '/vectors/indexes/docs/points/delete', { ids: ['p0'] })
  const at = `${SNAPSHOTS}/${made.id}`
  assert.deepEqual(await service.must('GET', at), made)
  const report = (await service.must('POST', `${at}/verify?wait=true`)) as { clean: boolean }
  assert.equal(report.clean, true)
  const copy = await service.must('POST', `${at}/copy?wait=true`, { bucket: 'vault' })
  assert.deepEqual(copy, { ...made, bucket: 'vault' })
  const taken = await service.request('POST', `${at}/restore`, { name: 'docs' })
  assert.deepEqual([taken.status, codeOf(taken)], [409, 'index_exists'])
  await service.must('DELETE', '/vectors/indexes/docs')
  const { snapshots } = (await service.must('GET', SNAPSHOTS)) as { snapshots: SnapshotBody[] }
  assert.deepEqual(
    snapshots.map(({ id }) => id),
    [bare.id, made.id],
  )
  assert.equal((await service.request('DELETE', at)).status, 204)
  const gone = await service.request('GET', at)
  assert.deepEqual([gone.status, codeOf(gone)], [404, 'snapshot_not_found'])
  const restoring = await service.request('POST', `${at}/restore?bucket=vault`, { name: 'again' })
  assert.equal(restoring.status, 202, restoring.text)
  const restored = (await outcome(service, restoring)) as { index: Record<string, unknown> }
  assert.deepEqual(
    [restored.index['name'], restored.index['bucket'], restored.index['points']],
    ['again', 'vault', 3000],
  )
  const stats = restored.index['stats'] as Record<string, number>
  assert.ok((stats['graph_elements'] ?? 0) > 0, 'its graph came with it')
  assert.equal(await rows(service, 'again'), expected)
  await service.stop()
  const next = await startService(root)
  t.after(() => next.kill())
  await next.ready()
  assert.equal(await rows(next, 'again'), expected, 'and it is there after a restart')
})

it('what is asked for badly is refused, and a key stays within its names', async (t) => {
  const keys = [keyLine('all', 'admin', 'a-secret'), keyLine('team', 'admin', 't-secret', 'docs')]
  const service = await startService(await temporaryFolder(t), {
    env: { VECTORD_AUTH_KEYS: keys.join(','), VECTORD_RESCUE_ENABLED: 'true' },
  })
  t.after(() => service.kill())
  const all = bearer('a-secret')
  const send = (method: string, path: string, body?: unknown, key = all): Promise<Reply> =>
    service.request(method, path, body, key)
  await service.eventually('/readyz', ({ status }) => status === 200)
  await send('POST', '/vectors/indexes', { name: 'docs', dimension: 3, metric: 'l2' })
  const made = await send('POST', `${SNAPSHOTS}?wait=true`, {})
  const { id } = made.body as SnapshotBody
  const absent = '000000000000-0000000000000000'
  for (const [method, path, body, status, code] of [
    ['POST', SNAPSHOTS, { note: '' }, 400, 'bad_request'],
    ['POST', SNAPSHOTS, { notes: 'x' }, 400, 'bad_request'],
    ['POST', SNAPSHOTS, { bucket: 'none' }, 404, 'bucket_not_found'],
    ['POST', SNAPSHOTS, { bucket: 'rescue' }, 403, 'bucket_protected'],
    ['POST', `${SNAPSHOTS}/${id}/copy`, { bucket: 'rescue' }, 403, 'bucket_protected'],
    [
      'POST',
      `${SNAPSHOTS}/${id}/restore`,
      { name: 'x', bucket: 'rescue' },
      403,
      'bucket_protected',
    ],
    ['POST', '/vectors/indexes/none/snapshots', {}, 404, 'index_not_found'],
    ['GET', `${SNAPSHOTS}?limit=0`, undefined, 400, 'bad_request'],
    ['GET', `${SNAPSHOTS}?cursor=x`, undefined, 400, 'bad_request'],
    ['GET', `${SNAPSHOTS}?bucket=none`, undefined, 404, 'bucket_not_found'],
    ['GET', `${SNAPSHOTS}/..%2Fx`, undefined, 400, 'bad_request'],
    ['GET', `${SNAPSHOTS}/${absent}`, undefined, 404, 'snapshot_not_found'],
    ['DELETE', `${SNAPSHOTS}/${absent}`, undefined, 404, 'snapshot_not_found'],
    ['POST', `${SNAPSHOTS}/${absent}/verify`, undefined, 404, 'snapshot_not_found'],
    ['POST', `${SNAPSHOTS}/${absent}/copy`, { bucket: 'primary' }, 404, 'snapshot_not_found'],
    ['POST', `${SNAPSHOTS}/${id}/copy`, {}, 400, 'bad_request'],
    ['POST', `${SNAPSHOTS}/${id}/restore`, { name: 'a/b' }, 400, 'invalid_name'],
    ['POST', `${SNAPSHOTS}/${id}/restore`, { name: 'x', bucket: 'none' }, 404, 'bucket_not_found'],
    ['POST', `${SNAPSHOTS}/${id}/restore`, { name: 'docs' }, 409, 'index_exists'],
  ] as const) {
    const reply = await send(method, path, body)
    assert.deepEqual([reply.status, codeOf(reply)], [status, code], `${method} ${path}`)
  }
  const restore = `${SNAPSHOTS}/${id}/restore?wait=true`
  const beyond = await send('POST', restore, { name: 'other' }, bearer('t-secret'))
  assert.deepEqual([beyond.status, codeOf(beyond)], [403, 'forbidden'])
  const within = await send('POST', restore, { name: 'docs2' }, bearer('t-secret'))
  assert.equal(within.status, 200, within.text)
})

it('a snapshot that is asked for again under the same Idempotency-Key is the same', async (t) => {
  const service = await startService(await temporaryFolder(t))
  t.after(() => service.kill())
  await service.ready()
  await fill(service, 3)
  const once = { 'idempotency-key': 'once' }
  const make = (headers: Readonly<Record<string, string>>): Promise<Reply> =>
    service.request('POST', `${SNAPSHOTS}?wait=true`, { note: 'n' }, headers)
  const [first, again, other] = [await make(once), await make(once), await make({})]
  assert.deepEqual(again.body, first.body)
  assert.notEqual((other.body as SnapshotBody).id, (first.body as SnapshotBody).id)
  const list = (await service.must('GET', SNAPSHOTS)) as { snapshots: unknown[] }
  assert.equal(list.snapshots.length, 2)
})

it(`killed ${KILLS} times while it restores, the index is there whole or its name is free`, async (t) => {
  const root = await temporaryFolder(t)
  let service = await startService(root)
  t.after(() => service.kill())
  await service.ready()
  await fill(service, 5000)
  const expected = await rows(service, 'docs')
  const { id } = (await service.must('POST', `${SNAPSHOTS}?wait=true`)) as SnapshotBody
  const outcomes: string[] = []
  for (let kill = 0; kill < KILLS; kill += 1) {
    const name = `again${kill}`
    const begun = await service.request('POST', `${SNAPSHOTS}/${id}/restore`, { name })
    assert.equal(begun.status, 202, begun.text)
    await sleep(10 * kill)
    await service.kill()
    service = await startService(root)
    await service.ready()
    const there = await service.request('GET', `/vectors/indexes/${name}`)
    outcomes.push(there.status === 200 ? 'whole' : 'none')
    if (there.status !== 200) {
      assert.equal(codeOf(there), 'index_not_found')
      await service.must('POST', `${SNAPSHOTS}/${id}/restore?wait=true`, { name })
    }
    assert.equal(await rows(service, name), expected)
    await service.must('DELETE', `/vectors/indexes/${name}`)
  }
  t.diagnostic(outcomes.join())
  const report = await service.must('POST', `${SNAPSHOTS}/${id}/verify?wait=true`)
  assert.equal((report as { clean: boolean }).clean, true)
})
