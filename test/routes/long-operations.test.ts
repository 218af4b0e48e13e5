/** The HTTP contract of long work: 202 and its operation, progress, results, cancelling, rights. */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { parseApiKeys } from '../../src/http/auth.ts'
import { VectordError } from '../../src/lib/errors.ts'
import { bearer, keyLine, openApp, type TestApp } from '../support/http-app.ts'

const URL = '/vectors/indexes/words'

interface Json {
  readonly operation_id: string
  readonly state: string
}

/** Starts an operation and answers its id. */
async function start({ send }: TestApp, url: string): Promise<string> {
  const reply = await send('POST', url)
  assert.equal(reply.status, 202, reply.text)
  const { operation_id: id } = reply.body as Json
  assert.deepEqual(
    [reply.body, reply.headers['location']],
    [{ operation_id: id }, `/operations/${id}`],
  )
  return id
}

/** Makes the checkpoints of an index wait until `end` is called. */
function hold({ indexes }: TestApp, name: string): { readonly end: () => void } {
  const { promise, resolve } = Promise.withResolvers<{ lsn: number; written: boolean }>()
  indexes.get(name).checkpoint = () => promise
  return { end: () => resolve({ lsn: 9, written: true }) }
}

async function open(t: Parameters<typeof openApp>[0]): Promise<TestApp> {
  const app = await openApp(t)
  await app.send('POST', '/vectors/indexes', { name: 'words', dimension: 3 })
  return app
}

it('202: the result of the operation is what ?wait=true answers', async (t) => {
  const app = await open(t)
  for (const verb of ['checkpoint', 'verify']) {
    const id = await start(app, `${URL}/${verb}`)
    const waited = await app.send('POST', `${URL}/${verb}?wait=true`)
    const { status, body } = await app.send('GET', `/operations/${id}`)
    assert.equal(status, 200)
    const {
      created_at: createdAt,
      ended_at: endedAt,
      stage,
      ...rest
    } = body as Record<string, unknown>
    assert.deepEqual([createdAt, endedAt, typeof stage], [endedAt, createdAt, 'string'])
    assert.deepEqual(rest, {
      ...{ operation_id: id, kind: verb, index: 'words', state: 'succeeded' },
      ...{ done: null, total: null, eta_s: null, result: waited.body },
    })
  }
})

