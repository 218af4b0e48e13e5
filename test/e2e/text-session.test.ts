/**
 * The session of docs/text.md works as it is written.
 *
 * How: all its `sh session` blocks run in one shell against a fresh server with the built-in embedder
 * and a second one of the same dimension, which is a server of the test.
 */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { startOllama } from '../support/ollama-server.ts'
import { startService, temporaryFolder } from '../support/service.ts'
import { readShellBlocks, runShellBlocks } from '../support/shell-blocks.ts'

it('every line of the session with texts is answered as the document says', async (t) => {
  const blocks = await readShellBlocks('docs/text.md', 'session')
  assert.ok(blocks.length >= 8, 'the document has a session')
  const ollama = await startOllama()
  t.after(() => ollama.close())
  ollama.addModel('other', { dimension: 512 })
  const env = {
    VECTORD_EMBEDDERS_OLLAMA_URL: ollama.url,
    VECTORD_EMBEDDERS_OLLAMA_MODEL: 'other',
  }
  const service = await startService(await temporaryFolder(t), { env })
  t.after(() => service.kill())
  await service.ready()
  await runShellBlocks(blocks, service.url)
})
