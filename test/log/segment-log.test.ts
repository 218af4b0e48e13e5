/** The log in local files: the contract, and what a crash or a flipped byte at any place does. */

import assert from 'node:assert/strict'
import * as fs from 'node:fs/promises'
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, it } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { crc32 } from 'node:zlib'
import type { FileSystem } from '../../src/buckets/local-files.ts'
import { hasCode } from '../../src/lib/errors.ts'
import { LOG_HEADER_BYTES } from '../../src/log/log-header.ts'
import type { LogStore } from '../../src/log/log-store.ts'
import { encodeFrames, frameBytes } from '../../src/log/record.ts'
import { openSegmentLog } from '../../src/log/segment-log.ts'
import { bytesOf, logStoreSuite, texts } from './log-store.suite.ts'

const root = await mkdtemp(join(tmpdir(), 'vectord-log-'))
after(() => rm(root, { recursive: true }))

let folders = 0

function newFolder(): string {
  folders += 1
  return join(root, `index-${folders}`, 'log')
}

function open(folder: string, incarnation = 'one', baseLsn = 0): Promise<LogStore> {
  const sizes = { segmentBytesMax: 2000, groupBytesMax: 1000 }
  return openSegmentLog({ folder, incarnation, baseLsn, ...sizes })
}

logStoreSuite('segment files', async () => {
  const folder = newFolder()
  return { open: (incarnation, baseLsn) => open(folder, incarnation, baseLsn) }
})

/** A log of one segment with six records, and its bytes. */
async function oneSegment(): Promise<{
  path: string
  folder: string
  bytes: Buffer
  ends: number[]
}> {
  const folder = newFolder()
  const log = await open(folder)
  const ends = [LOG_HEADER_BYTES]
  for (let i = 1; i <= 6; i += 1) {
    await log.append(bytesOf('r'.repeat(i * 5)))
    ends.push((ends.at(-1) ?? 0) + frameBytes(i * 5))
  }
  await log.close()
  const path = join(folder, '00000000000000000001.log')
  const bytes = await readFile(path)
  assert.equal(bytes.length, ends.at(-1))
  return { path, folder, bytes, ends }
}

/** Opens, reads everything, closes. */
async function recordsIn(folder: string): Promise<number> {
  const log = await open(folder)
  try {
    const { records } = await log.verify()
    assert.equal((await log.append(bytesOf('next'))) > records, true)
    return records
  } finally {
    await log.close()
  }
}

it('a last record that is cut at any byte is dropped, and nothing before it', async () => {
  const { path, folder, bytes, ends } = await oneSegment()
  for (let cut = LOG_HEADER_BYTES; cut <= bytes.length; cut += 1) {
    await writeFile(path, bytes.subarray(0, cut))
    assert.equal(
      await recordsIn(folder),
      ends.filter((end) => end <= cut).length - 1,
      `cut at ${cut}`,
    )
  }
})

it('zeros after the last record are dropped, few or many', async () => {
  const { path, folder, bytes } = await oneSegment()
  for (const zeros of [1, 23, 24, 25, 4096, 3_000_000]) {
    await writeFile(path, Buffer.concat([bytes, Buffer.alloc(zeros)]))
    assert.equal(await recordsIn(folder), 6, `${zeros} zeros`)
  }
})

it('zeros with anything after them are damage, not a torn tail', async () => {
  const { path, folder, bytes } = await oneSegment()
  for (const zeros of [24, 4096, 3_000_000]) {
    await writeFile(path, Buffer.concat([bytes, Buffer.alloc(zeros), Buffer.of(1)]))
    await assert.rejects(open(folder), { code: 'log_corrupt' })
  }
})

it('every flipped bit of every byte is found, with the file and the offset', async () => {
  const { path, folder, bytes, ends } = await oneSegment()
  for (let at = 0; at < bytes.length; at += 1) {
    const damaged = Buffer.from(bytes)
    damaged[at] = (damaged[at] ?? 0) ^ (1 << (at % 8))
    await writeFile(path, damaged)
    await assert.rejects(open(folder), (error) => {
      assert.ok(hasCode(error, 'log_corrupt'), `byte ${at}: ${String(error)}`)
      assert.equal(error.details['file'], '00000000000000000001.log')
      const offset = Number(error.details['offset'])
      const record = ends.findLast((end) => end <= at) ?? 0
      assert.equal(offset, at < LOG_HEADER_BYTES ? 0 : record, `byte ${at}`)
      return true
    })
  }
})

