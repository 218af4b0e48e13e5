/** The tour of docs/lance.md works as it is written. */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { startService, temporaryFolder } from '../support/service.ts'
import { readShellBlocks, runShellBlocks } from '../support/shell-blocks.ts'

it('every curl line of the tour of Lance indexes is answered as it says', async (t) => {
  const blocks = await readShellBlocks('docs/lance.md', 'tour')
  assert.ok(blocks.length >= 3, 'the document has a tour')
  const service = await startService(await temporaryFolder(t))
  t.after(() => service.kill())
  await service.ready()
  await runShellBlocks(blocks, service.url)
})
