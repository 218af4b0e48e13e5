/**
 * Kept versions in a real service: overwrite, delete, kill, restart, and the same answers; then fewer
 * are kept, and what goes is said.
 */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { startService, temporaryFolder, type Reply, type Service } from '../support/service.ts'

const URL = '/vectors/indexes/notes'
/** Enough for several parts and two shards, few enough for a scan. */
const POINTS = 300

interface Answer {
  readonly results: { readonly id: string; readonly version: number; readonly distance: number }[]
  readonly as_of: { readonly complete: boolean; readonly complete_from: number }
}

/** Every point at `n` in one write. */
async function writeAll(service: Service, n: number): Promise<number> {
  const points = Array.from({ length: POINTS }, (_, i) => {
    return { id: `p${i}`, vector: [n * 1000 + i, 0, 1], metadata: { n, even: i % 2 === 0 } }
  })
  const { lsn } = (await service.must('POST', `${URL}/points`, { points })) as { lsn: number }
  return lsn
}

async function deleteEven(service: Service): Promise<number> {
  const filter = { even: true }
  const reply = await service.must('POST', `${URL}/points/delete`, { filter })
  return (reply as { lsn: number }).lsn
}

async function searchAt(service: Service, as_of: number, more: object = {}): Promise<Answer> {
  const body = { vector: [0, 0, 1], k: 5, as_of, ...more }
  return (await service.must('POST', `${URL}/search`, body)) as Answer
}

/** What can be read of the past, apart from how long it took. */
async function past(service: Service, lsns: readonly number[]): Promise<unknown> {
  const answers: unknown[] = []
  for (const lsn of lsns) {
    for (const more of [{}, { filter: { even: false } }, { vector: undefined, id: 'p7' }]) {
      const { results, as_of } = await searchAt(service, lsn, more)
      answers.push({ results, as_of })
    }
  }
  for (const id of ['p0', 'p1', 'p299']) {
    const whole = `${URL}/points/${id}/versions?include=metadata,vector`
    answers.push(((await service.must('GET', whole)) as { versions: unknown }).versions)
  }
  return answers
}

it('overwritten and deleted versions are read as before after kill -9, until fewer are kept', async (t) => {
  const root = await temporaryFolder(t)
  let service = await startService(root)
  t.after(() => service.kill())
  await service.ready()
  const settings = { name: 'notes', dimension: 3, metric: 'l2', shards: 2 }
  const retention = { keep_last_versions: 3 }
  await service.must('POST', '/vectors/indexes', { ...settings, retention })
  const first = await writeAll(service, 1)
  const second = await writeAll(service, 2)
  await service.must('POST', `${URL}/checkpoint?wait=true`)
  const gone = await deleteEven(service)
  const last = await writeAll(service, 3)
  const lsns = [first, second, gone, last]

  const versionsAt = async (lsn: number): Promise<number[]> =>
    (await searchAt(service, lsn)).results.map(({ version }) => version)
  assert.deepEqual(await versionsAt(second), [second, second, second, second, second])
  assert.deepEqual((await searchAt(service, gone)).results[0]?.id, 'p1')
  // The first version of even points was given up when their third was deleted and they came back.
  const { as_of } = await searchAt(service, first)
  assert.deepEqual([as_of.complete, as_of.complete_from], [false, second])
  const before = await past(service, lsns)

  await service.kill()
  service = await startService(root)
  await service.ready()
  assert.deepEqual(await past(service, lsns), before, 'after a kill')
  const points = [{ id: 'x', vector: [9e6, 0, 1] }]
  await service.must('POST', `${URL}/points`, { points })
  await service.must('POST', `${URL}/checkpoint?wait=true`)
  assert.equal(await service.stop(), 0)
  service = await startService(root)
  await service.ready()
  assert.deepEqual(await past(service, lsns), before, 'after a checkpoint and a stop')
  const verified = await service.must('POST', `${URL}/verify?wait=true`)
  assert.equal((verified as { clean: boolean }).clean, true)

  const odd = POINTS / 2
  assert.ok(keeps(3 * odd)(await service.request('GET', URL)))
  const fewer = { retention: { keep_last_versions: 2 } }
  await service.must('PATCH', URL, fewer)
  // The drop worker gives them up.
  await service.eventually(URL, keeps(odd))
  assert.equal((await searchAt(service, gone)).as_of.complete, true)
  assert.deepEqual((await searchAt(service, second)).as_of, {
    ...{ lsn: second, complete: false, complete_from: gone },
  })
  assert.equal((await service.request('GET', `${URL}/points/p1?version=${first}`)).status, 404)
  assert.equal((await service.request('GET', `${URL}/points/p1?version=${second}`)).status, 200)

  const lowered = await past(service, lsns.slice(2))
  await service.kill()
  service = await startService(root)
  await service.ready()
  assert.deepEqual(await past(service, lsns.slice(2)), lowered, 'a kill brings none back')
  const now = await service.must('POST', `${URL}/search`, { vector: [0, 0, 1], k: 1 })
  assert.deepEqual((now as Answer).results[0]?.version, last)
  const future = await service.request('POST', `${URL}/search`, { vector: [0, 0, 1], as_of: 1e6 })
  assert.equal(future.status, 400, future.text)
})

it('kept versions go along when an index moves to another bucket, and are there after kill -9', async (t) => {
  const root = await temporaryFolder(t)
  let service = await startService(root)
  t.after(() => service.kill())
  await service.ready()
  const cold = { name: 'cold', backend: 'local', root: await temporaryFolder(t) }
  await service.must('POST', '/storage/buckets', cold)
  const settings = { name: 'notes', dimension: 3, metric: 'l2', shards: 2 }
  const retention = { keep_last_versions: 3 }
  await service.must('POST', '/vectors/indexes', { ...settings, retention })
  const first = await writeAll(service, 1)
  const gone = await deleteEven(service)
  const last = await writeAll(service, 2)
  const before = await past(service, [first, gone, last])
  await service.must('PATCH', `${URL}?wait=true`, { bucket: 'cold' })
  assert.deepEqual(await past(service, [first, gone, last]), before)
  await service.kill()
  service = await startService(root)
  await service.ready()
  assert.deepEqual(await past(service, [first, gone, last]), before, 'after a kill')
})

function keeps(versions: number): (reply: Reply) => boolean {
  return ({ body }) =>
    (body as { stats: { kept_versions: number } }).stats.kept_versions === versions
}
