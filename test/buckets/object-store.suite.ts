/**
 * The contract of `ObjectStore`, run against every backend.
 *
 * How: each case gets an empty store from `open`. A new backend passes by adding one test file that
 * calls `objectStoreSuite`; a new rule is added here, once, and then holds everywhere.
 */

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { collect } from '../support/collect.ts'
import type { ObjectStore } from '../../src/buckets/object-store.ts'

const MIB = 1024 * 1024

/** Opens a store that nobody else uses and that is empty; the suite closes it. */
export type OpenEmpty = () => Promise<ObjectStore>

export function objectStoreSuite(name: string, openEmpty: OpenEmpty): void {
  const open = async (t: TestContext): Promise<ObjectStore> => {
    const store = await openEmpty()
    t.after(() => store.close())
    return store
  }
  describe(`ObjectStore: ${name}`, () => {
    putCases(open)
    absenceCases(open)
    conditionCases(open)
    listCases(open)
    fileCases(open)
    keyCases(open)
  })
}

type Open = (t: TestContext) => Promise<ObjectStore>

function putCases(open: Open): void {
  it('a put replaces the whole object', async (t) => {
    const store = await open(t)
    await store.put('a/b', text('long first value'))
    await store.put('a/b', text('short'))
    assert.equal(await read(store, 'a/b'), 'short')
    assert.equal((await store.head('a/b')).bytes, 5)
  })

  it('the store keeps a copy: the caller may change its buffer and the one it got', async (t) => {
    const store = await open(t)
    const body = Buffer.from('before')
    await store.put('k', body)
    await store.putIfAbsent('k2', body)
    body.write('after!')
    const got = await store.get('k')
    got.fill(0)
    assert.deepEqual([await read(store, 'k'), await read(store, 'k2')], ['before', 'before'])
  })

  it('an empty object is an object', async (t) => {
    const store = await open(t)
    await store.put('empty', new Uint8Array())
    assert.equal((await store.get('empty')).byteLength, 0)
    assert.equal((await store.head('empty')).bytes, 0)
    assert.deepEqual(await keys(store, ''), ['empty'])
  })

  it('a buffer that is a window into a larger one is stored as the window', async (t) => {
    const store = await open(t)
    await store.put('k', Buffer.from('xxinsidexx').subarray(2, 8))
    assert.equal(await read(store, 'k'), 'inside')
  })

  it('readers beside writers see one whole version, never a mix', async (t) => {
    const store = await open(t)
    const version = (n: number): Buffer => Buffer.alloc(100_000, n)
    await store.put('k', version(0))
    const writing = (async () => {
      for (let n = 1; n <= 20; n += 1) await store.put('k', version(n))
    })()
    for (let n = 0; n < 40; n += 1) {
      const seen = await store.get('k')
      assert.equal(seen.byteLength, 100_000)
      assert.ok(seen.every((byte) => byte === seen[0]))
    }
    await writing
  })

  it('a large put is read back whole', async (t) => {
    const store = await open(t)
    const body = randomBytes(9 * MIB)
    await store.put('large', body)
    assert.ok(body.equals(await store.get('large')))
  })

  it('the time of an object is about now', async (t) => {
    const store = await open(t)
    await store.put('k', text('x'))
    const age = Math.abs(Date.now() - (await store.head('k')).modifiedMs)
    assert.ok(age < 3_600_000)
  })
}

function absenceCases(open: Open): void {
  it('a missing key is object_not_found for get, head and getFile', async (t) => {
    const store = await open(t)
    await store.put('folder/object', text('x'))
    const path = join(await folderOf(t), 'out')
    for (const key of ['nope', 'folder', 'folder/nope', 'no/such/folder', 'folder/object/x']) {
      await assert.rejects(store.get(key), { code: 'object_not_found' }, key)
      await assert.rejects(store.head(key), { code: 'object_not_found' }, key)
      await assert.rejects(store.getFile(key, path), { code: 'object_not_found' }, key)
    }
  })

  it('a deleted object is absent, and its key can be used again', async (t) => {
    const store = await open(t)
    await store.put('a/b/c', text('1'))
    await store.delete('a/b/c')
    await assert.rejects(store.get('a/b/c'), { code: 'object_not_found' })
    assert.deepEqual(await keys(store, ''), [])
    await store.putIfAbsent('a/b/c', text('2'))
    assert.equal(await read(store, 'a/b/c'), '2')
  })

  it('deleting what is not there is not an error, and touches nothing else', async (t) => {
    const store = await open(t)
    await store.put('a/b', text('x'))
    for (const key of ['nope', 'a', 'a/b/c', 'a/c', 'x/y/z']) await store.delete(key)
    await store.delete('a/b')
    await store.delete('a/b')
    assert.deepEqual(await keys(store, ''), [])
  })

  it('puts and deletes of neighbours in one folder do not disturb each other', async (t) => {
    const store = await open(t)
    const names = Array.from({ length: 16 }, (_, n) => `deep/folder/${n}`)
    for (let round = 0; round < 5; round += 1) {
      await Promise.all(
        names.map(async (key, n) => {
          await store.put(key, text(String(n)))
          await store.delete(key)
        }),
      )
    }
    assert.deepEqual(await keys(store, ''), [])
  })

  it('a closed store refuses every call with storage_error', async (t) => {
    const store = await open(t)
    await store.put('k', text('x'))
    await store.close()
    await store.close()
    const refused = { code: 'storage_error' }
    await assert.rejects(store.get('k'), refused)
    await assert.rejects(store.head('k'), refused)
    await assert.rejects(store.put('k', text('y')), refused)
    await assert.rejects(store.putIfAbsent('n', text('y')), refused)
    await assert.rejects(store.putFile('n', '/dev/null'), refused)
    await assert.rejects(store.getFile('k', join(tmpdir(), 'never')), refused)
    await assert.rejects(store.delete('k'), refused)
    await assert.rejects(keys(store, ''), refused)
  })
}

