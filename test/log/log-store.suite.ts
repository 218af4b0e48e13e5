/**
 * The contract of `LogStore`, for every backend.
 *
 * How: `open` opens the same log each time, as after a restart; `LogStore` says what must hold.
 */

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import type { LogRecord, LogStore } from '../../src/log/log-store.ts'
import { collect } from '../support/collect.ts'

export interface LogUnderTest {
  /** Small segments or groups, so that a few records fill several of them. */
  open(incarnation?: string, baseLsn?: number): Promise<LogStore>
}

export function bytesOf(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text))
}

export function textOf({ lsn, payload }: LogRecord): string {
  return `${lsn}:${Buffer.from(payload).toString()}`
}

export async function texts(log: LogStore, afterLsn = 0): Promise<string[]> {
  return (await collect(log.read(afterLsn))).map(textOf)
}

interface SuiteOptions {
  /** Runs of the model test. */
  readonly runs: number
}

export function logStoreSuite(
  name: string,
  make: () => Promise<LogUnderTest>,
  { runs }: SuiteOptions = { runs: 60 },
): void {
  describe(`LogStore: ${name}`, () => {
    it('a new log is empty', async () => {
      const log = await (await make()).open()
      assert.equal(log.lastLsn, 0)
      assert.deepEqual(await texts(log), [])
      await log.close()
    })

    it('records come back in order, numbered from 1, also after a restart', async () => {
      const under = await make()
      const log = await under.open()
      for (const text of ['a', '', 'c']) await log.append(bytesOf(text))
      await log.close()
      const again = await under.open()
      assert.equal(again.lastLsn, 3)
      assert.equal(await again.append(bytesOf('d')), 4)
      assert.deepEqual(await texts(again), ['1:a', '2:', '3:c', '4:d'])
      assert.deepEqual(await texts(again, 2), ['3:c', '4:d'])
      assert.deepEqual(await texts(again, 4), [])
      await again.close()
    })

    it('a new log begins after the lsn that it is given, and knows it after a restart', async () => {
      const under = await make()
      const log = await under.open('one', 41)
      assert.equal(log.lastLsn, 41)
      assert.deepEqual(await texts(log, 41), [])
      await log.close()
      const again = await under.open('one')
      assert.equal(again.lastLsn, 41)
      assert.equal(await again.append(bytesOf('a')), 42)
      assert.deepEqual(await texts(again, 41), ['42:a'])
      await assert.rejects(texts(again, 40), { code: 'log_corrupt' })
      await again.truncate(42)
      await again.close()
      const last = await under.open('one', 7)
      assert.equal(last.lastLsn, 42, 'a log that has anything goes on from there')
      assert.deepEqual(await texts(last, 42), [])
      await last.close()
    })

    it('appends that come together resolve in order with consecutive lsn', async () => {
      const log = await (await make()).open()
      const order: number[] = []
      const appends = Array.from({ length: 50 }, async (_, i) => {
        order.push(await log.append(bytesOf(`${i}`)))
      })
      await Promise.all(appends)
      assert.deepEqual(
        order,
        order.map((_, i) => i + 1),
      )
      assert.equal((await texts(log)).at(-1), '50:49')
      await log.close()
    })

    it('a record larger than a group or a segment is kept whole', async () => {
      const under = await make()
      const log = await under.open()
      const large = new Uint8Array(3_000_000).map((_, i) => i % 251)
      await log.append(bytesOf('small'))
      await log.append(large)
      await log.append(bytesOf('after'))
      await log.close()
      const again = await under.open()
      const [, record] = await collect(again.read(0))
      assert.ok(record !== undefined && Buffer.from(record.payload).equals(large))
      await again.close()
    })

    it('a reader sees what was durable when it began', async () => {
      const log = await (await make()).open()
      for (let i = 0; i < 5; i += 1) await log.append(bytesOf('x'))
      const seen: number[] = []
      for await (const { lsn } of log.read(0)) {
        seen.push(lsn)
        await log.append(bytesOf('later'))
      }
      assert.deepEqual(seen, [1, 2, 3, 4, 5])
      await log.close()
    })

    it('truncation keeps every later record and refuses to read over the gap', async () => {
      const under = await make()
      const log = await under.open()
      for (let i = 1; i <= 40; i += 1) await log.append(bytesOf(`record ${i}`.padEnd(100)))
      const before = log.bytes
      await log.truncate(30)
      assert.ok(log.bytes < before)
      await log.close()
      const again = await under.open()
      assert.equal((await texts(again, 30)).length, 10)
      await assert.rejects(texts(again, 0), { code: 'log_corrupt', message: /not there/ })
      assert.ok((await again.verify()).records >= 10)
      await again.close()
    })

    it('a log whose records were all given up goes on with its numbers', async () => {
      const under = await make()
      const log = await under.open()
      for (let i = 0; i < 7; i += 1) await log.append(bytesOf('x'))
      await log.truncate(7)
      await log.close()
      for (let restarts = 0; restarts < 3; restarts += 1) {
        const again = await under.open()
        assert.equal(again.lastLsn, 7)
        assert.deepEqual(await texts(again, 7), [])
        await again.truncate(7)
        await again.close()
      }
      const last = await under.open()
      assert.equal(await last.append(bytesOf('y')), 8)
      assert.deepEqual(await texts(last, 7), ['8:y'])
      await last.close()
    })

    it('a reader is not disturbed by a truncation', async () => {
      const log = await (await make()).open()
      for (let i = 0; i < 30; i += 1) await log.append(bytesOf('x'.repeat(100)))
      const seen: number[] = []
      for await (const { lsn } of log.read(0)) {
        seen.push(lsn)
        if (lsn % 10 === 1) await log.truncate(30)
      }
      assert.equal(seen.length, 30)
      await log.truncate(30)
      await assert.rejects(texts(log, 0), { code: 'log_corrupt' })
      await log.close()
    })

    it('the log of an earlier index of this name is refused', async () => {
      const under = await make()
      const log = await under.open('earlier')
      await log.append(bytesOf('x'))
      await log.close()
      await assert.rejects(under.open('later'), { code: 'log_corrupt', message: /earlier/ })
    })

    it('closing waits for what was taken, and then takes nothing', async () => {
      const under = await make()
      const log = await under.open()
      const appended = log.append(bytesOf('x'))
      await log.close()
      await log.close()
      assert.equal(await appended, 1)
      await assert.rejects(log.append(bytesOf('y')))
      const again = await under.open()
      assert.deepEqual(await texts(again), ['1:x'])
      await again.close()
    })

    it('any sequence of operations agrees with a list', async () => {
      const operation = fc.oneof(
        { weight: 6, arbitrary: fc.record({ append: fc.array(fc.nat(300), { maxLength: 12 }) }) },
        {
          weight: 2,
          arbitrary: fc.record({ truncate: fc.double({ min: 0, max: 1, noNaN: true }) }),
        },
        { weight: 2, arbitrary: fc.constant({ reopen: true }) },
      )
      await fc.assert(
        fc.asyncProperty(fc.array(operation, { maxLength: 25 }), async (operations) => {
          await agreesWithList(await make(), operations)
        }),
        { numRuns: runs },
      )
    })
  })
}

type Operation =
  { readonly append: number[] } | { readonly truncate: number } | { readonly reopen: boolean }

async function agreesWithList(
  under: LogUnderTest,
  operations: readonly Operation[],
): Promise<void> {
  const model: string[] = []
  let floor = 0
  let log = await under.open()
  for (const operation of operations) {
    if ('append' in operation) {
      const appends = operation.append.map((size, i) => {
        const text = `${model.length + i}`.padEnd(size)
        return { text, lsn: log.append(bytesOf(text)) }
      })
      for (const { text, lsn } of appends) model.push(`${await lsn}:${text}`)
    } else if ('truncate' in operation) {
      floor = Math.max(floor, Math.floor(model.length * operation.truncate))
      await log.truncate(floor)
    } else {
      await log.close()
      log = await under.open()
    }
    assert.equal(log.lastLsn, model.length)
    assert.deepEqual(await texts(log, floor), model.slice(floor))
  }
  assert.ok((await log.verify()).records >= model.length - floor)
  await log.close()
}
