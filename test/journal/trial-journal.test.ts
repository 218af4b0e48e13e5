/** The journal of trials: every trial has one state and one number, whatever fails or restarts. */

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { it } from 'node:test'
import { MemoryStore } from '../../src/buckets/memory-store.ts'
import type { ObjectStore } from '../../src/buckets/object-store.ts'
import type { Trial } from '../../src/domain/trial.ts'
import { trialFromJson, trialToJson } from '../../src/journal/trial-codec.ts'
import { TrialJournal } from '../../src/journal/trial-journal.ts'
import { VectordError } from '../../src/lib/errors.ts'
import { collect } from '../support/collect.ts'
import { FaultyStore } from '../support/faulty-store.ts'
import { completed, curvePointOf, newTrial, STARTED_MS } from '../support/trials.ts'

it('a trial is read when it begins and when it ends, in this process and in the next', async () => {
  const store = new MemoryStore()
  const journal = open(store)
  const begun = await journal.begin(newTrial())
  assert.equal(begun.seq, 1)
  assert.deepEqual(await open(store).get('docs', 't-1'), begun)
  const ended = completed(begun)
  await journal.finish(ended)
  for (const reader of [journal, open(store)]) {
    assert.deepEqual(await reader.get('docs', 't-1'), ended)
    assert.deepEqual((await reader.list('docs', { limit: 10, after: null })).trials, [ended])
  }
  await assert.rejects(journal.get('docs', 't-2'), { code: 'trial_not_found' })
  await assert.rejects(journal.get('nope', 't-1'), { code: 'index_not_found' })
})

it('seq grows by one, and not even a restart, a compaction or trimmed batches take it back', async () => {
  const store = new MemoryStore()
  const first = open(store)
  const begun: Trial[] = []
  for (const trialId of ['a', 'b', 'c']) begun.push(await first.begin(newTrial({ trialId })))
  assert.deepEqual(
    begun.map(({ seq }) => seq),
    [1, 2, 3],
  )
  const [oldest] = begun
  assert.ok(oldest !== undefined)
  await first.finish(completed(oldest))
  // All but the newest batch, which tells of trial 1 alone.
  const keys = (await collect(store.list(''))).map(({ key }) => key)
  for (const key of keys.slice(0, -1)) await store.delete(key)
  const second = open(store)
  assert.equal((await second.begin(newTrial({ trialId: 'd' }))).seq, 4)
  assert.equal(await second.compact('docs'), 2)
  assert.equal((await open(store).begin(newTrial({ trialId: 'e' }))).seq, 5)
})

it('trials that begin at once get numbers of their own', async () => {
  const journal = open(new MemoryStore())
  const ids = Array.from({ length: 20 }, (_, i) => `t-${i}`)
  const begun = await Promise.all(ids.map((trialId) => journal.begin(newTrial({ trialId }))))
  assert.deepEqual(
    begun.map(({ seq }) => seq).sort((a, b) => a - b),
    ids.map((_, i) => i + 1),
  )
})

it('a start that cannot be made durable is no trial; an end then waits and is told of', async () => {
  const store = new FaultyStore(new MemoryStore())
  const troubles: string[] = []
  const journal = open(store, troubles)
  const fault = { kind: 'error', code: 'bucket_unreachable', when: 'before' } as const
  store.inject({ ...fault, operations: ['putIfAbsent'] })
  await assert.rejects(journal.begin(newTrial()), { code: 'bucket_unreachable' })
  assert.deepEqual((await journal.list('docs', { limit: 10, after: null })).trials, [])
  const begun = await journal.begin(newTrial())
  assert.equal(begun.seq, 2)
  store.inject({ ...fault, operations: ['putIfAbsent'] })
  await journal.finish(completed(begun))
  assert.equal(troubles.length, 1)
  assert.equal((await journal.get('docs', 't-1')).state, 'completed')
  assert.equal((await open(store).get('docs', 't-1')).state, 'running')
  await journal.upkeep()
  assert.equal((await open(store).get('docs', 't-1')).state, 'completed')
})

