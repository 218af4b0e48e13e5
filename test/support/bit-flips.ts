/**
 * Flipped bits in what vectord stored (T10): each is repaired or refused by name, never served.
 *
 * How: what was stored is copied, one bit of one file is flipped, and it is opened. It either holds
 * exactly what was acknowledged (the damaged part was derived, or an older checkpoint and the log
 * led there), or it is refused with a code that names the damage.
 */

import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { LocalStore } from '../../src/buckets/local-store.ts'
import { MemoryStore } from '../../src/buckets/memory-store.ts'
import { RevisionedDocument } from '../../src/buckets/revisioned-document.ts'
import { hasCode } from '../../src/lib/errors.ts'
import type { LogStore } from '../../src/log/log-store.ts'
import { openSegmentLog } from '../../src/log/segment-log.ts'
import { compareContent, openIndex, openIndexIn, scenario } from './index-scenario.ts'
import { Ledger } from './ledger.ts'
import { seededRandom } from './vectors.ts'

const NAMED = ['log_corrupt', 'object_corrupt', 'format_too_new'] as const

type Files = ReadonlyMap<string, Uint8Array>

/** Something stored, and how it is opened and compared. */
export interface FlipTarget {
  readonly name: string
  readonly files: Files
  /** Opens `files` and compares the content. @throws what refuses it, or an assertion. */
  readonly open: (files: Files) => Promise<void>
}

export interface FlipCount {
  served: number
  refused: number
}

/** The outcomes by target and kind of file. */
export type FlipCounts = Map<string, FlipCount>

/** An index in a bucket of objects, one on local files, a log, a document. */
export async function flipTargets(scratch: string): Promise<readonly FlipTarget[]> {
  return [
    await bucketTarget(scratch),
    await folderTarget(scratch),
    await segmentsTarget(scratch),
    await documentTarget(),
  ]
}

/**
 * Flips the bit that `seed` says: seeds that follow each other go through the files in turn.
 *
 * @throws where something else than the content was served, or a refusal that names no damage.
 */
export async function flipOne(target: FlipTarget, seed: number, counts: FlipCounts): Promise<void> {
  const keys = [...target.files.keys()].sort()
  const key = keys[seed % keys.length] ?? ''
  const bytes = Uint8Array.from(target.files.get(key) ?? [])
  if (bytes.length === 0) return
  const bit = Math.floor(seededRandom(seed)() * 8 * bytes.length)
  bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7))
  const count = countOf(counts, target.name, key)
  try {
    await target.open(new Map([...target.files, [key, bytes]]))
    count.served += 1
  } catch (error) {
    if (!hasCode(error, ...NAMED)) {
      throw new Error(`${target.name}: bit ${bit} of ${key}`, { cause: error })
    }
    count.refused += 1
  }
}

/** The index scenario on objects, its log among them. */
export async function bucketTarget(scratch: string): Promise<FlipTarget> {
  const ledger = new Ledger()
  const intact = new MemoryStore()
  await inNewFolder(scratch, async (folder) => {
    const { served, close } = await openIndex(intact, folder)
    await scenario(served, ledger)
    await close()
  })
  const files = new Map<string, Uint8Array>()
  for await (const { key } of intact.list('')) files.set(key, await intact.get(key))
  const open = (damaged: Files): Promise<void> =>
    inNewFolder(scratch, async (folder) => {
      const store = new MemoryStore()
      for (const [key, body] of damaged) await store.put(key, body)
      const { served, close } = await openIndex(store, folder)
      await compareContent(served, ledger, 'opened')
      await close()
    })
  return { name: 'bucket', files, open }
}

/** The index scenario on local files: segments, and manifests and parts as files of a folder. */
async function folderTarget(scratch: string): Promise<FlipTarget> {
  const ledger = new Ledger()
  const openAt = async (root: string, work: (index: OpenedIndex) => Promise<void>) => {
    const store = await LocalStore.open(join(root, 'bucket'))
    const log = await openSegmentLog({
      folder: join(root, 'log'),
      incarnation: 'one',
      segmentBytesMax: 2000,
      groupBytesMax: 1000,
    })
    try {
      const index = await openIndexIn({ store, log, scratch: join(root, 'scratch') })
      await work(index.served)
      await index.close()
    } finally {
      await log.close()
      await store.close()
    }
  }
  const files = await inNewFolder(scratch, async (root) => {
    await openAt(root, (index) => scenario(index, ledger))
    await rm(join(root, 'scratch'), { recursive: true, force: true })
    return filesIn(root)
  })
  const open = (damaged: Files): Promise<void> =>
    inNewFolder(scratch, async (root) => {
      await writeFiles(root, damaged)
      await openAt(root, (index) => compareContent(index, ledger, 'opened'))
    })
  return { name: 'folder', files, open }
}

