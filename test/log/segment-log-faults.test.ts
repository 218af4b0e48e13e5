/**
 * A crash, a full disk or a broken file at every call that the segment log makes to the file system.
 *
 * How: one scenario with rotation, failed appends, truncation and a restart; it is run again with a
 * fault at call 1, 2, … until it ends without one. Afterwards the log is opened without faults:
 * what was acknowledged must be there, and nothing that was never appended.
 */

import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, it } from 'node:test'
import { hasCode, VectordError } from '../../src/lib/errors.ts'
import type { LogStore } from '../../src/log/log-store.ts'
import { openSegmentLog } from '../../src/log/segment-log.ts'
import { CrashedFiles, FaultyFiles, type FileFault } from '../support/faulty-files.ts'
import { bytesOf, texts } from './log-store.suite.ts'

const root = await mkdtemp(join(tmpdir(), 'vectord-log-faults-'))
after(() => rm(root, { recursive: true }))

let folders = 0

function newFolder(): string {
  folders += 1
  return join(root, `index-${folders}`, 'log')
}

interface Ledger {
  /** `lsn:payload` of what was acknowledged. */
  readonly acked: string[]
  /** Payloads whose append was refused or never answered. */
  readonly unsure: Set<string>
  /** A truncation up to here may have happened. */
  floor: number
}

function open(folder: string, files = new FaultyFiles()): Promise<LogStore> {
  const sizes = { segmentBytesMax: 760, groupBytesMax: 300 }
  return openSegmentLog({ folder, incarnation: 'one', ...sizes, files: files.system })
}

async function append(log: LogStore, payload: string, ledger: Ledger): Promise<void> {
  ledger.unsure.add(payload)
  const lsn = await log.append(bytesOf(payload))
  ledger.unsure.delete(payload)
  ledger.acked.push(`${lsn}:${payload}`)
}

/** Goes on after any failure but a crash: a client would. */
async function tolerating(work: Promise<unknown>): Promise<void> {
  try {
    await work
  } catch (error) {
    if (error instanceof CrashedFiles) throw error
    assert.ok(hasCode(error, 'storage_full', 'storage_error'), String(error))
  }
}

async function scenario(folder: string, files: FaultyFiles, ledger: Ledger): Promise<void> {
  for (const round of ['a', 'b']) {
    let log: LogStore | null = null
    while (log === null) {
      const opening: Promise<LogStore> = open(folder, files)
      await tolerating(opening)
      log = await opening.catch(() => null)
    }
    for (let i = 0; i < 2; i += 1) {
      await tolerating(append(log, `${round}${i}`.padEnd(90), ledger))
    }
    const together = [5, 6, 7].map((i) => append(log, `${round}${i}`.padEnd(110), ledger))
    const settled = await Promise.allSettled(together)
    for (const one of settled) {
      if (one.status === 'rejected') await tolerating(Promise.reject(one.reason as Error))
    }
    ledger.floor = Math.max(ledger.floor, log.lastLsn - 2)
    await tolerating(log.truncate(ledger.floor))
    await tolerating(append(log, `${round} truncated`, ledger))
    ledger.floor = log.lastLsn
    await tolerating(log.truncate(ledger.floor))
    await tolerating(append(log, `${round} emptied`, ledger))
    await log.close()
  }
}

/** Opens without faults and compares with the ledger. */
async function check(folder: string, ledger: Ledger, what: string): Promise<void> {
  const log = await open(folder)
  const found = await texts(log, ledger.floor)
  const acked = ledger.acked.filter((entry) => Number.parseInt(entry) > ledger.floor)
  for (const entry of acked) assert.ok(found.includes(entry), `${what}: lost ${entry}`)
  let before = ledger.floor
  for (const entry of found) {
    const lsn = Number.parseInt(entry)
    assert.ok(lsn > before, `${what}: ${lsn} follows ${before}`)
    before = lsn
    const payload = entry.slice(entry.indexOf(':') + 1)
    assert.ok(acked.includes(entry) || ledger.unsure.has(payload), `${what}: phantom ${entry}`)
  }
  const lastAcked = Math.max(ledger.floor, ...acked.map((entry) => Number.parseInt(entry)))
  assert.ok(log.lastLsn >= lastAcked, `${what}: ends at ${log.lastLsn}`)
  await log.verify()
  assert.ok((await log.append(bytesOf('next'))) > lastAcked, what)
  await log.close()
}

