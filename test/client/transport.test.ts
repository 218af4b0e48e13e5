/**
 * What the client does when answers are bad, late, or do not come: against a server that misbehaves
 * as told.
 */

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { it, type TestContext } from 'node:test'
import { Client, type ClientOptions } from '../../client/client.ts'
import { VectordApiError, VectordConnectionError } from '../../client/errors.ts'
import { retryAfterSeconds, retryDelayMs } from '../../client/retry.ts'
import { freePort } from '../support/free-port.ts'

interface Seen {
  readonly method: string
  readonly url: string
  readonly headers: IncomingMessage['headers']
}

type Behave = (response: ServerResponse, tries: number, request: IncomingMessage) => void

async function serverThat(
  t: TestContext,
  behave: Behave,
  options: Partial<ClientOptions> = {},
): Promise<{ readonly client: Client; readonly seen: Seen[]; readonly url: string }> {
  const seen: Seen[] = []
  const server = createServer((request, response) => {
    const { method = '', url = '', headers } = request
    seen.push({ method, url, headers })
    request.resume()
    request.once('end', () => behave(response, seen.length, request))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return { client: new Client({ url, ...options }), seen, url }
}

function refuse(
  response: ServerResponse,
  status: number,
  code: string,
  headers: Record<string, string> = {},
): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers })
  const error = { code, message: 'No.', retryable: status >= 429, details: {} }
  response.end(JSON.stringify({ status, error, request_id: 'r-1' }))
}

const answer = (response: ServerResponse, json: unknown): void => {
  response.setHeader('content-type', 'application/json').end(JSON.stringify(json))
}

it('waits as long as Retry-After says before it tries again', async (t) => {
  const at: number[] = []
  const { client } = await serverThat(t, (response, tries) => {
    at.push(performance.now())
    if (tries === 1) refuse(response, 429, 'delta_full', { 'retry-after': '1' })
    else answer(response, { lsn: 1, accepted: 1 })
  })
  await client.index('i').upsert([{ id: 'a', vector: [1] }])
  assert.ok((at[1] ?? 0) - (at[0] ?? 0) >= 990)
})

it('gives up at once where Retry-After asks for more than it may wait', async (t) => {
  const { client, seen } = await serverThat(t, (response) => {
    refuse(response, 503, 'overloaded', { 'retry-after': '3600' })
  })
  const error: unknown = await client.indexes.list().catch((e: unknown) => e)
  assert.ok(error instanceof VectordApiError)
  assert.equal(error.retryAfterS, 3600)
  assert.equal(seen.length, 1)
})

it('tries again as often as it may, and then tells the last error', async (t) => {
  const { client, seen } = await serverThat(
    t,
    (response) => {
      response.writeHead(502).end('<html>bad gateway</html>')
    },
    { retriesMax: 2 },
  )
  await assert.rejects(client.indexes.list(), (error) => {
    assert.ok(error instanceof VectordApiError)
    assert.equal(error.code, 'unknown')
    assert.match(error.message, /502.*bad gateway/)
    return true
  })
  assert.equal(seen.length, 3)
})

it('sends one Idempotency-Key in all tries of a promotion, and another in the next', async (t) => {
  const { client, seen } = await serverThat(t, (response, tries) => {
    if (tries === 1) response.destroy()
    else answer(response, { revision: 1 })
  })
  await client.index('i').tuning.promote('t', { ifRevision: 0 })
  await client.index('i').tuning.promote('t', { ifRevision: 1 })
  const keys = seen.map(({ headers }) => headers['idempotency-key'])
  assert.equal(seen.length, 3)
  assert.match(String(keys[0]), /^[0-9a-f]{32}$/)
  assert.equal(keys[0], keys[1])
  assert.notEqual(keys[1], keys[2])
})