function conditionCases(open: Open): void {
  it('putIfAbsent leaves an existing object untouched', async (t) => {
    const store = await open(t)
    await store.putIfAbsent('k', text('first'))
    await assert.rejects(store.putIfAbsent('k', text('second')), { code: 'object_exists' })
    assert.equal(await read(store, 'k'), 'first')
  })

  it('of 32 racing writers one wins, and its object stays', async (t) => {
    const store = await open(t)
    for (const key of ['race', 'new/folder/race']) {
      const outcomes = await Promise.allSettled(
        Array.from({ length: 32 }, (_, n) => store.putIfAbsent(key, text(`writer ${n}`))),
      )
      const winners = outcomes.flatMap((outcome, n) => (outcome.status === 'fulfilled' ? [n] : []))
      assert.equal(winners.length, 1)
      assert.equal(await read(store, key), `writer ${winners[0] ?? -1}`)
      for (const outcome of outcomes) {
        if (outcome.status === 'fulfilled') continue
        assert.equal((outcome.reason as { code: string }).code, 'object_exists')
      }
    }
  })
}

function listCases(open: Open): void {
  it('list is bounded by the prefix, which may end within a part', async (t) => {
    const store = await open(t)
    for (const key of ['p/2', 'p/10', 'p', 'q/1', 'pq', 'p0/1'].filter((key) => key !== 'p')) {
      await store.put(key, text('x'))
    }
    assert.deepEqual(await keys(store, 'p/'), ['p/10', 'p/2'])
    assert.deepEqual(await keys(store, 'p'), ['p/10', 'p/2', 'p0/1', 'pq'])
    assert.deepEqual(await keys(store, 'p/1'), ['p/10'])
    assert.deepEqual(await keys(store, 'no/such'), [])
    assert.deepEqual(await keys(store, ''), ['p/10', 'p/2', 'p0/1', 'pq', 'q/1'])
  })

  it('list is in byte order of the whole key, across folders and beyond UTF-16', async (t) => {
    const store = await open(t)
    const names = ['a-b', 'a/b', 'a.b', 'a0', 'a/b-c', 'a/c/d', 'B', 'é', '漢', '\u{ffee}', '😀/x']
    for (const key of names.filter((key) => key !== 'a/b')) await store.put(key, text('x'))
    const wanted = names
      .filter((key) => key !== 'a/b')
      .sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
    assert.deepEqual(await keys(store, ''), wanted)
    for (const [n, key] of wanted.entries()) {
      assert.deepEqual(await keys(store, '', key), wanted.slice(n + 1), key)
    }
  })

  it('list tells the sizes, and startAfter need not exist', async (t) => {
    const store = await open(t)
    await store.put('l/b', text('four'))
    const found = await collect(store.list('l/', { startAfter: 'l/a' }))
    assert.deepEqual(
      found.map(({ key, bytes }) => [key, bytes]),
      [['l/b', 4]],
    )
    assert.deepEqual(await keys(store, 'l/', 'l/z'), [])
    assert.deepEqual(await keys(store, 'l/', 'a'), ['l/b'])
  })

  it('list goes on past a thousand keys, and resumes in the middle', async (t) => {
    const store = await open(t)
    const names = Array.from({ length: 1100 }, (_, n) => `many/${String(n).padStart(6, '0')}`)
    for (let from = 0; from < names.length; from += 50) {
      await Promise.all(names.slice(from, from + 50).map((key) => store.put(key, text('x'))))
    }
    assert.deepEqual(await keys(store, 'many/'), names)
    assert.deepEqual(await keys(store, 'many/', names[1050]), names.slice(1051))
  })

  it('a reader may leave a list early', async (t) => {
    const store = await open(t)
    for (const key of ['1', '2', '3']) await store.put(key, text('x'))
    for await (const object of store.list('')) {
      assert.equal(object.key, '1')
      break
    }
  })
}

