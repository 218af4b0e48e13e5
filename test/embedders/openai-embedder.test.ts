/**
 * The embedder of OpenAI's protocol keeps the contract, whatever its server answers; keys are sent, and
 * never told.
 */

import assert from 'node:assert/strict'
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { inspect } from 'node:util'
import type { Embedder } from '../../src/embedders/embedder.ts'
import { openAiEmbedder, type OpenAiSettings } from '../../src/embedders/openai-embedder.ts'
import { hasCode, VectordError, type ErrorCode } from '../../src/lib/errors.ts'
import { startOpenAi, type OpenAiFault, type OpenAiServer } from '../support/openai-server.ts'
import { embedderSuite } from './embedder.suite.ts'

interface Opened {
  readonly server: OpenAiServer
  readonly embedder: Embedder
}

interface Options extends Partial<OpenAiSettings> {
  /** What the server asks for. */
  readonly serverKey?: string
}

async function open(t: TestContext, { serverKey, ...settings }: Options = {}): Promise<Opened> {
  const server = await startOpenAi(serverKey === undefined ? {} : { key: serverKey })
  const embedder = openAiEmbedder({
    ...{ url: server.url, model: 'text-embedding', key: { kind: 'value', key: '' } },
    ...{ timeoutMs: 10_000, batchMax: 16, retries: 2, backoffMs: 1 },
    ...settings,
  })
  t.after(async () => {
    await embedder.close()
    await server.close()
  })
  return { server, embedder }
}

embedderSuite('openai', async (t) => (await open(t)).embedder)

const FAULTS: readonly (readonly [OpenAiFault, ErrorCode, number])[] = [
  ['status_400', 'embedder_failed', 1],
  ['status_404', 'embedder_unavailable', 1],
  ['status_302', 'embedder_unavailable', 1],
  ['status_429', 'embedder_unavailable', 3],
  ['status_503', 'embedder_unavailable', 3],
  ['closed', 'embedder_unavailable', 3],
  ['half_answer', 'embedder_unavailable', 3],
  ['not_json', 'embedder_unavailable', 1],
  ['odd_answer', 'embedder_unavailable', 1],
  ['huge', 'embedder_unavailable', 1],
  ['wrong_dimension', 'embedder_mismatch', 2],
  ['missing_vector', 'embedder_failed', 1],
  ['same_index', 'embedder_failed', 1],
  ['null_number', 'embedder_failed', 1],
  ['text_number', 'embedder_failed', 1],
  ['too_large_number', 'embedder_failed', 1],
  ['zero', 'embedder_failed', 1],
  ['other_model', 'embedder_mismatch', 1],
]

describe('faults of a server of the protocol', () => {
  for (const [fault, code, tries] of FAULTS) {
    it(`${fault} is ${code} after ${tries} tries, and passes with the fault`, async (t) => {
      const { server, embedder } = await open(t)
      await embedder.identity()
      server.arm(fault, tries)
      await assert.rejects(embedder.embed(['a', 'b']), (error) => hasCode(error, code))
      assert.equal(server.calls.length, 1 + tries)
      assert.equal((await embedder.embed(['a', 'b'])).length, 2)
    })
  }

  it('vectors of another length are the fault of their texts where others are as ever', async (t) => {
    const { server, embedder } = await open(t)
    await embedder.identity()
    server.arm('wrong_dimension', 1)
    await assert.rejects(embedder.embed(['a']), (error) => hasCode(error, 'embedder_failed'))
    assert.equal((await embedder.embed(['a'])).length, 1)
  })

  it('no identity is learned from vectors that cannot be used', async (t) => {
    const { server, embedder } = await open(t)
    for (const fault of ['null_number', 'zero', 'same_index', 'status_400'] as const) {
      server.arm(fault, 1)
      await assert.rejects(embedder.identity(), (error) => hasCode(error, 'embedder_unavailable'))
    }
    assert.equal((await embedder.identity()).dimension, 48)
  })
})

describe('500', () => {
  it('for a text is told at once, and holds up nobody else', async (t) => {
    const { server, embedder } = await open(t, { backoffMs: 3_600_000 })
    await embedder.identity()
    server.stumbleOver('too long')
    await assert.rejects(embedder.embed(['a', 'too long']), (error) => {
      return hasCode(error, 'embedder_failed') && error.details['told'] === 'too large to process'
    })
    assert.equal((await embedder.embed(['a'])).length, 1)
    // Who it is; twice the texts, each time with a text beside that is surely fine; the other text.
    const stumbled = server.calls.map(({ body }) => body.input.includes('too long'))
    assert.deepEqual(stumbled, [false, true, false, true, false, false])
  })

  it('that passes is no fault of a text', async (t) => {
    const { server, embedder } = await open(t)
    await embedder.identity()
    server.arm('status_500', 3)
    assert.equal((await embedder.embed(['a'])).length, 1)
    assert.equal(server.calls.length, 1 + 3 + 2)
  })

  it('for whatever it is asked is a fault of the server', async (t) => {
    const { server, embedder } = await open(t)
    await embedder.identity()
    server.arm('status_500', 4)
    await assert.rejects(embedder.embed(['a']), (error) => hasCode(error, 'embedder_unavailable'))
    assert.equal(server.calls.length, 1 + 4)
    assert.equal((await embedder.embed(['a'])).length, 1)
  })

  it('before the server goes away is no fault of a text either', async (t) => {
    const { server, embedder } = await open(t)
    await embedder.identity()
    server.stumbleOver('too long')
    const call = embedder.embed(['too long'])
    await server.asked(3)
    server.arm('closed', 4)
    await assert.rejects(call, (error) => hasCode(error, 'embedder_unavailable'))
  })
})