it('200: it runs until its work is done', async (t) => {
  const app = await open(t)
  const { end } = hold(app, 'words')
  const id = await start(app, `${URL}/checkpoint?wait=false`)
  assert.match((await app.send('GET', `/operations/${id}`)).text, /"state":"running","stage":"wri/)
  end()
  await app.send('POST', `${URL}/checkpoint?wait=true`)
  const { text } = await app.send('GET', `/operations/${id}`)
  assert.match(text, /"state":"succeeded".*"result":\{"lsn":9,"written":true\}/)
})

it('200: a failed operation keeps its error; the unexpected is told to nobody but the log', async (t) => {
  const app = await open(t)
  const details = { free_bytes: 0 }
  app.indexes.get('words').failure = new VectordError('storage_full', 'It is full.', { details })
  const full = await start(app, `${URL}/checkpoint`)
  app.indexes.get('words').failure = new Error('a secret')
  const broken = await start(app, `${URL}/verify`)
  const error = { code: 'storage_full', message: 'It is full.', retryable: true, details }
  const shown = (await app.send('GET', `/operations/${full}`)).body as Record<string, unknown>
  assert.deepEqual([shown['state'], shown['error'], 'result' in shown], ['failed', error, false])
  const { text } = await app.send('GET', `/operations/${broken}`)
  assert.match(text, /"state":"failed".*"code":"internal"/)
  assert.doesNotMatch(text, /secret/)
  assert.equal(app.troubles.length, 2)
  await app.send('POST', `${URL}/verify?wait=true`)
  assert.equal(app.troubles.length, 2, 'who waits is told by the answer')
})

it('202 and 200: DELETE asks running work to stop, and takes waiting work out of the queue', async (t) => {
  const app = await open(t)
  const { end } = hold(app, 'words')
  const running = await start(app, `${URL}/checkpoint`)
  const queued = await start(app, `${URL}/checkpoint`)
  assert.equal(await start(app, `${URL}/checkpoint`), queued, 'the one that waits is shared')
  const waiting = app.send('POST', `${URL}/checkpoint?wait=true`)
  const asked = await app.send('DELETE', `/operations/${running}`)
  assert.equal(asked.status, 202)
  assert.match(asked.text, /"state":"running","stage":"cancelling"/)
  const cancelled = await app.send('DELETE', `/operations/${queued}`)
  assert.equal(cancelled.status, 200)
  assert.match(cancelled.text, /"state":"cancelled".*"error":\{"code":"operation_cancelled"/)
  const refused = await waiting
  assert.deepEqual([refused.status, refused.code], [409, 'operation_cancelled'])
  end()
  await app.send('POST', `${URL}/checkpoint?wait=true`)
  const again = await app.send('DELETE', `/operations/${running}`)
  assert.equal(again.status, 200)
  assert.match(again.text, /"state":"succeeded"/, 'a checkpoint that has begun runs to its end')
})

it('200: pages of operations; 400: odd limits, cursors and queries', async (t) => {
  const app = await open(t)
  const ids = new Set<string>()
  for (let i = 0; i < 3; i += 1) {
    ids.add(await start(app, `${URL}/verify`))
    await app.send('POST', `${URL}/checkpoint?wait=true`)
  }
  assert.equal(ids.size, 3)
  const seen: string[] = []
  let cursor: string | null = ''
  while (cursor !== null) {
    const query: string = cursor === '' ? '' : `&cursor=${cursor}`
    const { body } = await app.send('GET', `/operations?limit=4${query}`)
    const page = body as { operations: Json[]; next_cursor: string | null }
    seen.push(...page.operations.map((operation) => operation.operation_id))
    cursor = page.next_cursor
  }
  assert.equal(new Set(seen).size, 6)
  assert.equal(seen.length, 6)
  for (const id of ids) assert.ok(seen.includes(id))
  for (const query of ['limit=0', 'limit=1001', 'cursor=x', 'state=running']) {
    assert.equal((await app.send('GET', `/operations?${query}`)).status, 400, query)
  }
  for (const query of ['wait=1', 'wait=', 'wait=yes', 'wait=true&wait=true', 'now=true']) {
    assert.equal((await app.send('POST', `${URL}/verify?${query}`)).status, 400, query)
  }
})

it('404: an unknown operation, and for a limited key one of another index', async (t) => {
  const keys = parseApiKeys([
    keyLine('boss', 'admin', 'all'),
    keyLine('team', 'write', 'team', 'team_'),
  ])
  const app = await openApp(t, { keys })
  for (const name of ['team_x', 'other']) {
    await app.send('POST', '/vectors/indexes', { name, dimension: 3 }, bearer('all'))
    await app.send('POST', `/vectors/indexes/${name}/verify`, undefined, bearer('all'))
  }
  const list = async (secret: string): Promise<Map<string, string>> => {
    const { body } = await app.send('GET', '/operations', undefined, bearer(secret))
    const { operations } = body as { operations: { index: string; operation_id: string }[] }
    return new Map(operations.map(({ index, operation_id: id }) => [index, id]))
  }
  const all = await list('all')
  assert.deepEqual([...all.keys()].sort(), ['other', 'team_x'])
  assert.deepEqual([...(await list('team')).keys()], ['team_x'])
  const own = `/operations/${String(all.get('team_x'))}`
  assert.equal((await app.send('GET', own, undefined, bearer('team'))).status, 200)
  assert.equal((await app.send('DELETE', own, undefined, bearer('team'))).status, 200)
  for (const method of ['GET', 'DELETE']) {
    for (const id of [String(all.get('other')), 'unknown']) {
      const reply = await app.send(method, `/operations/${id}`, undefined, bearer('team'))
      assert.deepEqual([reply.status, reply.code], [404, 'operation_not_found'])
    }
  }
})