it('a crash at any step leaves each trial in a state that it had', async () => {
  for (let at = 1; ; at += 1) {
    const inner = new MemoryStore()
    const store = new FaultyStore(inner)
    store.crashAt(at, 'after')
    const journal = open(store, [])
    let hasBegun = false
    let hasEnded = false
    try {
      const begun = await journal.begin(newTrial())
      hasBegun = true
      await journal.finish(completed(begun))
      hasEnded = !store.crashed
      await journal.compact('docs')
    } catch {
      assert.ok(store.crashed)
    }
    const { trials, problems } = await open(inner).list('docs', { limit: 10, after: null })
    assert.deepEqual(problems, [])
    assert.ok(trials.length === 1 || (trials.length === 0 && !hasBegun), `step ${at}`)
    if (hasEnded) assert.equal(trials[0]?.state, 'completed', `step ${at}`)
    assert.equal((await open(inner).begin(newTrial({ trialId: 'next' }))).seq, trials.length + 1)
    if (!store.crashed) break
  }
})

it('an end wins over a start that lies behind it, as after a compaction of another server', async () => {
  const store = new MemoryStore()
  const journal = open(store)
  const ended = completed(await journal.begin(newTrial()))
  const [start] = await collect(store.list(''))
  assert.ok(start !== undefined)
  await journal.finish(ended)
  await store.put('_hnsw_trials/docs/batch_1999999999999999.jsonl', await store.get(start.key))
  assert.deepEqual(await open(store).get('docs', 't-1'), ended)
})

it('pages are newest first, by state, and neither skip nor repeat', async () => {
  const journal = open(new MemoryStore())
  for (let i = 1; i <= 7; i += 1) {
    const begun = await journal.begin(newTrial({ trialId: `t-${i}` }))
    if (i % 2 === 0)
      await journal.finish(completed(begun, { state: 'failed', reason: 'no memory' }))
  }
  const seen: number[] = []
  let after: number | null = null
  do {
    const page = await journal.list('docs', { limit: 3, after })
    seen.push(...page.trials.map(({ seq }) => seq))
    after = page.next
  } while (after !== null)
  assert.deepEqual(seen, [7, 6, 5, 4, 3, 2, 1])
  const failed = await journal.list('docs', { limit: 10, after: null, state: 'failed' })
  assert.deepEqual(
    failed.trials.map(({ seq }) => seq),
    [6, 4, 2],
  )
})

it('history is that of one data set, in the order of seq, failed ones too', async () => {
  const journal = open(new MemoryStore())
  const epoch = { fingerprint: 'cc22', points: 1, dimension: 100, metric: 'cosine' } as const
  await journal.begin(newTrial({ trialId: 'a' }))
  const failed = await journal.begin(newTrial({ trialId: 'b', epoch }))
  await journal.begin(newTrial({ trialId: 'c', epoch }))
  await journal.finish(completed(failed, { state: 'failed', curve: [], boundaries: [] }))
  const history = await journal.history('docs', 'cc22')
  assert.deepEqual(
    history.map(({ trialId, state }) => `${trialId} ${state}`),
    ['b failed', 'c running'],
  )
})

