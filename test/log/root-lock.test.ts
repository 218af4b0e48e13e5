/** One process at a time on a storage root, also after a kill -9. */

import assert from 'node:assert/strict'
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { it } from 'node:test'
import { lockRoot } from '../../src/log/root-lock.ts'

const HOLDER = new URL('../support/lock-holder.ts', import.meta.url)

it('a second process is refused by name; after a kill -9 of the first it gets in', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'vectord-lock-'))
  t.after(() => rm(folder, { recursive: true }))
  const holder = fork(HOLDER, [folder])
  t.after(() => holder.kill('SIGKILL'))
  await once(holder, 'message')
  await assert.rejects(lockRoot(folder), {
    code: 'root_locked',
    message: new RegExp(`process ${holder.pid}\\.`),
  })
  holder.kill('SIGKILL')
  await once(holder, 'exit')
  const lock = await lockRoot(folder)
  await lock.release()
  await lock.release()
  await (await lockRoot(folder)).release()
})
