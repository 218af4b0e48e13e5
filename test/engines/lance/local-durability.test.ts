/**
 * What was acknowledged is durable, and what a crash of the machine may leave of a commit that was
 * not is dropped by whoever opens the table next.
 *
 * How: the state after a power cut is made by hand: newer manifests that are empty, cut off, or name
 * files that are not there.
 */

import assert from 'node:assert/strict'
import { readdir, readFile, rm, truncate, unlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { it, type TestContext } from 'node:test'
import type { LanceDataset } from '../../../src/engines/lance/lance-dataset.ts'
import { LocalDurability } from '../../../src/engines/lance/local-durability.ts'
import { FaultyFiles } from '../../support/faulty-files.ts'
import { allIds, localTable, newEngine, rowsOf } from './lance-world.ts'

interface World {
  readonly table: LanceDataset
  /** The folder of the table. */
  readonly folder: string
  /** The table as a new process sees it. */
  readonly opened: () => LanceDataset
}

async function world(test: TestContext): Promise<World> {
  const { table, spec } = await localTable(test)
  assert.equal(spec.bucket.backend, 'local')
  const folder = join(spec.bucket.root, '_lance', `${spec.index}.lance`)
  return { table, folder, opened: () => newEngine().table(spec) }
}

function manifest(folder: string, version: number): string {
  return join(folder, '_versions', `${2n ** 64n - 1n - BigInt(version)}.manifest`)
}

async function synced(folder: string): Promise<string> {
  return (await readFile(join(folder, '_synced'), 'utf8')).trimEnd()
}

it('a commit is marked as durable before it is answered', async (t) => {
  const { table, folder } = await world(t)
  assert.equal(await synced(folder), 'vectord 1 1')
  const { version } = await table.append(rowsOf(['a']))
  assert.equal(await synced(folder), `vectord 1 ${version}`)
  const built = await table.buildScalarIndex()
  assert.equal(await synced(folder), `vectord 1 ${built.version}`)
  const merged = await table.optimize(0)
  assert.equal(await synced(folder), `vectord 1 ${merged.version}`)
})

it('every new file is synced, then its folder, then the marker; a failure is made good', async (t) => {
  const { table, folder } = await world(t)
  await table.append(rowsOf(['a']))
  await table.buildScalarIndex()
  const faulty = new FaultyFiles()
  const durability = await LocalDurability.open(folder, faulty.system)
  const before = new Set(await filesIn(folder))
  await table.upsert(rowsOf(['a', 'b']))
  const { version } = await table.delete(['b'])
  const added = (await filesIn(folder)).filter((path) => !before.has(path))
  assert.ok(added.some((path) => path.includes('_deletions/')))
  assert.ok(added.length >= 6, added.join())
  for (const errno of ['EIO', null]) {
    faulty.calls.length = 0
    if (errno !== null) {
      faulty.strike(8, { kind: 'error', errno })
      await assert.rejects(durability.synced(version), { code: 'storage_error' })
      faulty.heal()
      continue
    }
    await durability.synced(version)
    const places = added.map((path) => faulty.calls.indexOf(`datasync ${path}`))
    const folders = [...new Set(added.map((path) => dirname(path)))]
    const above = folders.map((path) => faulty.calls.indexOf(`sync ${path}`))
    const marked = faulty.calls.indexOf(`datasync ${join(folder, '_synced')}`)
    for (const [i, path] of added.entries()) {
      const own = above[folders.indexOf(dirname(path))] ?? -1
      assert.ok((places[i] ?? -1) >= 0 && own > (places[i] ?? -1) && own < marked, path)
    }
  }
  faulty.calls.length = 0
  await durability.synced(version)
  const synced = faulty.calls.filter((call) => call.startsWith('datasync'))
  assert.deepEqual(synced, [`datasync ${join(folder, '_synced')}`])
})

async function filesIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  return entries
    .filter((entry) => entry.isFile() && !entry.name.endsWith('.json') && entry.name !== '_synced')
    .map(({ parentPath, name }) => join(parentPath, name))
}

for (const harm of ['none', 'empty', 'cut', 'no data'] as const) {
  it(`a commit that a crash cut off is dropped, the newest manifest being ${harm}`, async (t) => {
    const { table, folder, opened } = await world(t)
    const { version } = await table.append(rowsOf(['a']))
    const marker = await readFile(join(folder, '_synced'))
    const before = new Set(await readdir(join(folder, 'data')))
    await table.append(rowsOf(['b']))
    const next = manifest(folder, version + 1)
    if (harm === 'empty') await truncate(next, 0)
    if (harm === 'cut') await truncate(next, 20)
    if (harm === 'no data') {
      const added = (await readdir(join(folder, 'data'))).filter((name) => !before.has(name))
      assert.ok(added.length > 0)
      for (const name of added) await truncate(join(folder, 'data', name), 0)
    }
    await writeFile(join(folder, '_synced'), marker)
    const after = opened()
    assert.deepEqual(await allIds(after), ['a'])
    assert.equal((await after.append(rowsOf(['c']))).version, version + 1)
    assert.deepEqual(await allIds(opened()), ['a', 'c'])
  })
}

it('an acknowledged commit is never dropped: damage in it is an error', async (t) => {
  const { table, folder, opened } = await world(t)
  await table.append(rowsOf(['a']))
  const { version } = await table.append(rowsOf(['b']))
  const whole = await readFile(manifest(folder, version))
  for (const damaged of [Buffer.alloc(0), whole.subarray(0, 30), Buffer.alloc(whole.length)]) {
    await writeFile(manifest(folder, version), damaged)
    await assert.rejects(opened().count(null), { code: 'object_corrupt' })
  }
  await writeFile(manifest(folder, version), whole)
  assert.deepEqual(await allIds(opened()), ['a', 'b'])
  const [name = ''] = await readdir(join(folder, 'data'))
  const path = join(folder, 'data', name)
  const bytes = await readFile(path)
  for (const damaged of [Buffer.alloc(0), bytes.subarray(0, bytes.length - 9), null]) {
    if (damaged === null) await rm(path)
    else await writeFile(path, damaged)
    await assert.rejects(allIds(opened()), { code: 'object_corrupt' })
  }
})

it('without a marker, or with one of another table, nothing is dropped', async (t) => {
  const { table, folder, opened } = await world(t)
  await table.append(rowsOf(['a']))
  const { version } = await table.append(rowsOf(['b']))
  for (const marker of ['', 'vectord 1 x', 'vectord 2 1\n', 'vectord 1 77\n', null]) {
    if (marker === null) await rm(join(folder, '_synced'))
    else await writeFile(join(folder, '_synced'), marker)
    assert.deepEqual(await allIds(opened()), ['a', 'b'], String(marker))
  }
  await opened().append(rowsOf(['c']))
  assert.equal(await synced(folder), `vectord 1 ${version + 1}`)
})

it('a table goes on where the hint of its newest version is lost or wrong', async (t) => {
  const { table, folder, opened } = await world(t)
  await table.append(rowsOf(['a']))
  const hint = join(folder, '_versions', 'latest_version_hint.json')
  for (const text of ['', '\0\0\0', '{"version":99}', '{"version":1}', null]) {
    if (text === null) await unlink(hint)
    else await writeFile(hint, text)
    assert.deepEqual(await allIds(opened()), ['a'], String(text))
  }
})