/** Runs the scenario with `fault` at every call. @returns at how many calls it struck. */
async function atEveryCall(fault: FileFault, cutPower = false): Promise<number> {
  for (let nth = 1; ; nth += 1) {
    const folder = newFolder()
    const files = new FaultyFiles()
    const ledger: Ledger = { acked: [], unsure: new Set(), floor: 0 }
    files.strike(nth, fault)
    try {
      await scenario(folder, files, ledger)
    } catch (error) {
      if (!(error instanceof CrashedFiles)) throw error
    }
    const struck = files.calls.length >= nth
    const losesPower = cutPower && files.crashed
    await files.restart()
    if (losesPower) await files.losePower()
    const what = `${JSON.stringify(fault)} at call ${nth}: ${files.calls[nth - 1] ?? 'none'}`
    await check(folder, ledger, what)
    await rm(join(folder, '..'), { recursive: true })
    if (!struck) return nth - 1
  }
}

// A crash before a call is one after the call before it.
for (const when of ['half', 'after'] as const) {
  for (const cutPower of [false, true]) {
    const how = cutPower ? 'a power cut' : 'a crash'
    it(`${how} (${when}) at any call loses nothing that was acknowledged`, async () => {
      assert.ok((await atEveryCall({ kind: 'crash', when }, cutPower)) > 100)
    })
  }
}

for (const errno of ['ENOSPC', 'EIO', 'EMFILE']) {
  it(`${errno} at any call refuses by name, and the log goes on`, async () => {
    assert.ok((await atEveryCall({ kind: 'error', errno })) > 100)
  })
}

it('errors in the middle of any write and at the ten calls after it', async () => {
  const fault = { kind: 'error', errno: 'ENOSPC', half: true, times: 11 } as const
  assert.ok((await atEveryCall(fault)) > 100)
})

it('a write that takes only half of its bytes is gone on with', async () => {
  assert.ok((await atEveryCall({ kind: 'short' })) > 100)
})

it('a full disk says storage_full for as long as it is full, reads go on, then writes do', async () => {
  const folder = newFolder()
  const files = new FaultyFiles()
  const log = await open(folder, files)
  for (const payload of ['a', 'b']) await log.append(bytesOf(payload))
  const isFullWrite = { kind: 'error', errno: 'ENOSPC', half: true, times: 1_000_000 } as const
  files.strike(1, isFullWrite)
  for (let i = 0; i < 5; i += 1) {
    await assert.rejects(log.append(bytesOf('refused')), { code: 'storage_full' })
  }
  files.heal()
  assert.deepEqual(await texts(log), ['1:a', '2:b'])
  const lsn = await log.append(bytesOf('c'))
  assert.ok(lsn > 2)
  assert.deepEqual(await texts(log), ['1:a', '2:b', `${lsn}:c`])
  await log.close()
  const again = await open(folder)
  assert.deepEqual(await texts(again), ['1:a', '2:b', `${lsn}:c`])
  await again.close()
})

it('a number of a refused record is never given to another', async () => {
  const folder = newFolder()
  const files = new FaultyFiles()
  const log = await open(folder, files)
  await log.append(bytesOf('a'))
  files.strike(2, { kind: 'error', errno: 'EIO' })
  const both = await Promise.allSettled([log.append(bytesOf('x')), log.append(bytesOf('y'))])
  assert.deepEqual(
    both.map(({ status }) => status),
    ['rejected', 'rejected'],
  )
  assert.equal(await log.append(bytesOf('b')), 4)
  assert.deepEqual(await texts(log), ['1:a', '4:b'])
  await log.close()
})

it('a failed sync is believed: the group is cut off, not tried again', async () => {
  const folder = newFolder()
  const files = new FaultyFiles()
  const log = await open(folder, files)
  await log.append(bytesOf('a'))
  const before = files.calls.length
  files.strike(2, { kind: 'error', errno: 'EIO' })
  await assert.rejects(log.append(bytesOf('x')), (error) => {
    assert.ok(error instanceof VectordError && error.code === 'storage_error')
    return error.message.includes('EIO')
  })
  const calls = files.calls.slice(before).map((call) => call.split(' ')[0])
  assert.deepEqual(calls.slice(0, 2), ['write', 'datasync'])
  assert.deepEqual(calls.slice(-3), ['truncate', 'sync', 'close'])
  await log.close()
  const again = await open(folder)
  assert.deepEqual(await texts(again), ['1:a'])
  await again.close()
})

it('a record that a restart finds is durable from then on, also if it was never synced', async () => {
  const folder = newFolder()
  const files = new FaultyFiles()
  const log = await open(folder, files)
  await log.append(bytesOf('a'))
  files.strike(1, { kind: 'crash', when: 'after' })
  await assert.rejects(log.append(bytesOf('b')), CrashedFiles)
  await files.restart()
  const again = await open(folder, files)
  assert.deepEqual(await texts(again), ['1:a', '2:b'])
  await again.close()
  await files.losePower()
  const last = await open(folder)
  assert.deepEqual(await texts(last), ['1:a', '2:b'])
  await last.close()
})
