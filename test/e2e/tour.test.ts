/**
 * The README's tour works as it is written.
 *
 * How: every `sh tour` block of the README runs against a fresh server; where the tour kills the
 * service, the server of the test is killed and started again.
 */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { startService, temporaryFolder } from '../support/service.ts'
import { readShellBlocks, runShellBlocks } from '../support/shell-blocks.ts'

it('every curl line of the tour is answered with success', async (t) => {
  const blocks = await readShellBlocks('README.md', 'tour')
  assert.ok(blocks.length >= 5, 'the README has a tour')
  const killed = blocks.findIndex((block) => block.includes('kill -9'))
  assert.ok(killed > 0, 'the tour kills the service')
  const root = await temporaryFolder(t)
  let service = await startService(root)
  t.after(() => service.kill())
  await service.ready()
  await runShellBlocks(blocks.slice(0, killed), service.url)
  await service.kill()
  service = await startService(root)
  await service.ready()
  await runShellBlocks(blocks.slice(killed + 1), service.url)
})
