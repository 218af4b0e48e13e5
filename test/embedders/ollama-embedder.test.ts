/**
 * The embedder of Ollama keeps the contract, and says of each fault of its server what it means.
 */

import assert from 'node:assert/strict'
import { describe, it, type TestContext } from 'node:test'
import type { Embedder } from '../../src/embedders/embedder.ts'
import { ollamaEmbedder, type OllamaSettings } from '../../src/embedders/ollama-embedder.ts'
import { hasCode, type ErrorCode } from '../../src/lib/errors.ts'
import { startOllama, type OllamaFault, type OllamaServer } from '../support/ollama-server.ts'
import { embedderSuite } from './embedder.suite.ts'

interface Opened {
  readonly server: OllamaServer
  readonly embedder: Embedder
}

async function open(t: TestContext, settings: Partial<OllamaSettings> = {}): Promise<Opened> {
  const server = await startOllama()
  const embedder = ollamaEmbedder({
    ...{ url: server.url, model: 'embed-small', keepAlive: '5m' },
    ...{ timeoutMs: 10_000, batchMax: 16, retries: 2, backoffMs: 1, digestAgeMsMax: 0 },
    ...settings,
  })
  t.after(async () => {
    await embedder.close()
    await server.close()
  })
  return { server, embedder }
}

embedderSuite('ollama', async (t) => (await open(t)).embedder)

/** What the server is told, what the caller learns, and how often it was asked. */
const FAULTS: readonly (readonly [OllamaFault, ErrorCode, number])[] = [
  ['no_model', 'embedder_unavailable', 1],
  ['wrong_dimension', 'embedder_mismatch', 2],
  ['missing_vector', 'embedder_failed', 1],
  ['half_answer', 'embedder_unavailable', 3],
  ['not_json', 'embedder_unavailable', 1],
  ['huge', 'embedder_unavailable', 1],
  ['status_429', 'embedder_unavailable', 3],
  ['status_503', 'embedder_unavailable', 3],
  ['status_400', 'embedder_failed', 1],
  ['closed', 'embedder_unavailable', 3],
]

describe('faults of an Ollama server', () => {
  for (const [fault, code, tries] of FAULTS) {
    it(`${fault} is ${code} after ${tries} tries, and passes with the fault`, async (t) => {
      const { server, embedder } = await open(t)
      await embedder.identity()
      const before = server.calls('/api/embed').length
      server.arm('/api/embed', fault, tries)
      await assert.rejects(embedder.embed(['a', 'b']), (error) => hasCode(error, code))
      assert.equal(server.calls('/api/embed').length - before, tries)
      assert.equal((await embedder.embed(['a', 'b'])).length, 2)
    })
  }

  it('500 for whatever it is asked is a fault of the server', async (t) => {
    const { server, embedder } = await open(t)
    await embedder.identity()
    server.arm('/api/embed', 'status_500', 4)
    await assert.rejects(embedder.embed(['a']), (error) => hasCode(error, 'embedder_unavailable'))
    assert.equal((await embedder.embed(['a'])).length, 1)
  })

  it('what fails once is asked again, and nobody notices', async (t) => {
    const { server, embedder } = await open(t)
    server.arm('/api/embed', 'closed', 1)
    server.arm('/api/embed', 'status_500', 1)
    server.arm('/api/tags', 'half_answer', 1)
    assert.equal((await embedder.embed(['a'])).length, 1)
  })

  it('a server that does not answer in time is unavailable, unless it does for others', async (t) => {
    const { server, embedder } = await open(t, { timeoutMs: 500 })
    await embedder.identity()
    server.arm('/api/embed', 'hang', 2)
    await assert.rejects(
      embedder.embed(['a']),
      (error) => hasCode(error, 'embedder_unavailable') && error.details['reason'] === 'timeout',
    )
    server.arm('/api/embed', 'hang', 1)
    await assert.rejects(
      embedder.embed(['a']),
      (error) => hasCode(error, 'embedder_failed') && error.details['reason'] === 'timeout',
    )
  })

  it('a server that is gone is unavailable, and who it was is not forgotten', async (t) => {
    const { server, embedder } = await open(t)
    const identity = await embedder.identity()
    await server.close()
    await assert.rejects(embedder.embed(['a']), (error) => hasCode(error, 'embedder_unavailable'))
    assert.deepEqual(await embedder.identity(), identity)
  })

  it('a failed look for who it is does not stick', async (t) => {
    const { server, embedder } = await open(t)
    server.arm('/api/embed', 'no_model', 1)
    await assert.rejects(embedder.identity(), (error) => hasCode(error, 'embedder_unavailable'))
    assert.equal((await embedder.identity()).dimension, 32)
  })
})

describe('a model that is pulled anew', () => {
  it('is refused, and so is everything until the old one is back', async (t) => {
    const { server, embedder } = await open(t)
    server.addModel('embed-small', { digest: 'one' })
    assert.equal((await embedder.identity()).version, 'one')
    server.addModel('embed-small', { digest: 'two' })
    for (let i = 0; i < 2; i += 1) {
      await assert.rejects(
        embedder.embed(['a']),
        (error) =>
          hasCode(error, 'embedder_mismatch') &&
          error.details['expected'] === 'one' &&
          error.details['found'] === 'two',
      )
    }
    server.addModel('embed-small', { digest: 'one' })
    assert.equal((await embedder.embed(['a'])).length, 1)
  })

  it('that was removed is unavailable', async (t) => {
    const { server, embedder } = await open(t)
    await embedder.identity()
    server.removeModel('embed-small')
    await assert.rejects(
      embedder.embed(['a']),
      (error) =>
        hasCode(error, 'embedder_unavailable') && error.details['reason'] === 'model_not_found',
    )
  })
})

it('sends batches of the configured size, with how long the model is to stay', async (t) => {
  const { server, embedder } = await open(t, { keepAlive: '-1' })
  await embedder.embed(Array.from({ length: 20 }, (_, i) => `text ${i}`))
  const calls = server.calls('/api/embed') as { input: string[]; keep_alive: unknown }[]
  assert.deepEqual(
    calls.slice(1).map(({ input, keep_alive }) => [input.length, keep_alive]),
    [
      [16, -1],
      [4, -1],
    ],
  )
})
