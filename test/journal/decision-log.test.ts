/** The decision log: every verdict stays, newest first, with its evidence. */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { MemoryStore } from '../../src/buckets/memory-store.ts'
import type { ObjectStore } from '../../src/buckets/object-store.ts'
import { type Decision, DecisionLog } from '../../src/journal/decision-log.ts'
import { collect } from '../support/collect.ts'

it('decisions are read at once and after a restart, newest first, in pages', async () => {
  const store = new MemoryStore()
  const log = open(store)
  for (let i = 0; i < 5; i += 1) log.append(decision({ reason: `number ${i}` }))
  assert.equal(await log.flush('docs'), 5)
  log.append(decision({ reason: 'number 5', trialId: null, dryRun: true }))
  const reasons: string[] = []
  let after: string | null = null
  do {
    const page = await log.list('docs', { limit: 4, after })
    reasons.push(...page.decisions.map(({ reason }) => reason))
    after = page.next
  } while (after !== null)
  assert.deepEqual(
    reasons,
    [5, 4, 3, 2, 1, 0].map((i) => `number ${i}`),
  )
  await log.close()
  const [newest] = (await open(store).list('docs', { limit: 1, after: null })).decisions
  assert.deepEqual(
    [newest?.trialId, newest?.dryRun, newest?.evidence],
    [null, true, { lcb: 0.951 }],
  )
})

it('a compaction leaves one object with every decision', async () => {
  const store = new MemoryStore()
  const log = open(store)
  for (let i = 0; i < 3; i += 1) {
    log.append(decision({ reason: `number ${i}` }))
    await log.flush('docs')
  }
  assert.equal(await log.compact('docs'), 3)
  assert.equal((await collect(store.list('_hnsw_decisions/docs/'))).length, 1)
  assert.equal((await open(store).list('docs', { limit: 10, after: null })).decisions.length, 3)
})

it('a round of upkeep flushes, and merges a log of many objects', async () => {
  const store = new MemoryStore()
  const log = open(store)
  for (let i = 0; i < 64; i += 1) {
    log.append(decision())
    await log.upkeep()
  }
  assert.equal((await collect(store.list('_hnsw_decisions/docs/'))).length, 1)
})

it('a decision without a reason to read back, and an odd cursor, are refused', async () => {
  const log = open(new MemoryStore())
  assert.throws(() => log.append(decision({ verdict: '' })), { code: 'object_corrupt' })
  const evidence = { text: 'x'.repeat(20_000) }
  assert.throws(() => log.append(decision({ evidence })), { code: 'object_corrupt' })
  await assert.rejects(log.list('docs', { limit: 1, after: 'x' }), { code: 'invalid_cursor' })
  assert.throws(() => log.append(decision({ index: '../x' })), { code: 'invalid_name' })
})

function decision(change: Partial<Decision> = {}): Decision {
  return {
    ...{ atMs: 1_767_225_600_000, index: 'docs', kind: 'promotion', trialId: 't-1' },
    ...{ verdict: 'reject', reason: 'too little gain', evidence: { lcb: 0.951 } },
    ...{ by: 'agent', dryRun: false },
    ...change,
  }
}

function open(store: ObjectStore): DecisionLog {
  return new DecisionLog({
    storeOf: () => store,
    nowMs: () => 1_767_225_600_000,
    onTrouble: (error) => assert.fail(String(error)),
  })
}