it('the best is the cheapest that shows its recall on held-out queries; ties go to small graphs', async () => {
  const journal = open(new MemoryStore())
  const boundary = (cpuUs: number, recallLcb: number): Trial['boundaries'] => [
    { goal: 0.9, ef: 40, cpuUs, heldOut: curvePointOf({ recall: 1, recallLcb }) },
  ]
  const build = { cpuS: 10, wallS: 10, bytes: 1000, predictedCpuS: null, cached: false }
  const trials: [string, Partial<Trial>][] = [
    ['cheap-but-low', { boundaries: boundary(50, 0.89) }],
    ['not-held-out', { boundaries: [{ goal: 0.9, ef: 40, cpuUs: 1, heldOut: null }] }],
    ['failed', { boundaries: boundary(10, 0.99), state: 'failed' }],
    ['dear', { boundaries: boundary(300, 0.99) }],
    ['large', { boundaries: boundary(100, 0.95), build: { ...build, bytes: 2000 } }],
    ['slow', { boundaries: boundary(100, 0.95), build: { ...build, cpuS: 20 } }],
    ['good', { boundaries: boundary(100, 0.95), build }],
  ]
  for (const [trialId, end] of trials) {
    await journal.finish(completed(await journal.begin(newTrial({ trialId })), end))
  }
  const best = async (minRecall: number, goal?: number): Promise<string | undefined> =>
    (await journal.best('docs', { minRecall, goal }))?.trial.trialId
  assert.equal(await best(0.9), 'good')
  assert.equal(await best(0.96), 'dear')
  assert.equal(await best(0.9, 0.95), undefined)
  assert.equal(await best(0.995), undefined)
  // A trial on other points does not compete with those; the newest data set counts.
  const epoch = { fingerprint: 'cc22', points: 1, dimension: 100, metric: 'cosine' } as const
  const other = await journal.begin(newTrial({ trialId: 'other', epoch }))
  await journal.finish(completed(other, { boundaries: boundary(200, 0.95) }))
  assert.equal(await best(0.9), 'other')
})

it('the Pareto front has the trials that no other beats in recall and cost at once', async () => {
  const journal = open(new MemoryStore())
  const curves: [string, number, number][] = [
    ['fast', 50, 0.8],
    ['beaten', 60, 0.79],
    ['middle', 100, 0.9],
    ['same-cost', 100, 0.85],
    ['best', 200, 0.99],
  ]
  for (const [trialId, cpuUs, recallLcb] of curves) {
    const curve = [curvePointOf({ cpuUs, recallLcb, recall: recallLcb })]
    await journal.finish(completed(await journal.begin(newTrial({ trialId })), { curve }))
  }
  const front = await journal.list('docs', { limit: 10, after: null, pareto: true })
  assert.deepEqual(
    front.trials.map(({ trialId }) => trialId),
    ['best', 'middle', 'fast'],
  )
})

it('a journal of megabytes that did not change is not read again', async () => {
  const inner = new MemoryStore()
  const explain = { why: 'x'.repeat(15_000) }
  const writer = open(inner)
  for (let i = 0; i < 200; i += 1) await writer.begin(newTrial({ trialId: `t-${i}`, explain }))
  await writer.compact('docs')
  const store = new FaultyStore(inner)
  const reader = open(store)
  const gets = (): number => store.log.filter(({ operation }) => operation === 'get').length
  for (let i = 0; i < 3; i += 1) {
    assert.equal((await reader.list('docs', { limit: 500, after: null })).trials.length, 200)
    assert.equal(gets(), 1)
  }
})

it('a sweep aborts what runs past its lease, once, and leaves the rest', async () => {
  const store = new MemoryStore()
  const journal = open(store)
  await journal.begin(newTrial({ trialId: 'late', leaseUntilMs: STARTED_MS + 10 }))
  await journal.begin(newTrial({ trialId: 'in-time', leaseUntilMs: STARTED_MS + 1000 }))
  await journal.begin(newTrial({ trialId: 'no-lease', leaseUntilMs: null }))
  const done = await journal.begin(newTrial({ trialId: 'done', leaseUntilMs: STARTED_MS + 10 }))
  await journal.finish(completed(done))
  const [aborted, ...others] = await open(store).sweep('docs', STARTED_MS + 100)
  assert.deepEqual([aborted?.trialId, aborted?.state, others.length], ['late', 'aborted', 0])
  assert.deepEqual(await open(store).sweep('docs', STARTED_MS + 100), [])
  const { trials } = await open(store).list('docs', { limit: 10, after: null })
  const states = trials.map(({ trialId, state }) => `${trialId} ${state}`)
  assert.deepEqual(states, [
    'done completed',
    'no-lease running',
    'in-time running',
    'late aborted',
  ])
})

