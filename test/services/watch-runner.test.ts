/** A watched prefix takes each file once, forgets nothing, and blames no file for what is not its fault. */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { MemoryStore } from '../../src/buckets/memory-store.ts'
import type { Watch } from '../../src/ingest/watch.ts'
import { WatchStore } from '../../src/ingest/watch-store.ts'
import { VectordError, type ErrorCode } from '../../src/lib/errors.ts'
import { WatchRunner } from '../../src/services/watch-runner.ts'

const WATCH: Watch = {
  ...{ name: 'w', bucket: 'b', prefix: '', format: null, intervalSecs: 60 },
  ...{ dataset: 'd', index: null },
}

function world() {
  const bucket = new MemoryStore()
  const control = new MemoryStore()
  let nowMs = 1_700_000_000_000
  const taken: string[] = []
  /** By key: what its next ingests fail with. */
  const faults = new Map<string, ErrorCode[]>()
  const troubles: string[] = []
  const open = (filesMax = 100): WatchRunner =>
    new WatchRunner(WATCH, {
      store: new WatchStore({ store: () => control, nowMs: () => nowMs }),
      bucket: () => bucket,
      ingest: async (_watch, { key }) => {
        const fault = faults.get(key)?.shift()
        if (fault !== undefined) throw new VectordError(fault, 'no '.repeat(5000))
        taken.push(key)
        return { rows: 1 }
      },
      ...{ filesMax, nowMs: () => nowMs },
      onTrouble: (_error, what) => troubles.push(what),
    })
  const put = (key: string, body = 'x'): Promise<void> => bucket.put(key, Buffer.from(body))
  const later = (ms: number): void => {
    nowMs += ms
  }
  return { bucket, control, taken, faults, troubles, open, put, later }
}

async function looks(runner: WatchRunner, times: number): Promise<void> {
  for (let time = 0; time < times; time += 1) await runner.look()
}

it('takes each file once, also after a restart, and what is new when it was seen twice', async () => {
  const { put, open, taken } = world()
  await put('in/a.csv')
  await put('in/b.bin')
  await put('_datasets/x/parts/1.parquet')
  const runner = open()
  await runner.look()
  assert.deepEqual(taken, [])
  assert.deepEqual([runner.scan.growing, runner.scan.ignored], [1, 1])
  await looks(runner, 2)
  assert.deepEqual(taken, ['in/a.csv'])
  const next = open()
  await put('in/c.jsonl')
  await looks(next, 3)
  assert.deepEqual(taken, ['in/a.csv', 'in/c.jsonl'])
})

it('a bad file is tried again later and holds up no other', async () => {
  const { put, open, taken, faults, later } = world()
  await put('a.csv')
  await put('b.csv')
  faults.set('a.csv', ['file_corrupt', 'ingest_failed'])
  const runner = open()
  await looks(runner, 3)
  assert.deepEqual(taken, ['b.csv'])
  assert.equal((await runner.notes()).get('a.csv')?.error?.code, 'file_corrupt')
  later(31_000)
  await runner.look()
  assert.equal((await runner.notes()).get('a.csv')?.attempts, 2)
  assert.equal(await runner.retry(), 1)
  await runner.look()
  assert.deepEqual(taken, ['b.csv', 'a.csv'])
  assert.equal((await open().notes()).get('a.csv')?.state, 'done')
})

it('a service without time for a file does not count against the file', async () => {
  const { put, open, taken, faults } = world()
  await put('a.csv')
  const busy: ErrorCode[] = ['bucket_unreachable', 'ingest_under_way', 'overloaded', 'delta_full']
  faults.set('a.csv', [...busy, ...busy])
  const runner = open()
  await looks(runner, 9)
  assert.deepEqual([...(await runner.notes())], [])
  assert.equal(runner.scan.error?.code, 'delta_full')
  await runner.look()
  assert.deepEqual(taken, ['a.csv'])
  assert.equal(runner.scan.error, null)
})

it('an unreachable bucket forgets no file', async () => {
  const { put, open, bucket, taken } = world()
  await put('a.csv')
  const runner = open()
  await looks(runner, 2)
  const list = bucket.list.bind(bucket)
  bucket.list = () => {
    throw new VectordError('bucket_unreachable', 'no')
  }
  await runner.look()
  assert.equal(runner.scan.error?.code, 'bucket_unreachable')
  bucket.list = list
  await looks(runner, 2)
  assert.deepEqual(taken, ['a.csv'])
})

it('more files than are looked at are told of', async () => {
  const { put, open, taken } = world()
  for (const key of ['a.csv', 'b.csv', 'c.csv']) await put(key)
  const runner = open(2)
  await looks(runner, 2)
  assert.deepEqual(taken, ['a.csv', 'b.csv'])
  assert.equal(runner.scan.isCut, true)
})

it('an error that repeats half a file leaves notes that can be read', async () => {
  const { put, open, faults } = world()
  await put('a.csv')
  faults.set('a.csv', ['file_corrupt'])
  const runner = open()
  await looks(runner, 2)
  const note = (await open().notes()).get('a.csv')
  assert.equal(note?.error?.code, 'file_corrupt')
  assert.equal(note.error.message.length, 4096)
})

it('a file that was taken and is out of sight for a while is not taken again', async () => {
  const { put, open, taken, bucket } = world()
  for (const key of ['b.csv', 'c.csv']) await put(key)
  const runner = open(2)
  await looks(runner, 2)
  await put('a.csv')
  await looks(runner, 2)
  assert.equal(runner.scan.isCut, true)
  await bucket.delete('a.csv')
  await looks(runner, 3)
  assert.deepEqual(taken, ['b.csv', 'c.csv', 'a.csv'])
  await bucket.delete('c.csv')
  await runner.look()
  assert.deepEqual([...(await open().notes()).keys()], ['b.csv'])
})

it('what another server has taken meanwhile is not taken again', async () => {
  const { put, open, taken } = world()
  const [one, other] = [open(), open()]
  await looks(one, 1)
  await looks(other, 1)
  await put('a.csv')
  await looks(one, 2)
  await looks(other, 3)
  assert.deepEqual(taken, ['a.csv'])
})

it('closing ends what is under way, and it is taken after the next start', async () => {
  const { put, control, bucket } = world()
  await put('a.csv')
  const begun = Promise.withResolvers<undefined>()
  const store = new WatchStore({ store: () => control, nowMs: Date.now })
  const runner = new WatchRunner(
    { ...WATCH, intervalSecs: 0 },
    {
      ...{ store, bucket: () => bucket, filesMax: 9, nowMs: Date.now },
      ingest: (_watch, _file, signal) =>
        new Promise((_resolve, reject) => {
          signal.addEventListener('abort', () => {
            reject(signal.reason as Error)
          })
          begun.resolve(undefined)
        }),
      onTrouble: () => assert.fail('nothing fails'),
    },
  )
  await runner.look()
  runner.tick()
  await begun.promise
  assert.equal(runner.current, 'a.csv')
  await runner.close(new VectordError('shutting_down', 'bye'))
  assert.deepEqual([...(await store.files('w'))], [])
})
