/**
 * Which embedders there are is what the configuration says, and asking for another tells which exist.
 */

import assert from 'node:assert/strict'
import { it, type TestContext } from 'node:test'
import { parseConfig } from '../../src/config/load.ts'
import { Embedders } from '../../src/embedders/embedders.ts'
import { hasCode } from '../../src/lib/errors.ts'
import { startOllama } from '../support/ollama-server.ts'
import { startOpenAi } from '../support/openai-server.ts'
import { isUnavailable } from './embedder.suite.ts'

function open(t: TestContext, toml: string, env: Record<string, string> = {}): Embedders {
  const config = parseConfig(toml, { file: 'lakehouse.toml', env: {}, cwd: '/' })
  const embedders = new Embedders({ config, env, log: () => undefined })
  t.after(() => embedders.close())
  return embedders
}

it('without configuration there is the built-in one, and no model server', (t) => {
  const embedders = open(t, '')
  assert.deepEqual(embedders.names, ['local'])
  assert.equal(embedders.get('local').name, 'local')
  assert.equal(embedders.modelServer, null)
  assert.throws(
    () => embedders.get('ollama'),
    (error) => {
      assert.ok(hasCode(error, 'not_configured'))
      assert.deepEqual(error.details['embedders'], ['local'])
      return true
    },
  )
})

it('a model server needs no model of its own to hold those of profiles', async (t) => {
  const server = await startOllama()
  t.after(() => server.close())
  const embedders = open(t, `[embedders.ollama]\nurl = "${server.url}/"`)
  assert.deepEqual(embedders.names, ['local'])
  assert.deepEqual(await embedders.modelServer?.loaded(), [])
})

it('all of them work as configured, behind one cache', async (t) => {
  const ollama = await startOllama()
  const openai = await startOpenAi({ key: 'sk-1' })
  t.after(() => Promise.all([ollama.close(), openai.close()]))
  const embedders = open(
    t,
    `[embedders.ollama]\nurl = "${ollama.url}"\nmodel = "embed-small"\n` +
      `[embedders.openai]\nurl = "${openai.url}"\nmodel = "m"\nkey_variable = "MY_KEY"`,
    { MY_KEY: 'sk-1' },
  )
  assert.deepEqual(embedders.names, ['local', 'ollama', 'openai'])
  for (const [name, dimension] of [
    ['ollama', 32],
    ['openai', 48],
  ] as const) {
    for (let i = 0; i < 2; i += 1) {
      const [vector] = await embedders.get(name).embed(['a text'])
      assert.equal(vector?.length, dimension)
    }
  }
  assert.equal(ollama.calls('/api/embed').length, 2, 'one to learn who it is, one for the text')
  assert.equal(openai.calls.length, 2)
  const { hits, misses, bytes } = embedders.cacheStats()
  assert.deepEqual([hits, misses], [2, 2])
  assert.ok(bytes > (32 + 48) * 4)
  await embedders.close()
  await assert.rejects(embedders.get('ollama').embed(['another']), isUnavailable)
})