function fileCases(open: Open): void {
  it('a file of 12 MB goes in and comes out unchanged', async (t) => {
    const store = await open(t)
    const folder = await folderOf(t)
    const body = randomBytes(12 * MIB + 1)
    await writeFile(join(folder, 'in'), body)
    await store.putFile('files/big', join(folder, 'in'))
    await store.getFile('files/big', join(folder, 'out'))
    assert.ok(body.equals(await readFile(join(folder, 'out'))))
    assert.ok(body.equals(await readFile(join(folder, 'in'))))
    assert.ok(body.equals(await store.get('files/big')))
    await store.delete('files/big')
    assert.ok(body.equals(await readFile(join(folder, 'out'))))
  })

  it('a small and an empty file, over an older object', async (t) => {
    const store = await open(t)
    const folder = await folderOf(t)
    for (const [n, content] of ['first', '', 'third'].entries()) {
      await writeFile(join(folder, 'in'), content)
      await store.putFile('f', join(folder, 'in'))
      await store.getFile('f', join(folder, `out-${n}`))
      assert.equal(await readFile(join(folder, `out-${n}`), 'utf8'), content)
    }
    assert.equal(await readFile(join(folder, 'out-0'), 'utf8'), 'first')
  })

  it('later changes of the file do not change the object', async (t) => {
    const store = await open(t)
    const path = join(await folderOf(t), 'in')
    await writeFile(path, 'before')
    await store.putFile('f', path)
    await writeFile(path, 'after!')
    assert.equal(await read(store, 'f'), 'before')
  })

  it('getFile leaves no file behind where it fails, and none that exists changed', async (t) => {
    const store = await open(t)
    const folder = await folderOf(t)
    await assert.rejects(store.getFile('nope', join(folder, 'a')), { code: 'object_not_found' })
    assert.deepEqual(await readdir(folder), [])
    await writeFile(join(folder, 'mine'), 'mine')
    await store.put('k', text('theirs'))
    await assert.rejects(store.getFile('k', join(folder, 'mine')), { code: 'storage_error' })
    assert.equal(await readFile(join(folder, 'mine'), 'utf8'), 'mine')
    const lost = store.getFile('k', join(folder, 'no/such/folder'))
    await assert.rejects(lost, { code: 'storage_error' })
  })

  it('a missing source file is storage_error, and the old object stays', async (t) => {
    const store = await open(t)
    const folder = await folderOf(t)
    await store.put('k', text('old'))
    const missing = store.putFile('k', join(folder, 'missing'))
    await assert.rejects(missing, { code: 'storage_error' })
    assert.equal(await read(store, 'k'), 'old')
  })
}

function keyCases(open: Open): void {
  it('keys of any Unicode, with spaces and signs, keep their bytes', async (t) => {
    const store = await open(t)
    const odd = [
      'é/e\u0301',
      'spaces and + plus',
      'a%2Fb%',
      '漢字/😀',
      'q?x=1&y#z;:@$,\'()*![]{}~^`|<>"',
      '.hidden/..x',
      'tab\tline\nfeed',
      'x'.repeat(255),
      `${'y'.repeat(250)}/${'z'.repeat(250)}`,
    ]
    for (const key of odd) await store.put(key, text(key))
    for (const key of odd) assert.equal(await read(store, key), key)
    const sorted = [...odd].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
    assert.deepEqual(await keys(store, ''), sorted)
  })

  it('a key that could leave its place is refused with bad_request by every method', async (t) => {
    const store = await open(t)
    const path = join(await folderOf(t), 'file')
    await writeFile(path, 'x')
    const bad = ['', '/a', 'a/', 'a//b', '.', '..', 'a/../b', 'a/./b', 'a\0b', 'a\\b', '\ud800']
    const refused = { code: 'bad_request' }
    for (const key of [...bad, 'x'.repeat(256), 'x/'.repeat(256) + 'x', '.vectord-tmp/x']) {
      await assert.rejects(store.get(key), refused)
      await assert.rejects(store.head(key), refused)
      await assert.rejects(store.put(key, text('x')), refused)
      await assert.rejects(store.putIfAbsent(key, text('x')), refused)
      await assert.rejects(store.putFile(key, path), refused)
      await assert.rejects(store.getFile(key, `${path}-out`), refused)
      await assert.rejects(store.delete(key), refused)
    }
    for (const prefix of ['/', '../', 'a/../', 'a//', '\\', '\0']) {
      await assert.rejects(keys(store, prefix), refused, prefix)
    }
    assert.deepEqual(await keys(store, ''), [])
  })
}

function text(content: string): Uint8Array {
  return Buffer.from(content)
}

async function read(store: ObjectStore, key: string): Promise<string> {
  return Buffer.from(await store.get(key)).toString()
}

async function keys(store: ObjectStore, prefix: string, startAfter?: string): Promise<string[]> {
  const objects = store.list(prefix, startAfter === undefined ? {} : { startAfter })
  return (await collect(objects)).map((object) => object.key)
}

async function folderOf(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'vectord-test-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  return folder
}
