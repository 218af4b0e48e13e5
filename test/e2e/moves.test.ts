/**
 * An index moves to and fro between buckets of a real server, under writes, promotions and kill -9.
 */

import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, describe, it, type TestContext } from 'node:test'
import { killLoop } from '../support/kill-loop.ts'
import { startS3Server } from '../support/s3-server.ts'
import { startService, temporaryFolder, type Service } from '../support/service.ts'

const KILLS = 6
const COLD = 'cold'
const INDEX = '/vectors/indexes/kill'

const s3 = await startS3Server()

interface Moves {
  begun: number
  done: number
}

/** Moves the index to the other bucket and counts what became of it. */
async function moveOn(service: Service, moves: Moves): Promise<void> {
  try {
    const { body } = await service.request('GET', INDEX)
    const bucket = (body as { bucket?: string }).bucket === COLD ? 'primary' : COLD
    moves.begun += 1
    const reply = await service.request('PATCH', `${INDEX}?wait=true`, { bucket })
    if (reply.status === 200) moves.done += 1
  } catch {
    // Killed before it answered.
  }
}

/** Keys in a bucket of what belongs to the index, but the trace of its meta. */
async function keysIn(service: Service, bucket: string): Promise<string[]> {
  const keys: string[] = []
  for (const prefix of ['_indexes/kill/', '_hnsw_']) {
    const path = `/storage/buckets/${bucket}/objects?prefix=${prefix}&limit=1000`
    const { objects } = (await service.must('GET', path)) as { objects: { key: string }[] }
    keys.push(...objects.map(({ key }) => key))
  }
  return keys.filter((key) => !key.startsWith('_indexes/kill/meta/'))
}

async function movesUnderKills(
  t: TestContext,
  root: string,
  bucket: Record<string, unknown>,
): Promise<void> {
  const seed = Date.now() % 2 ** 31
  const moves = { begun: 0, done: 0 }
  t.diagnostic(`seed ${seed}`)
  const counts = await killLoop({
    ...{ root, seed, kills: KILLS, killWithinMs: 6000 },
    prepare: async (service) => {
      await service.must('POST', '/storage/buckets', { name: COLD, ...bucket })
    },
    beside: (service) => moveOn(service, moves),
  })
  t.diagnostic(JSON.stringify({ ...counts, ...moves }))
  assert.ok(counts.acknowledged > 200, 'the loop wrote')
  assert.ok(moves.begun > 0, JSON.stringify(moves))

  const service = await startService(root)
  t.after(() => service.kill())
  await service.ready()
  await moveOn(service, moves)
  await moveOn(service, moves)
  assert.ok(moves.done >= 2, 'without kills both moves came to their end')
  const { bucket: home } = (await service.must('GET', INDEX)) as { bucket: string }
  const other = home === COLD ? 'primary' : COLD
  for (let looks = 0; (await keysIn(service, other)).length > 0; looks += 1) {
    assert.ok(looks < 600, `left in ${other}: ${(await keysIn(service, other)).join()}`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  assert.ok((await keysIn(service, home)).length > 5)
  const { dropped } = (await service.must('GET', '/maintenance/drops')) as {
    dropped: { moved_copies: { objects: number } }
  }
  assert.ok(dropped.moved_copies.objects > 5, JSON.stringify(dropped))
}

it(`no acknowledged write is lost where an index moves between folders, over ${KILLS} kills`, async (t) => {
  const root = await temporaryFolder(t)
  const cold = join(await temporaryFolder(t), 'cold')
  await movesUnderKills(t, root, { backend: 'local', root: cold })
})

describe(
  'between a folder and S3',
  { skip: s3 === null ? 'no S3 server can be had' : false },
  () => {
    if (s3 === null) return
    after(() => s3.close())

    it(`no acknowledged write is lost, over ${KILLS} kills`, async (t) => {
      await s3.createBucket('cold')
      const { endpoint, accessKeyId, secretAccessKey } = s3
      await movesUnderKills(t, await temporaryFolder(t), {
        ...{ backend: 's3', bucket: 'cold', endpoint },
        credentials: { access_key_id: accessKeyId, secret_access_key: secretAccessKey },
      })
    })
  },
)
