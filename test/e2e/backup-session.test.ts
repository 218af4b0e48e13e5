/** The session of docs/snapshots.md works as it is written: its blocks run in one shell. */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { startService, temporaryFolder } from '../support/service.ts'
import { readShellBlocks, runShellBlocks } from '../support/shell-blocks.ts'

it('every line of the session with backups is answered as the document says', async (t) => {
  const blocks = await readShellBlocks('docs/snapshots.md', 'session')
  assert.ok(blocks.length >= 6, 'the document has a session')
  const folder = await temporaryFolder(t)
  const service = await startService(folder)
  t.after(() => service.kill())
  await service.ready()
  const [first = '', ...rest] = blocks
  await runShellBlocks([`export TMPDIR=${folder}\n${first}`, ...rest], service.url)
})
