/** A Lance index as a file: the points of exactly one version. */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { startService, temporaryFolder } from '../support/service.ts'

const INDEX = '/vectors/indexes/shelf'

interface Row {
  readonly id: string
  readonly vector?: readonly number[]
  readonly text?: string
  readonly metadata?: { readonly n: number; readonly round: number }
}

function rowOf(n: number, round: number): Row {
  const text = n % 3 === 0 ? { text: `it's "${n}"` } : {}
  return { id: `p'${n}`, vector: [n, round + 0.25], metadata: { n, round }, ...text }
}

function rowsIn(text: string): Row[] {
  const lines = text.split('\n').filter((line) => line !== '')
  return lines.map((line) => JSON.parse(line) as Row)
}

function byId(rows: Iterable<Row>): Row[] {
  return [...rows].sort((a, b) => (a.id < b.id ? -1 : 1))
}

it('a file has the points of the version that its header names, while writes go on', async (t) => {
  const service = await startService(await temporaryFolder(t))
  t.after(() => service.kill())
  await service.ready()
  const index = { name: 'shelf', dimension: 2, metric: 'l2', backend: 'lance' }
  await service.must('POST', '/vectors/indexes', index)
  const empty = await service.request('GET', `${INDEX}/export?format=ndjson`)
  assert.deepEqual([empty.status, empty.text], [200, ''])

  const states = new Map<number, Map<string, Row>>()
  let state = new Map<string, Row>()
  const write = async (points: readonly Row[]): Promise<void> => {
    const answer = await service.must('POST', `${INDEX}/points`, { points })
    state = new Map([...state, ...points.map((row) => [row.id, row] as const)])
    states.set((answer as { lsn: number }).lsn, state)
  }
  await write(Array.from({ length: 3000 }, (_, n) => rowOf(n, 0)))
  const over = new AbortController()
  const writing = (async () => {
    for (let round = 1; !over.signal.aborted; round += 1) {
      await write(Array.from({ length: 20 }, (_, i) => rowOf((13 * round + i) % 3100, round)))
    }
  })()
  const files: { readonly lsn: number; readonly rows: Row[] }[] = []
  for (let file = 0; file < 2; file += 1) {
    const reply = await service.request('GET', `${INDEX}/export?format=ndjson`)
    assert.equal(reply.status, 200, reply.text)
    const lsn = Number(reply.headers.get('x-vectord-lsn'))
    files.push({ lsn, rows: rowsIn(reply.text) })
  }
  over.abort()
  await writing
  for (const { lsn, rows } of files) {
    const expected = states.get(lsn) ?? assert.fail(`nothing is known of lsn ${lsn}`)
    assert.deepEqual(byId(rows), byId(expected.values()))
  }

  const filter = encodeURIComponent('{"n":{"$lt":4}}')
  const some = await service.request(
    ...(['GET', `${INDEX}/export?format=csv&include_vectors=false&filter=${filter}`] as const),
  )
  const [head, ...lines] = some.text.trimEnd().split('\n')
  assert.equal(head?.trimEnd(), 'id,text,metadata,version')
  assert.equal(lines.length, 4)
  assert.equal((await service.request('GET', `${INDEX}/export?format=parquet`)).status, 200)
  const [path, body] = [`${INDEX}/snapshots`, {}]
  const refused = await service.request('POST', path, body)
  assert.equal((refused.body as { error: { code: string } }).error.code, 'wrong_backend')
  assert.equal((await service.request('GET', '/vectors/indexes/none/export')).status, 404)
})