describe('a rate limit', () => {
  it('that is longer than anybody waits is told, and the server is left alone', async (t) => {
    const { server, embedder } = await open(t)
    await embedder.identity()
    server.arm('status_429', 1, { 'retry-after': '60' })
    for (let i = 0; i < 3; i += 1) {
      await assert.rejects(
        embedder.embed(['a']),
        (error) =>
          hasCode(error, 'embedder_unavailable') &&
          error.retryAfterS !== null &&
          error.retryAfterS > 50 &&
          error.retryAfterS <= 60,
      )
    }
    assert.equal(server.calls.length, 2)
  })

  it('may be a date', async (t) => {
    const { server, embedder } = await open(t)
    await embedder.identity()
    const date = new Date(Date.now() + 120_000).toUTCString()
    server.arm('status_429', 1, { 'retry-after': date })
    await assert.rejects(
      embedder.embed(['a']),
      (error) => error instanceof VectordError && (error.retryAfterS ?? 0) > 100,
    )
  })

  it('that is short is waited for', async (t) => {
    const { server, embedder } = await open(t)
    server.arm('status_429', 1, { 'retry-after': '0' })
    assert.equal((await embedder.embed(['a'])).length, 1)
    assert.equal(server.calls.length, 3)
  })
})

describe('the key', () => {
  it('is sent, and a wrong one makes it unavailable', async (t) => {
    const good = await open(t, { serverKey: 'sk-1', key: { kind: 'value', key: 'sk-1' } })
    await good.embedder.embed(['a'])
    assert.equal(good.server.calls[0]?.authorization, 'Bearer sk-1')
    const bad = await open(t, { serverKey: 'sk-1', key: { kind: 'value', key: 'sk-2' } })
    await assert.rejects(bad.embedder.embed(['a']), (error) => {
      return hasCode(error, 'embedder_unavailable') && error.details['reason'] === 'status_401'
    })
  })

  it('is not sent where there is none', async (t) => {
    const { server, embedder } = await open(t)
    await embedder.embed(['a'])
    assert.equal(server.calls[0]?.authorization, undefined)
  })

  it('that cannot be sent is not told either', async (t) => {
    const { embedder } = await open(t, { key: { kind: 'value', key: 'sk\n1' } })
    await assert.rejects(embedder.embed(['a']), (error) => {
      assert.ok(hasCode(error, 'embedder_unavailable'), String(error))
      return error.details['reason'] === 'no_key' && !inspect(error).includes('sk\\n1')
    })
  })

  it('in a file is read before each request, from a file that others cannot read', async (t) => {
    const folder = await mkdtemp(join(tmpdir(), 'vectord-key-'))
    t.after(() => rm(folder, { recursive: true }))
    const path = join(folder, 'key')
    const write = async (text: string): Promise<void> => {
      await writeFile(path, text, { mode: 0o600 })
    }
    const { embedder } = await open(t, { serverKey: 'sk-1', key: { kind: 'file', path } })
    const refused = async (secret: string): Promise<void> => {
      await assert.rejects(embedder.embed(['a']), (error) => {
        assert.ok(hasCode(error, 'embedder_unavailable'), String(error))
        return secret === '' || !JSON.stringify([error.message, error.details]).includes(secret)
      })
    }
    await refused('')
    await write('sk-0')
    await refused('sk-0')
    await write('sk\n1')
    await refused('sk\n1')
    await write('sk-1\n')
    await embedder.embed(['a'])
    await chmod(path, 0o644)
    await refused('sk-1')
    await chmod(path, 0o600)
    await embedder.embed(['b'])
  })
})

it('the address may end with the version of the protocol', async (t) => {
  const plain = await open(t)
  for (const tail of ['', '/', '/v1', '/v1/']) {
    const embedder = openAiEmbedder({
      ...{ url: plain.server.url + tail, model: 'm', key: { kind: 'value', key: '' } },
      ...{ timeoutMs: 10_000, batchMax: 16, retries: 0 },
    })
    await embedder.embed(['a'])
    assert.equal(plain.server.calls.at(-1)?.path, '/v1/embeddings')
  }
})