it('a damaged line costs its trial and is told of; the others are read', async () => {
  const store = new MemoryStore()
  const journal = open(store)
  for (const trialId of ['a', 'b']) await journal.begin(newTrial({ trialId }))
  const [first] = await collect(store.list(''))
  assert.ok(first !== undefined)
  const body = Buffer.from(await store.get(first.key)).toString()
  await store.put(first.key, Buffer.from(body.replace('"m":16', '"m":17')))
  const { trials, problems } = await open(store).list('docs', { limit: 10, after: null })
  assert.deepEqual(
    trials.map(({ trialId }) => trialId),
    ['b'],
  )
  assert.deepEqual(
    problems.map(({ key, code }) => [key, code]),
    [[first.key, 'object_corrupt']],
  )
})

it('a trial that breaks a rule is refused before it is written, and never read', async () => {
  const begun: Trial = { ...newTrial(), seq: 1 }
  const bad: Record<string, Trial> = {
    'trial "finished_at"': { ...begun, finishedMs: STARTED_MS },
    'trial "canonical_key"': { ...begun, canonicalKey: 'm=4' },
    'trial "seq"': { ...begun, seq: 0 },
    'curve of a trial "recall_lcb"': {
      ...begun,
      curve: [curvePointOf({ recall: 0.9, recallLcb: 0.91 })],
    },
    'curve of a trial "cpu_us"': { ...begun, curve: [curvePointOf({ cpuUs: Number.NaN })] },
    'trial "curve"': { ...begun, curve: [curvePointOf({ ef: 40 }), curvePointOf({ ef: 40 })] },
    'trial "explain"': { ...begun, explain: { text: 'x'.repeat(20_000) } },
    'config of a trial "m"': { ...begun, config: { ...begun.config, m: 1 } },
    'epoch of a trial "fingerprint"': { ...begun, epoch: { ...begun.epoch, fingerprint: '' } },
  }
  for (const [what, trial] of Object.entries(bad)) {
    const [noun = '', field = ''] = what.split(' "')
    const json = JSON.parse(JSON.stringify(trialToJson(trial))) as unknown
    const message = `The ${noun} has a bad "${field}.`
    assert.throws(() => trialFromJson('docs', json), { code: 'object_corrupt', message }, what)
  }
  assert.throws(() => trialFromJson('other', trialToJson(begun)), { code: 'object_corrupt' })
  const journal = open(new MemoryStore())
  const spoilt = newTrial({ curve: [curvePointOf({ cpuUs: Number.POSITIVE_INFINITY })] })
  await assert.rejects(journal.begin(spoilt), { code: 'object_corrupt' })
  assert.deepEqual((await journal.list('docs', { limit: 1, after: null })).trials, [])
})

it('a journal that format 1 wrote is read as it was', async () => {
  const store = new MemoryStore()
  const body = readFileSync('test/fixtures/journal-1/trials.jsonl')
  await store.put('_hnsw_trials/docs/batch_1767225600000000.jsonl', body)
  const { trials, problems } = await open(store).list('docs', { limit: 10, after: null })
  assert.deepEqual(problems, [])
  const first: Trial = { ...newTrial(), seq: 1 }
  const second: Trial = { ...newTrial({ trialId: 't-2' }), seq: 2 }
  assert.deepEqual(trials, [second, completed(first)])
})

function open(store: ObjectStore, troubles?: string[]): TrialJournal {
  let nowMs = STARTED_MS
  return new TrialJournal({
    storeOf: (index) => {
      if (index === 'docs') return store
      throw new VectordError('index_not_found', 'There is no such index.')
    },
    nowMs: () => (nowMs += 1),
    onTrouble: (error, what) => {
      if (troubles === undefined) throw error
      troubles.push(what)
    },
  })
}
