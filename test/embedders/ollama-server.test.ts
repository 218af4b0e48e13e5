/**
 * The memory of a model server: what is loaded, unloaded and listed, and what each fault means.
 */

import assert from 'node:assert/strict'
import { describe, it, type TestContext } from 'node:test'
import { taggedModel } from '../../src/embedders/model-server.ts'
import { OllamaServer } from '../../src/embedders/ollama-server.ts'
import { hasCode } from '../../src/lib/errors.ts'
import { startOllama, type OllamaServer as FakeServer } from '../support/ollama-server.ts'

async function open(t: TestContext): Promise<{ fake: FakeServer; server: OllamaServer }> {
  const fake = await startOllama()
  fake.addModel('llama3.2', { bytes: 3e9, vramBytes: 2e9 })
  const server = new OllamaServer({
    ...{ url: fake.url, retries: 1, backoffMs: 1 },
    ...{ timeoutMs: 10_000, loadTimeoutMs: 10_000 },
  })
  t.after(async () => {
    server.close()
    await fake.close()
  })
  return { fake, server }
}

it('loads a model with an empty prompt, lists it, and unloads it', async (t) => {
  const { fake, server } = await open(t)
  assert.deepEqual(await server.loaded(), [])
  await server.preload('llama3.2', '5m')
  const [loaded, ...others] = await server.loaded()
  assert.deepEqual(others, [])
  assert.deepEqual(
    [loaded?.model, loaded?.bytes, loaded?.vramBytes, typeof loaded?.expiresAt],
    [taggedModel('llama3.2'), 3e9, 2e9, 'string'],
  )
  await server.unload('llama3.2')
  assert.deepEqual(fake.loaded, [])
  assert.deepEqual(fake.calls('/api/generate'), [
    { model: 'llama3.2', keep_alive: '5m', prompt: '', stream: false },
    { model: 'llama3.2', keep_alive: 0, prompt: '', stream: false },
  ])
})

it('loads a model that only embeds', async (t) => {
  const { fake, server } = await open(t)
  fake.addModel('nomic', { generates: false })
  await server.preload('nomic', '-1')
  assert.deepEqual(fake.loaded, ['nomic:latest'])
  assert.deepEqual(fake.calls('/api/embed'), [{ model: 'nomic', keep_alive: -1, input: [] }])
  await server.unload('nomic')
  assert.deepEqual(fake.loaded, [])
})

it('unloading what is not loaded is no error', async (t) => {
  const { fake, server } = await open(t)
  await server.unload('llama3.2')
  assert.deepEqual(fake.loaded, [])
})

it('a model that the server has not is not found', async (t) => {
  const { server } = await open(t)
  const isNotFound = (error: unknown): boolean =>
    hasCode(error, 'model_not_found') && error.details['model'] === 'nope'
  await assert.rejects(server.preload('nope', '5m'), isNotFound)
  await assert.rejects(server.unload('nope'), isNotFound)
})

describe('a server that goes wrong is unavailable', () => {
  for (const fault of ['closed', 'half_answer', 'status_500', 'status_429', 'not_json'] as const) {
    it(`${fault}, and fine afterwards`, async (t) => {
      const { fake, server } = await open(t)
      fake.arm('/api/generate', fault, 2)
      fake.arm('/api/ps', fault, 2)
      const tries = fault === 'not_json' ? 2 : 1
      for (let i = 0; i < tries; i += 1) {
        await assert.rejects(server.preload('llama3.2', '5m'), isUnavailable)
        await assert.rejects(server.loaded(), isUnavailable)
      }
      await server.preload('llama3.2', '5m')
      assert.equal((await server.loaded()).length, 1)
    })
  }

  it('no server at all', async (t) => {
    const { fake, server } = await open(t)
    await fake.close()
    await assert.rejects(server.loaded(), isUnavailable)
    await assert.rejects(server.preload('llama3.2', '5m'), isUnavailable)
  })

  it('sizes that are none', async (t) => {
    const { fake, server } = await open(t)
    fake.addModel('odd', { bytes: -1 })
    await server.preload('odd', '5m')
    await assert.rejects(server.loaded(), isUnavailable)
  })
})

it('a model without a tag is the latest', () => {
  assert.deepEqual(
    ['llama3.2', 'llama3.2:1b', 'host:5000/me/llama', 'host:5000/me/llama:7b'].map(taggedModel),
    ['llama3.2:latest', 'llama3.2:1b', 'host:5000/me/llama:latest', 'host:5000/me/llama:7b'],
  )
})

function isUnavailable(error: unknown): boolean {
  return hasCode(error, 'model_server_unavailable') && error.retryAfterS !== null
}