type OpenedIndex = Awaited<ReturnType<typeof openIndex>>['served']

/** A log of several segment files, given up in part. */
async function segmentsTarget(scratch: string): Promise<FlipTarget> {
  const payloads = Array.from({ length: 60 }, (_, i) => Buffer.alloc(i * 3, i))
  const options = { incarnation: 'one', segmentBytesMax: 2000, groupBytesMax: 1000 }
  const files = await inNewFolder(scratch, async (folder) => {
    const log = await openSegmentLog({ ...options, folder })
    for (const payload of payloads) await log.append(payload)
    await log.truncate(30)
    await log.close()
    return filesIn(folder)
  })
  const open = (damaged: Files): Promise<void> =>
    inNewFolder(scratch, async (folder) => {
      await writeFiles(folder, damaged)
      const log = await openSegmentLog({ ...options, folder })
      try {
        await compareLog(log, payloads)
      } finally {
        await log.close()
      }
    })
  return { name: 'segments', files, open }
}

async function compareLog(log: LogStore, payloads: readonly Uint8Array[]): Promise<void> {
  let lsn = 30
  for await (const record of log.read(lsn)) {
    lsn += 1
    assert.equal(record.lsn, lsn)
    assert.deepEqual(Buffer.from(record.payload), payloads[lsn - 1])
  }
  assert.equal(lsn, payloads.length, 'a log must not end early')
}

/** A document with a history. */
async function documentTarget(): Promise<FlipTarget> {
  const names = ['a', 'b', 'c', 'd']
  const documentOn = (store: MemoryStore): RevisionedDocument<readonly string[]> =>
    new RevisionedDocument({
      store,
      prefix: 'document/',
      name: 'test',
      codec: {
        toJson: (applied) => ({ applied }),
        fromJson: (json) => json['applied'] as readonly string[],
      },
    })
  const intact = new MemoryStore()
  for (const name of names) {
    await documentOn(intact).modify((current) => ({
      ...{ document: [...(current?.document ?? []), name], author: 'test', reason: name },
    }))
  }
  const files = new Map<string, Uint8Array>()
  for await (const { key } of intact.list('')) files.set(key, await intact.get(key))
  const open = async (damaged: Files): Promise<void> => {
    const store = new MemoryStore()
    for (const [key, body] of damaged) await store.put(key, body)
    for await (const past of documentOn(store).history()) {
      if (past.kind !== 'document') continue
      assert.deepEqual(past.document, names.slice(0, past.revision))
      assert.equal(past.reason, names[past.revision - 1])
    }
    const newest = await documentOn(store).read()
    assert.deepEqual(newest?.document, names)
  }
  return { name: 'document', files, open }
}

async function filesIn(folder: string): Promise<Map<string, Uint8Array>> {
  const files = new Map<string, Uint8Array>()
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue
    const path = join(entry.parentPath, entry.name)
    files.set(path.slice(folder.length + 1), await readFile(path))
  }
  return files
}

async function writeFiles(folder: string, files: Files): Promise<void> {
  for (const [name, bytes] of files) {
    await mkdir(dirname(join(folder, name)), { recursive: true })
    await writeFile(join(folder, name), bytes)
  }
}

async function inNewFolder<T>(scratch: string, work: (folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(scratch, 'flip-'))
  try {
    return await work(folder)
  } finally {
    await rm(folder, { recursive: true, maxRetries: 5 })
  }
}

function countOf(counts: FlipCounts, target: string, key: string): FlipCount {
  const folders = key.split('/').slice(0, -1)
  const kind = `${target}: ${folders.find((name) => KINDS.has(name)) ?? folders.at(-1) ?? 'files'}`
  const count = counts.get(kind) ?? { served: 0, refused: 0 }
  counts.set(kind, count)
  return count
}

const KINDS = new Set(['graphs', 'log', 'checkpoints', 'parts'])
