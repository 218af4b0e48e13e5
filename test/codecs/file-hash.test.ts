/** The hash of a file is that of its bytes, however long it is. */

import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { it } from 'node:test'
import { hashFile } from '../../src/codecs/file-hash.ts'
import { scratch } from './part-rows.ts'

it('length and SHA-256 are those of the bytes, around the sizes that are read at once', async (t) => {
  const path = join(await scratch(t), 'file')
  const mib = 1 << 20
  for (const length of [0, 1, mib - 1, mib, mib + 1, 3 * mib + 7]) {
    const bytes = Buffer.alloc(length, 'some bytes')
    await writeFile(path, bytes)
    const sha256 = createHash('sha256').update(bytes).digest('hex')
    assert.deepEqual(await hashFile(path), { bytes: length, sha256 })
  }
})

it('the empty file has the hash that everyone knows', async (t) => {
  const path = join(await scratch(t), 'file')
  await writeFile(path, '')
  const { sha256 } = await hashFile(path)
  assert.equal(sha256, 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855')
})

it('a file that is not there is an error, and so is a folder', async (t) => {
  const folder = await scratch(t)
  await assert.rejects(hashFile(join(folder, 'none')), { code: 'ENOENT' })
  await assert.rejects(hashFile(folder), { code: 'EISDIR' })
})
