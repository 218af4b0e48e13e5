/**
 * Every shell block of the documents works as it is written, and answers what it says.
 *
 * How: the blocks of a document run in one shell against a fresh service, in their order. Those of the
 * README that kill it kill this one, and it is started again, as the README asks for. The document that
 * a clone begins with is run by `tour.test.ts`, which looks at the pages too.
 */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { DOCUMENTS, runBlocks, worldOf } from '../support/documents.ts'
import { startService, temporaryFolder } from '../support/service.ts'
import { ShellSession } from '../support/shell-session.ts'
import { TOUR_FILE } from '../support/tour.ts'

const KILLS = 'kill -9'

const sessions = DOCUMENTS.filter((file) => file !== TOUR_FILE && runBlocks(file).length > 0)

it('there are documents with blocks to run', () => {
  assert.ok(sessions.length >= 10, sessions.join(', '))
})

for (const file of sessions) {
  it(`every line of ${file} is answered as it says`, async (t) => {
    const folder = await temporaryFolder(t)
    const root = await temporaryFolder(t)
    const { env = {}, replace = [], without } = await worldOf(file, t, folder)
    let service = await startService(root, { env })
    t.after(() => service.kill())
    const shell = new ShellSession({ folder, replace })
    t.after(() => shell.close())
    await service.ready()
    for (const block of runBlocks(file)) {
      if (without !== undefined && block.text.includes(without)) continue
      if (block.text.includes(KILLS)) {
        await service.kill()
        service = await startService(root, { env })
        await service.ready()
      } else {
        await shell.run(block, service.url)
      }
    }
  })
}