it('a segment of the middle is as safe: flips, cuts and its absence are found', async () => {
  const folder = newFolder()
  const log = await open(folder)
  for (let i = 0; i < 40; i += 1) await log.append(bytesOf('x'.repeat(100)))
  await log.close()
  const names = (await readdir(folder)).sort()
  assert.ok(names.length >= 3)
  const path = join(folder, names[1] ?? '')
  const bytes = await readFile(path)
  const damage: (Buffer | null)[] = [null, bytes.subarray(0, bytes.length - 1)]
  for (let at = 0; at < bytes.length; at += 7) {
    const flipped = Buffer.from(bytes)
    flipped[at] = (flipped[at] ?? 0) ^ 16
    damage.push(flipped)
  }
  damage.push(Buffer.concat([bytes, Buffer.alloc(100)]))
  for (const [i, damaged] of damage.entries()) {
    if (damaged === null) await rm(path)
    else await writeFile(path, damaged)
    await assert.rejects(recordsIn(folder), { code: 'log_corrupt' }, `damage ${i}`)
  }
})

it('a segment that vanishes while the log is open is damage, not an end', async () => {
  const folder = newFolder()
  const log = await open(folder)
  for (let i = 0; i < 40; i += 1) await log.append(bytesOf('x'.repeat(100)))
  const [first] = (await readdir(folder)).sort()
  await rm(join(folder, first ?? ''))
  await assert.rejects(texts(log), { code: 'log_corrupt', message: /missing/ })
  await log.close()
})

it('records that skip a number inside a segment are damage', async () => {
  const { path, folder, bytes } = await oneSegment()
  await writeFile(path, Buffer.concat([bytes, encodeFrames(8, [bytesOf('eight')])]))
  await assert.rejects(open(folder), { code: 'log_corrupt', message: /lsn 8/ })
})

it('a later format is refused by name', async () => {
  const { path, folder, bytes } = await oneSegment()
  const newer = Buffer.from(bytes)
  newer.writeUInt32LE(2, 8)
  const rest = newer.subarray(16, LOG_HEADER_BYTES)
  newer.writeUInt32LE(crc32(rest, crc32(newer.subarray(0, 12))), 12)
  await writeFile(path, newer)
  await assert.rejects(open(folder), { code: 'format_too_new', message: /format 2.*up to 1/ })
})

it('a log that format 1 wrote still opens', async () => {
  const folder = newFolder()
  await cp(new URL('../fixtures/log-1/segments', import.meta.url), folder, { recursive: true })
  const log = await open(folder, 'fixture')
  const expected = ['3:third', '4:', `5:${'long'.repeat(100)}`, '7:after a failed append']
  assert.deepEqual(await texts(log, 2), expected)
  assert.equal(await log.append(bytesOf('more')), 8)
  await log.close()
})

it('a reader that begins while a truncation is under way is not disturbed', async () => {
  const folder = newFolder()
  const before = await open(folder)
  for (let i = 1; i <= 20; i += 1) await before.append(Buffer.alloc(500))
  await before.close()
  const gate = Promise.withResolvers<null>()
  let isTruncating = false
  const readdir = async (path: string): Promise<string[]> => {
    if (isTruncating) await gate.promise
    return fs.readdir(path)
  }
  const files = new Proxy(fs, {
    get: (target, name: keyof FileSystem) => (name === 'readdir' ? readdir : target[name]),
  })
  const bounds = { segmentBytesMax: 2000, groupBytesMax: 1000 }
  const log = await openSegmentLog({ folder, incarnation: 'one', ...bounds, files })
  isTruncating = true
  const deleted: number[] = []
  const truncated = log.truncate(10, (bytes) => deleted.push(bytes))
  await turn()
  const reading = log.verify()
  gate.resolve(null)
  await truncated
  assert.ok(deleted.length >= 2 && deleted.every((bytes) => bytes > LOG_HEADER_BYTES))
  const { records } = await reading
  assert.ok(records >= 10 && records < 20, `${records} records`)
  await log.close()
})