it('a step of the configuration is from the revision that there was, in all of its tries', async (t) => {
  let revision = 7
  const { client, seen } = await serverThat(t, (response, _tries, { method, headers }) => {
    if (method === 'GET') answer(response, { revision })
    else if (headers['if-match'] !== `"${revision}"`) refuse(response, 412, 'revision_mismatch')
    else {
      // The step is taken, its answer lost, and the service that is started again knows no keys.
      revision += 1
      response.destroy()
    }
  })
  const { tuning } = client.index('i')
  const lost = (error: unknown): boolean =>
    error instanceof VectordApiError && error.code === 'revision_mismatch'
  await assert.rejects(tuning.rollback(), lost)
  assert.equal(revision, 8)
  await assert.rejects(tuning.rollForward(), lost)
  await assert.rejects(tuning.promote('t'), lost)
  assert.equal(revision, 10)
  const sent = seen.filter(({ method }) => method === 'POST').map(({ headers }) => headers)
  assert.deepEqual(
    sent.map((headers) => headers['if-match']),
    ['"7"', '"7"', '"8"', '"8"', '"9"', '"9"'],
  )
})

it('never repeats what may not be repeated', async (t) => {
  const { client, seen } = await serverThat(t, (response) => response.destroy())
  await assert.rejects(client.indexes.delete('i'), VectordConnectionError)
  await assert.rejects(client.index('i').deleteMatching({ a: 1 }), VectordConnectionError)
  assert.equal(seen.length, 2)
})

it('does not repeat what is wrong, and what waiting does not help', async (t) => {
  const cases = [
    [400, 'invalid_points'],
    [401, 'unauthenticated'],
    [404, 'index_not_found'],
    [412, 'revision_mismatch'],
    [507, 'storage_full'],
  ] as const
  const { client, seen } = await serverThat(t, (response, tries) => {
    const [status, code] = cases[tries - 1] ?? [500, 'internal']
    refuse(response, status, code)
  })
  for (const [, code] of cases) {
    await assert.rejects(client.indexes.list(), (error) => {
      return error instanceof VectordApiError && error.code === code && error.requestId === 'r-1'
    })
  }
  assert.equal(seen.length, cases.length)
})

it('ends a call whose time runs out, also in the middle of its body', async (t) => {
  const { client } = await serverThat(
    t,
    (response, tries) => {
      if (tries > 1) response.writeHead(200, { 'content-length': '100' }).write('{"indexes":')
    },
    { timeoutMs: 60, retriesMax: 1 },
  )
  const error: unknown = await client.indexes.list().catch((e: unknown) => e)
  assert.ok(error instanceof VectordConnectionError)
  assert.equal(error.isTimeout, true)
})

it('a time that no timer can hold is for ever', async (t) => {
  const { client } = await serverThat(t, (response) => {
    setTimeout(() => {
      answer(response, { indexes: [] })
    }, 20)
  })
  for (const timeoutMs of [2 ** 31 - 1, 2 ** 31, 1e12, Infinity]) {
    assert.deepEqual(await client.indexes.list({ timeoutMs }), [])
  }
})

it('a signal ends a call at once, also while it waits for its next try', async (t) => {
  const { client, seen } = await serverThat(t, (response) => {
    refuse(response, 503, 'overloaded', { 'retry-after': '30' })
  })
  const controller = new AbortController()
  const reason = new Error('the user went away')
  const running = client.indexes.list({ signal: controller.signal })
  const startMs = performance.now()
  setTimeout(() => {
    controller.abort(reason)
  }, 50)
  await assert.rejects(running, reason)
  assert.ok(performance.now() - startMs < 5000)
  assert.equal(seen.length, 1)
  await assert.rejects(client.indexes.list({ signal: controller.signal }), reason)
  assert.equal(seen.length, 1)
})

it('a key does not follow a redirect', async (t) => {
  const { client, seen } = await serverThat(
    t,
    (response) => {
      response.writeHead(302, { location: '/elsewhere' }).end()
    },
    { key: 'secret' },
  )
  await assert.rejects(client.indexes.list(), /302/)
  assert.deepEqual(
    seen.map(({ url }) => url),
    ['/vectors/indexes'],
  )
})

