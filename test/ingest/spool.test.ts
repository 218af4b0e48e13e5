/** Bodies become files in constant memory, whole or not at all. */

import assert from 'node:assert/strict'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { it } from 'node:test'
import { spool } from '../../src/ingest/spool.ts'
import { inFolder } from '../support/service.ts'

const from = (...chunks: string[]): Readable =>
  Readable.from(chunks.map((text) => Buffer.from(text)))

it('the file has the bytes of the body, also at the bound', async () => {
  await inFolder(async (folder) => {
    const path = join(folder, 'x')
    assert.equal(await spool(from('ab', 'cd'), { path, bytesMax: 4 }), 4)
    assert.equal(await readFile(path, 'utf8'), 'abcd')
  })
})

it('a body that is too large, empty or torn leaves no file', async () => {
  await inFolder(async (folder) => {
    const path = join(folder, 'x')
    await assert.rejects(spool(from('ab', 'cde'), { path, bytesMax: 4 }), {
      code: 'body_too_large',
    })
    await assert.rejects(spool(from(), { path, bytesMax: 4 }), { code: 'bad_request' })
    const torn = new Readable({
      read() {
        this.push('a')
        this.destroy(Object.assign(new Error('gone'), { code: 'ECONNRESET' }))
      },
    })
    await assert.rejects(spool(torn, { path, bytesMax: 4 }), { code: 'bad_request' })
    assert.deepEqual(await readdir(folder), [])
  })
})

it('a client that stops sending is given up', async () => {
  await inFolder(async (folder) => {
    const path = join(folder, 'x')
    const silent = new Readable({ read: () => undefined })
    const spooled = spool(silent, { path, bytesMax: 4, silenceMsMax: 10 })
    await assert.rejects(spooled, { code: 'bad_request', message: /Nothing of the body came/ })
    assert.deepEqual(await readdir(folder), [])
  })
})

it('a full disk is told as such, and leaves the body to be answered on', async () => {
  const full = Object.assign(new Error('no space'), { code: 'ENOSPC' })
  const openFile = async () => ({
    appendFile: () => Promise.reject(full),
    close: () => Promise.resolve(),
  })
  const body = from('ab', 'cd')
  const spooled = spool(body, { path: '/nowhere/x', bytesMax: 4, openFile })
  await assert.rejects(spooled, { code: 'storage_full' })
  assert.equal(body.destroyed, false)
})
