/**
 * Whatever fails while a part is written or read, the promise says so, nothing half is left, nobody
 * goes on using the rows, and neither the process nor its memory suffers.
 */

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { open, readdir, readFile, truncate, writeFile, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { promisify } from 'node:util'
import { wasmMemory } from 'parquet-wasm/node'
import { readPointsPart, writePointsPart, type PointRows } from '../../src/codecs/parquet-part.ts'
import { VectordError } from '../../src/lib/errors.ts'
import { batches, points, readPoints, scratch } from './part-rows.ts'

const TIMEOUT = { timeout: 120_000 }

/** Batches of 2,000 rows, and what became of whoever gave them. */
class Source {
  given = 0
  hasEnded = false

  async *batches(count: number, failure?: Error): AsyncGenerator<PointRows> {
    try {
      for (; this.given < count; this.given += 1) {
        yield points(this.given * 2000, (this.given + 1) * 2000, 16)
      }
      if (failure !== undefined) await Promise.reject(failure)
    } finally {
      this.hasEnded = true
    }
  }
}

/** The methods that all file handles share. */
async function fileHandles(folder: string): Promise<FileHandle> {
  const file = await open(folder, 'r')
  await file.close()
  return Object.getPrototypeOf(file) as FileHandle
}

/** Lets `writes` writes through, and fails those after them. */
async function fillDisk(t: TestContext, folder: string, writes: number): Promise<void> {
  const handles = await fileHandles(folder)
  const write = handles.writeFile.bind.bind(handles.writeFile)
  let left = writes
  t.mock.method(handles, 'writeFile', function (this: FileHandle, ...args: [Uint8Array]) {
    left -= 1
    if (left >= 0) return write(this)(...args)
    return Promise.reject(Object.assign(new Error('no space'), { code: 'ENOSPC' }))
  })
}

function wasmBytes(): number {
  const { buffer } = wasmMemory() as unknown as { readonly buffer: ArrayBuffer }
  return buffer.byteLength
}

describe('a source of batches that fails', TIMEOUT, () => {
  for (const after of [0, 1, 2, 6, 13]) {
    it(`after ${after} batches: its own error, and no file`, async (t) => {
      const folder = await scratch(t)
      const failure = new Error('the table is gone')
      const source = new Source()
      const writing = writePointsPart(join(folder, 'part'), source.batches(after, failure), 16)
      await assert.rejects(writing, (error) => error === failure)
      assert.deepEqual(await readdir(folder), [])
    })
  }

  it('with rows that do not fit together', async (t) => {
    const folder = await scratch(t)
    const good = points(0, 10, 4)
    for (const bad of [
      { ...good, vectors: new Float32Array(41) },
      { ...good, vectors: new Float32Array(36) },
      { ...good, lsns: new Float64Array(9) },
      { ...good, texts: [] },
      { ...good, rows: new Uint32Array(11) },
    ]) {
      const writing = writePointsPart(join(folder, 'part'), [good, bad, good], 4)
      await assert.rejects(writing, { name: 'InvariantError' })
    }
    assert.deepEqual(await readdir(folder), [])
  })

  it('without rows there is nothing to write', async (t) => {
    const folder = await scratch(t)
    for (const none of [[], [points(0, 0, 4)]]) {
      await assert.rejects(writePointsPart(join(folder, 'part'), none, 4), {
        name: 'InvariantError',
      })
    }
    assert.deepEqual(await readdir(folder), [])
  })
})

describe('a target that is there', TIMEOUT, () => {
  it('is refused and left alone, whatever else is wrong', async (t) => {
    const path = join(await scratch(t), 'part')
    await writeFile(path, 'precious')
    const failing = new Source().batches(0, new Error('another'))
    for (const source of [batches(10, 4, 5), failing]) {
      await assert.rejects(writePointsPart(path, source, 4), {
        code: 'storage_error',
        details: { file: 'part', errno: 'EEXIST' },
      })
    }
    assert.equal(await readFile(path, 'utf8'), 'precious')
  })

  it('is refused where its folder is missing', async (t) => {
    const path = join(await scratch(t), 'none', 'part')
    await assert.rejects(writePointsPart(path, batches(10, 4, 5), 4), { code: 'storage_error' })
  })
})

describe('a disk that is full', TIMEOUT, () => {
  for (const writes of [0, 1, 3]) {
    it(`after ${writes} writes: storage_full, no file, and the source is let go`, async (t) => {
      const folder = await scratch(t)
      await fillDisk(t, folder, writes)
      const source = new Source()
      const writing = writePointsPart(join(folder, 'part'), source.batches(100), 16)
      await assert.rejects(writing, {
        code: 'storage_full',
        details: { errno: 'ENOSPC', file: 'part' },
      })
      assert.ok(source.hasEnded)
      assert.ok(source.given < 50, `${source.given} of 100 batches were asked for`)
      assert.deepEqual(await readdir(folder), [])
    })
  }

  it('only at the sync', async (t) => {
    const folder = await scratch(t)
    const full = Object.assign(new Error('quota'), { code: 'EDQUOT' })
    t.mock.method(await fileHandles(folder), 'sync', () => Promise.reject(full))
    const writing = writePointsPart(join(folder, 'part'), batches(10, 4, 5), 4)
    await assert.rejects(writing, { code: 'storage_full' })
    assert.deepEqual(await readdir(folder), [])
  })

  it('that takes the bytes and does not keep them', async (t) => {
    const folder = await scratch(t)
    t.mock.method(await fileHandles(folder), 'writeFile', () => Promise.resolve())
    await assert.rejects(writePointsPart(join(folder, 'part'), batches(10, 4, 5), 4))
    assert.deepEqual(await readdir(folder), [])
  })

  it('a real limit of the system ends in storage_full, not in the end of the process', async (t) => {
    const path = join(await scratch(t), 'part')
    const modules = ['../../src/codecs/parquet-part.ts', './part-rows.ts'].map(
      (name) => new URL(name, import.meta.url).href,
    )
    const code = `
      const { writePointsPart } = await import('${modules[0] ?? ''}')
      const { batches } = await import('${modules[1] ?? ''}')
      try {
        await writePointsPart('${path}', batches(40000, 16, 2000), 16)
      } catch (error) { process.stdout.write(error.code + ' ' + error.details.errno) }`
    const limited = ['-c', 'ulimit -f 500; exec "$@"', 'bash', process.execPath]
    const script = ['--input-type=module', '-e', code]
    const { stdout } = await promisify(execFile)('bash', [...limited, ...script])
    assert.equal(stdout, 'storage_full EFBIG')
  })
})

describe('reading that fails', TIMEOUT, () => {
  it('a file that gets shorter meanwhile', async (t) => {
    const path = join(await scratch(t), 'part')
    await writePointsPart(path, batches(30_000, 16, 2000), 16)
    const reading = readPointsPart(path)
    await reading.next()
    await truncate(path, 10_000)
    await assert.rejects(
      async () => {
        for (;;) if ((await reading.next()).done === true) return
      },
      { code: 'object_corrupt' },
    )
  })

  it('a disk that cannot be read', async (t) => {
    const folder = await scratch(t)
    const path = join(folder, 'part')
    await writePointsPart(path, batches(100, 4, 50), 4)
    for (const reads of [0, 1, 2]) {
      const handles = await fileHandles(folder)
      const read = handles.read.bind.bind(handles.read)
      let left = reads
      const mock = t.mock.method(handles, 'read', function (this: FileHandle, ...args: []) {
        left -= 1
        if (left >= 0) return read(this)(...args)
        return Promise.reject(Object.assign(new Error('bad sector'), { code: 'EIO' }))
      })
      await assert.rejects(readPoints(path), {
        code: 'storage_error',
        details: { errno: 'EIO', file: 'part' },
      })
      mock.mock.restore()
    }
    assert.equal((await readPoints(path)).ids.length, 100)
  })

  it('a reader that stops in the middle leaves no file open', async (t) => {
    const path = join(await scratch(t), 'part')
    await writePointsPart(path, batches(30_000, 16, 2000), 16)
    const before = await readdir('/proc/self/fd').catch(() => [])
    for (let i = 0; i < 20; i += 1) {
      for await (const { ids } of readPointsPart(path)) if (ids.length > 0) break
    }
    const after = await readdir('/proc/self/fd').catch(() => [])
    assert.ok(
      after.length <= before.length + 1,
      `${before.length} descriptors, then ${after.length}`,
    )
  })
})

describe('memory of parquet-wasm, which never shrinks', TIMEOUT, () => {
  it('does not grow over 200 failures', async (t) => {
    const folder = await scratch(t)
    const fail = async (): Promise<void> => {
      const source = new Source().batches(3, new VectordError('internal', 'As planned.'))
      await assert.rejects(writePointsPart(join(folder, 'part'), source, 16), { code: 'internal' })
    }
    for (let i = 0; i < 20; i += 1) await fail()
    const before = wasmBytes()
    for (let i = 0; i < 200; i += 1) await fail()
    const grown = wasmBytes() - before
    assert.ok(grown <= 2 ** 21, `grown by ${grown} bytes`)
  })

  it('does not grow over 20 parts that are written and read', async (t) => {
    const folder = await scratch(t)
    const roundTrip = async (name: number): Promise<void> => {
      const path = join(folder, String(name))
      await writePointsPart(path, batches(10_000, 32, 2048), 32)
      let rows = 0
      for await (const { ids } of readPointsPart(path)) rows += ids.length
      assert.equal(rows, 10_000)
    }
    for (let i = 0; i < 3; i += 1) await roundTrip(i)
    const before = wasmBytes()
    for (let i = 3; i < 23; i += 1) await roundTrip(i)
    const grown = wasmBytes() - before
    assert.ok(grown <= 2 ** 21, `grown by ${grown} bytes`)
  })
})
