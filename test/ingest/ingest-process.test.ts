/** The process of an ingest ends with its job, and one that does not is ended. */

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdir, open, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import type { IngestJob, IngestSummary, WrittenPart } from '../../src/ingest/ingest-job.ts'
import {
  runIngestProcess,
  type IngestBounds,
  type IngestHandlers,
} from '../../src/ingest/ingest-process.ts'
import { hasCode, VectordError } from '../../src/lib/errors.ts'
import { inFolder } from '../support/service.ts'

const BOUNDS: IngestBounds = { niceness: 0, memoryBytesMax: 2 ** 30, silenceMsMax: 30_000 }
const ROWS = 5000

interface Run {
  readonly result: Promise<IngestSummary>
  readonly pid: () => number
  readonly stop: AbortController
}

function start(
  job: Partial<IngestJob> & Pick<IngestJob, 'source'>,
  bounds: Partial<IngestBounds> = {},
  handlers: Partial<IngestHandlers> = {},
): Run {
  let pid = 0
  const stop = new AbortController()
  const result = runIngestProcess({
    job: { partsFolder: null, appendTo: null, points: null, ...job },
    bounds: { ...BOUNDS, ...bounds },
    handlers: {
      onPoints: () => Promise.resolve(),
      onPart: () => Promise.resolve(),
      onProgress: () => undefined,
      ...handlers,
    },
    signal: stop.signal,
    onStart: (started) => {
      pid = started
    },
  })
  return { result, stop, pid: () => pid }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

async function rowsFile(folder: string): Promise<IngestJob['source']> {
  const path = join(folder, 'rows.ndjson')
  const lines = Array.from({ length: ROWS }, (_, i) => JSON.stringify({ id: `p${i}`, v: '[1,2]' }))
  await writeFile(path, lines.join('\n'))
  return { kind: 'file', path, format: 'ndjson', batchRows: 500 }
}

/** A file that is opened and never gives a byte. */
async function silentFile(folder: string): Promise<IngestJob['source']> {
  const path = join(folder, 'pipe')
  await promisify(execFile)('mkfifo', [path])
  return { kind: 'file', path, format: 'csv', batchRows: 500 }
}

const POINTS: IngestJob['points'] = {
  mapping: { idColumn: 'id', vectorColumn: 'v', textColumn: null, metadataColumns: null },
  rules: {
    ...{ dimension: 2, metric: 'l2', takesTexts: false, rowsMax: 1000 },
    ...{ idBytesMax: 512, metadataBytesMax: 1024 },
  },
  onBadRow: 'fail',
}

it('gives points and parts in order, one at a time, and ends', async () => {
  await inFolder(async (folder) => {
    const partsFolder = join(folder, 'parts')
    await mkdir(partsFolder)
    const ids: string[] = []
    const parts: WrittenPart[] = []
    let inHand = 0
    const run = start(
      { source: await rowsFile(folder), partsFolder, points: POINTS },
      {},
      {
        onPoints: async (batch) => {
          inHand += 1
          assert.equal(inHand, 1)
          await sleep(5)
          ids.push(...batch.ids)
          inHand -= 1
        },
        onPart: async (part) => {
          parts.push(part)
        },
      },
    )
    const summary = await run.result
    assert.deepEqual([summary.rows, summary.points, summary.refusals.count], [ROWS, ROWS, 0])
    assert.deepEqual(
      ids,
      Array.from({ length: ROWS }, (_, i) => `p${i}`),
    )
    assert.deepEqual(
      parts.map(({ rows }) => rows),
      [ROWS],
    )
    assert.equal(isAlive(run.pid()), false)
  })
})

it('a handler that fails is why the ingest fails, and the process is gone', async () => {
  await inFolder(async (folder) => {
    let calls = 0
    const run = start(
      { source: await rowsFile(folder), points: POINTS },
      {},
      {
        onPoints: () => {
          calls += 1
          return Promise.reject(new VectordError('memory_full', 'no'))
        },
      },
    )
    await assert.rejects(run.result, { code: 'memory_full' })
    assert.equal(calls, 1)
    assert.equal(isAlive(run.pid()), false)
  })
})

it('a cancelled one ends with the reason of its signal', async () => {
  await inFolder(async (folder) => {
    const held = Promise.withResolvers<undefined>()
    const run = start(
      { source: await rowsFile(folder), points: POINTS },
      {},
      {
        onPoints: async () => {
          run.stop.abort(new VectordError('operation_cancelled', 'stop'))
          held.resolve(undefined)
        },
      },
    )
    await held.promise
    await assert.rejects(run.result, { code: 'operation_cancelled' })
    assert.equal(isAlive(run.pid()), false)
  })
})

it('one that is killed, too large or silent fails with what was wrong', async () => {
  await inFolder(async (folder) => {
    const source = await silentFile(folder)
    const reasonOf = async ({ result }: Run): Promise<unknown> => {
      const error: unknown = await result.then(
        () => null,
        (thrown: unknown) => thrown,
      )
      assert.ok(hasCode(error, 'ingest_failed'), String(error))
      return error.details['reason']
    }
    const killed = start({ source })
    setTimeout(() => process.kill(killed.pid(), 'SIGKILL'), 100)
    const large = start({ source }, { memoryBytesMax: 2 ** 24 })
    const silent = start({ source }, { silenceMsMax: 1500 })
    assert.deepEqual(await Promise.all([killed, large, silent].map(reasonOf)), [
      ...['died', 'memory', 'silent'],
    ])
    for (const run of [killed, large, silent]) assert.equal(isAlive(run.pid()), false)
  })
})

it('what the process says of a DSN holds no secret of it', async () => {
  // Port 1 answers nobody.
  const dsn = 'postgres://someone:sec%2Fret-word@127.0.0.1:1/shop'
  const query = { select: { table: 't' }, key: null, after: null, batchRows: 10 }
  const run = start({ source: { kind: 'sql', dsn, query } })
  const error: unknown = await run.result.then(
    () => null,
    (thrown: unknown) => thrown,
  )
  assert.ok(hasCode(error, 'source_unreachable'), String(error))
  const told = `${error.message} ${JSON.stringify(error.details)} ${String(error.cause)}`
  assert.doesNotMatch(told, /sec%2Fret-word|sec\/ret-word/)
})

it('a password that is a word or a mark of JSON tears nothing that is told', async () => {
  for (const password of ['details', 'message', '%22%3A%22', '127']) {
    const dsn = `postgres://someone:${password}@127.0.0.1:1/shop`
    const query = { select: { table: 't' }, key: null, after: null, batchRows: 10 }
    const { result } = start({ source: { kind: 'sql', dsn, query } })
    const error: unknown = await result.then(
      () => null,
      (thrown: unknown) => thrown,
    )
    assert.ok(hasCode(error, 'source_unreachable'), `${password}: ${String(error)}`)
    assert.equal(error.details['port'], 1, password)
    assert.match(error.message, /cannot be reached/)
  }
})

it('a stop does not wait for ever for a write that does not come back', async () => {
  await inFolder(async (folder) => {
    const run = start(
      { source: await rowsFile(folder), points: POINTS },
      {},
      {
        onPoints: () => {
          run.stop.abort(new VectordError('operation_cancelled', 'stop'))
          return new Promise(() => undefined)
        },
      },
    )
    await assert.rejects(run.result, { code: 'operation_cancelled' })
    assert.equal(isAlive(run.pid()), false)
  })
})

it('large texts are held no longer than their batch', async () => {
  await inFolder(async (folder) => {
    const path = join(folder, 'rows.ndjson')
    const line = `${JSON.stringify({ t: 'x'.repeat(2 ** 18) })}\n`
    const file = await open(path, 'w')
    for (let row = 0; row < 1000; row += 1) await file.write(line)
    await file.close()
    const source = { kind: 'file', path, format: 'ndjson', batchRows: 4 } as const
    const { result } = start({ source }, { memoryBytesMax: 9 * 2 ** 25 })
    assert.equal((await result).rows, 1000)
  })
})
