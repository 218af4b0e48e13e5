/**
 * The local backend keeps the contract; and what only a folder can get wrong: links, sweeps, full
 * and failing disks, durability.
 *
 * How: `failingFiles` stands between the store and the file system, notes each call and fails the
 * one that the case chose.
 */

import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { randomUUID } from 'node:crypto'
import * as fs from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, it, type TestContext } from 'node:test'
import { collect } from '../support/collect.ts'
import { LocalStore } from '../../src/buckets/local-store.ts'
import { failingFiles } from '../support/failing-files.ts'
import { objectStoreSuite } from './object-store.suite.ts'

const roots = await fs.mkdtemp(join(tmpdir(), 'vectord-local-'))
after(() => fs.rm(roots, { recursive: true }))
objectStoreSuite('local', () => LocalStore.open(join(roots, randomUUID())))

it('an object is a file at its key, in a root that is made with its parents', async (t) => {
  const root = join(await folderOf(t), 'not/yet/there')
  const store = await LocalStore.open(root)
  await store.put('a/b.json', Buffer.from('{}'))
  assert.equal(await fs.readFile(join(root, 'a/b.json'), 'utf8'), '{}')
})

it('an object that comes into being while it is looked for is read, or absent, and never a fault', async (t) => {
  const root = await folderOf(t)
  const other = await LocalStore.open(root)
  let isLate = true
  const files = {
    ...fs,
    open: async (...call: Parameters<typeof fs.open>) => {
      try {
        return await fs.open(...call)
      } catch (error) {
        if (isLate) await other.put('a/late', Buffer.from('x'))
        isLate = false
        throw error
      }
    },
  }
  const store = await LocalStore.open(root, files)
  assert.equal(Buffer.from(await store.get('a/late')).toString(), 'x')
})

it('a root that is not absolute is refused', async () => {
  await assert.rejects(LocalStore.open('data'), { code: 'bad_request' })
})

it('emptied folders go, the root stays', async (t) => {
  const root = await folderOf(t)
  const store = await LocalStore.open(root)
  await store.put('a/b/c', Buffer.from('x'))
  await store.put('a/d', Buffer.from('x'))
  await store.delete('a/b/c')
  assert.deepEqual(await fs.readdir(join(root, 'a')), ['d'])
  await store.delete('a/d')
  assert.deepEqual(await fs.readdir(root), ['.vectord-tmp'])
})

it('a key within another object, or around others, is refused and changes nothing', async (t) => {
  const store = await LocalStore.open(await folderOf(t))
  await store.put('a', Buffer.from('object'))
  await store.put('f/b', Buffer.from('object'))
  const refused = { code: 'bad_request' }
  for (const key of ['a/b', 'a/b/c', 'f']) {
    await assert.rejects(store.put(key, Buffer.from('x')), refused, key)
    await assert.rejects(store.putIfAbsent(key, Buffer.from('x')), refused, key)
  }
  assert.deepEqual(await keysOf(store), ['a', 'f/b'])
})

it('symbolic links within the root lead nowhere', async (t) => {
  const root = await folderOf(t)
  const outside = await folderOf(t)
  await fs.writeFile(join(outside, 'secret'), 'secret')
  const store = await LocalStore.open(root)
  await fs.symlink(outside, join(root, 'folder'))
  await fs.symlink(join(outside, 'secret'), join(root, 'file'))
  const refused = { code: 'storage_error' }
  for (const key of ['file', 'folder/secret', 'folder/new/deep']) {
    await assert.rejects(store.get(key), refused, key)
    await assert.rejects(store.head(key), refused, key)
    await assert.rejects(store.getFile(key, join(outside, 'out')), refused, key)
  }
  await assert.rejects(store.put('folder/new/deep', Buffer.from('x')), refused)
  await assert.rejects(store.delete('folder/secret'), refused)
  await assert.rejects(collect(store.list('folder/')), refused)
  assert.deepEqual(await keysOf(store), [])
  await store.put('file', Buffer.from('own')) // Replaces the link, not what it points at.
  assert.deepEqual(await fs.readdir(outside), ['secret'])
  assert.equal(await fs.readFile(join(outside, 'secret'), 'utf8'), 'secret')
})

it('a root that is itself a link is followed once, at open', async (t) => {
  const root = await folderOf(t)
  const link = join(await folderOf(t), 'link')
  await fs.symlink(root, link)
  const store = await LocalStore.open(link)
  await store.put('k', Buffer.from('x'))
  assert.equal(await fs.readFile(join(root, 'k'), 'utf8'), 'x')
})

it('a root that went away or was replaced is unreachable, never empty', async (t) => {
  const root = join(await folderOf(t), 'root')
  const store = await LocalStore.open(root)
  await store.put('k', Buffer.from('x'))
  await fs.rename(root, `${root}-gone`)
  for (const replaced of [false, true]) {
    if (replaced) await fs.mkdir(root)
    const unreachable = { code: 'bucket_unreachable' }
    await assert.rejects(store.get('k'), unreachable)
    await assert.rejects(store.head('k'), unreachable)
    await assert.rejects(store.put('k', Buffer.from('y')), unreachable)
    await assert.rejects(store.delete('k'), unreachable)
    await assert.rejects(keysOf(store), unreachable)
  }
  assert.deepEqual(await fs.readdir(root), [])
})