it('keeps the path of its URL, encodes names, and refuses what no path can hold', async (t) => {
  const { seen, url } = await serverThat(t, (response) => {
    answer(response, { id: 'x', version: 1 })
  })
  const client = new Client({ url: `${url}/behind/a/proxy/` })
  await client.index('i').fetch('a/../b?c#d%')
  assert.equal(seen[0]?.url, '/behind/a/proxy/vectors/indexes/i/points/a%2F..%2Fb%3Fc%23d%25')
  await assert.rejects(client.index('i').fetch('..'), TypeError)
  await assert.rejects(client.index('i').fetch(''), TypeError)
  assert.equal(seen.length, 1)
})

it('refuses URLs that are none or hold a password, and keys that no header can hold', () => {
  assert.throws(() => new Client({ url: 'nonsense' }), TypeError)
  assert.throws(() => new Client({ url: 'file:///etc/passwd' }), TypeError)
  assert.throws(() => new Client({ url: 'http://me:secret@127.0.0.1' }), /holds no password/)
  for (const key of ['', 'a b', 'tail\n', 'ü']) {
    assert.throws(
      () => new Client({ url: 'http://127.0.0.1', key }),
      (error) => error instanceof TypeError && (key === '' || !error.message.includes(key)),
    )
  }
})

it('says that there was no answer where nobody listens', async () => {
  const url = `http://127.0.0.1:${await freePort()}`
  const client = new Client({ url, retriesMax: 1 })
  await assert.rejects(client.indexes.list(), (error) => {
    assert.ok(error instanceof VectordConnectionError)
    assert.equal(error.isTimeout, false)
    return true
  })
})

it('an import reads its source no faster than batches are answered', async (t) => {
  const waiting: ServerResponse[] = []
  const { client } = await serverThat(t, (response) => {
    waiting.push(response)
  })
  let read = 0
  function* source(): Generator<{ id: string; vector: number[] }> {
    for (; read < 100; read++) yield { id: String(read), vector: [1] }
  }
  const options = { batchPoints: 10, concurrency: 2 }
  const running = client.index('i').import(source(), options)
  while (waiting.length < 2) await new Promise((resolve) => setTimeout(resolve, 5))
  // Two batches are under way; nothing makes the third point of another one be read.
  assert.equal(read, 19)
  let answered = 0
  const pump = setInterval(() => {
    const response = waiting.shift()
    if (response !== undefined) answer(response, { lsn: ++answered, accepted: 10 })
  }, 2)
  const done = await running
  clearInterval(pump)
  assert.deepEqual(
    { accepted: done.accepted, lsn: done.lsn, resumeAt: done.resumeAt },
    { accepted: 100, lsn: 10, resumeAt: 100 },
  )
})

it('waits longer each time, within bounds, and reads both forms of Retry-After', () => {
  const rules = { retriesMax: 20, retryAfterMaxMs: 60_000 }
  const lost = new VectordConnectionError('lost', { isTimeout: false })
  for (let tries = 1; tries <= 20; tries++) {
    for (const random of [0, 0.5, 0.999]) {
      const ms = retryDelayMs(lost, tries, random, rules) ?? NaN
      const full = Math.min(10_000, 200 * 2 ** (tries - 1))
      assert.ok(ms >= full / 2 && ms <= full, `${ms} at try ${tries}`)
    }
  }
  assert.equal(retryDelayMs(lost, 21, 0, rules), null)
  assert.equal(retryDelayMs(new TypeError('a bug'), 1, 0, rules), null)
  assert.equal(retryAfterSeconds('17', 0), 17)
  assert.equal(retryAfterSeconds('Thu, 01 Jan 1970 00:00:30 GMT', 10_000), 20)
  assert.equal(retryAfterSeconds('soon', 0), null)
  assert.equal(retryAfterSeconds(null, 0), null)
})
