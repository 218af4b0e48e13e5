/**
 * The session of docs/operations.md works as it is written.
 *
 * How: all its `sh session` blocks run in one shell against a fresh server; what a comment expects
 * must be in the answer.
 */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { startService, temporaryFolder } from '../support/service.ts'
import { readShellBlocks, runShellBlocks } from '../support/shell-blocks.ts'

it('every line of the operator’s session is answered as the document says', async (t) => {
  const blocks = await readShellBlocks('docs/operations.md', 'session')
  assert.ok(blocks.length >= 15, 'the document has a session')
  const service = await startService(await temporaryFolder(t))
  t.after(() => service.kill())
  await service.ready()
  await runShellBlocks(blocks, service.url)
})