it('what a killed process left half-written is swept at open and never listed', async (t) => {
  const root = await folderOf(t)
  await LocalStore.open(root)
  const dead = spawnSync(process.execPath, ['-e', '']).pid
  const temporary = join(root, '.vectord-tmp')
  await fs.writeFile(join(temporary, `${dead}-abcdefgh-1`), 'half')
  await fs.writeFile(join(temporary, `${process.pid}-abcdefgh-1`), 'half, our id, an earlier life')
  await fs.writeFile(join(temporary, `${process.ppid}-abcdefgh-1`), 'another process at work')
  const store = await LocalStore.open(root)
  assert.deepEqual(await fs.readdir(temporary), [`${process.ppid}-abcdefgh-1`])
  assert.deepEqual(await keysOf(store), [])
})

it('what a process left that was still ending at open is swept at the end', async (t) => {
  const root = await folderOf(t)
  const ending = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'])
  const temporary = join(root, '.vectord-tmp')
  await fs.mkdir(temporary)
  await fs.writeFile(join(temporary, `${ending.pid}-abcdefgh-1`), 'half')
  const store = await LocalStore.open(root)
  assert.equal((await fs.readdir(temporary)).length, 1)
  ending.kill('SIGKILL')
  await once(ending, 'exit')
  await store.close()
  assert.deepEqual(await fs.readdir(temporary), [])
})

it('a put is fsynced before it has its name, and its folders after', async (t) => {
  const root = await folderOf(t)
  const files = failingFiles()
  const store = await LocalStore.open(root, files.system)
  files.calls.length = 0
  await store.put('a/b/k', Buffer.from('x'))
  const named = files.calls.findIndex((call) => call.startsWith('rename'))
  assert.equal(files.calls.slice(0, named).filter((call) => call.startsWith('sync')).length, 1)
  const synced = files.calls.slice(named).filter((call) => call.startsWith('sync'))
  const folders = [join(root, 'a/b'), join(root, 'a'), root]
  assert.deepEqual(
    synced,
    folders.map((folder) => `sync ${folder}`),
  )
  files.calls.length = 0
  await store.delete('a/b/k')
  const removed = files.calls.findIndex((call) => call.startsWith('unlink'))
  assert.ok(files.calls.indexOf(`sync ${join(root, 'a/b')}`) > removed)
})

const WRITES = {
  put: (store: LocalStore) => store.put('a/k', Buffer.from('new')),
  putIfAbsent: (store: LocalStore) => store.putIfAbsent('a/n', Buffer.from('new')),
  putFile: (store: LocalStore, path: string) => store.putFile('a/k', path),
  delete: (store: LocalStore) => store.delete('a/k'),
}
const ERRNOS = {
  ENOSPC: 'storage_full',
  EDQUOT: 'storage_full',
  EIO: 'storage_error',
  EMFILE: 'storage_error',
}

for (const [name, write] of Object.entries(WRITES)) {
  it(`${name}: a fault at any step is reported, leaves old or new, no litter`, async (t) => {
    const source = join(await folderOf(t), 'source')
    await fs.writeFile(source, 'new')
    for (const [errno, code] of Object.entries(ERRNOS)) {
      let steps = 0
      for (let failAt = 1; ; failAt += 1) {
        const outcome = await writeWithFault(t, (store) => write(store, source), { failAt, errno })
        if (outcome.fired === null) break
        steps += 1
        // A folder that cannot be removed or a temporary name left over is no failure of the call.
        if (['rmdir', 'unlink', 'close'].includes(outcome.fired) && outcome.code === null) continue
        assert.equal(outcome.code, code, `${errno} at step ${failAt}: ${outcome.fired}`)
      }
      assert.ok(steps > 4)
    }
  })
}

async function writeWithFault(
  t: TestContext,
  write: (store: LocalStore) => Promise<void>,
  fault: { failAt: number; errno: string },
): Promise<{ fired: string | null; code: string | null }> {
  const root = await folderOf(t)
  const files = failingFiles()
  const store = await LocalStore.open(root, files.system)
  await store.put('a/k', Buffer.from('old'))
  files.fail(fault.failAt, fault.errno)
  const code = await write(store).then(
    () => null,
    (error: unknown) => (error as { code: string }).code,
  )
  const fired = files.heal()
  const left = await LocalStore.open(root)
  for (const key of await keysOf(left)) {
    const body = Buffer.from(await left.get(key)).toString()
    assert.ok(body === 'new' || (key === 'a/k' && body === 'old'), `${key}: ${body}`)
  }
  if (fired !== 'unlink' && fired !== 'close') {
    assert.deepEqual(await fs.readdir(join(root, '.vectord-tmp')), [])
  }
  await write(store) // The same call works once the fault is gone, or says that it had worked.
    .catch((error: unknown) => {
      assert.equal((error as { code: string }).code, 'object_exists')
    })
  return { fired, code }
}

it('a disk that takes only part of a write leaves no part of an object', async (t) => {
  const root = await folderOf(t)
  const files = failingFiles()
  const store = await LocalStore.open(root, files.system)
  await store.put('k', Buffer.from('old'))
  files.shortWrite(2)
  await assert.rejects(store.put('k', Buffer.from('newer')), { code: 'storage_full' })
  assert.equal(Buffer.from(await store.get('k')).toString(), 'old')
})

async function keysOf(store: LocalStore): Promise<string[]> {
  return (await collect(store.list(''))).map((object) => object.key)
}

async function folderOf(t: TestContext): Promise<string> {
  const folder = await fs.realpath(await fs.mkdtemp(join(tmpdir(), 'vectord-test-')))
  t.after(() => fs.rm(folder, { recursive: true, force: true }))
  return folder
}
