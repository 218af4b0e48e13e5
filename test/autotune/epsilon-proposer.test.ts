/** Guarantees of the epsilon-greedy proposer, and the journal that it must go on reproducing. */

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { it } from 'node:test'
import { epsilonProposer } from '../../src/autotune/epsilon-proposer.ts'
import { DEFAULT_OPTIONS, type Proposal, type ProposalInput } from '../../src/autotune/proposer.ts'
import { DEFAULT_BOUNDS, isWithin, pointKey } from '../../src/autotune/search-space.ts'
import type { HnswConfig } from '../../src/domain/hnsw-config.ts'
import { canonicalKey, type Trial } from '../../src/domain/trial.ts'
import { splitmix32 } from '../../src/lib/splitmix32.ts'
import { goldenJournal } from '../support/golden-journal.ts'
import { randomInput } from '../support/random-journal.ts'
import { CONFIG, point, trial } from '../support/tuner-trials.ts'

const JOURNALS = 1000

const INPUT: ProposalInput = {
  history: [],
  len: 0,
  champion: null,
  current: CONFIG,
  goal: 0.95,
  bounds: DEFAULT_BOUNDS,
  options: DEFAULT_OPTIONS,
}

const CHAMPION = trial({
  seq: 0,
  config: { efConstruction: 200, efSearch: 80 },
  curve: [point({ ef: 60, recall: 0.97 }), point({ ef: 80, recall: 0.98 })],
})

function propose(input: Partial<ProposalInput>): Proposal | null {
  return epsilonProposer.propose({ ...INPUT, ...input })
}

/** Proposals, each recorded as a trial, until there is none. */
function exhaust(input: Partial<ProposalInput>, most: number): Trial[] {
  const history: Trial[] = []
  while (history.length <= most) {
    const champion = history[0] ?? null
    const proposal = propose({ ...input, history, len: history.length, champion })
    if (proposal === null) return history
    history.push(trial({ seq: history.length, config: proposal.config }))
  }
  throw new Error(`more than ${most} proposals`)
}

/** What 499 lengths of a journal with this champion lead to without exploring. */
function exploits(champion: Trial): HnswConfig[] {
  return Array.from({ length: 499 }, (_, i) =>
    propose({ len: i + 1, champion, history: [champion] }),
  ).flatMap((proposal) => (proposal?.explain['mode'] === 'exploit' ? [proposal.config] : []))
}

it(`gives the same journal the same proposal, over ${JOURNALS} journals`, () => {
  for (let seed = 0; seed < JOURNALS; seed += 1) {
    const input = randomInput(seed)
    const stored: unknown = JSON.parse(JSON.stringify(input))
    const again = epsilonProposer.propose(stored as ProposalInput)
    assert.equal(JSON.stringify(again), JSON.stringify(epsilonProposer.propose(input)))
  }
})

it('proposes nothing outside of the bounds and nothing that the history holds', () => {
  for (let seed = 0; seed < JOURNALS; seed += 1) {
    const input = randomInput(seed)
    const proposal = epsilonProposer.propose(input)
    assert.ok(proposal !== null)
    if (input.len === 0) continue
    const { efConstruction, efSearch } = proposal.config
    assert.ok(isWithin(efConstruction, input.bounds.efConstruction))
    assert.ok(efSearch !== null && isWithin(efSearch, input.bounds.efSearch))
    const held = input.history.map(({ config }) => pointKey(config, 10))
    assert.ok(!held.includes(pointKey(proposal.config, 10)))
  }
})

it('explores a quarter of the time over every length of a journal', () => {
  let explored = 0
  for (let len = 0; len < 10_000; len += 1) {
    // The baseline of length 0 draws nothing.
    const proposal = propose({ len: Math.max(1, len), champion: CHAMPION, history: [CHAMPION] })
    if (proposal?.explain['mode'] === 'explore') explored += 1
  }
  assert.ok(Math.abs(explored / 10_000 - 0.25) < 0.015, String(explored))
})

it('begins with what is served, also where that lies outside of the bounds', () => {
  const current = { ...CONFIG, efConstruction: 8, efSearch: 500 }
  const proposal = propose({ current })
  // hnswlib raises efConstruction to m.
  assert.deepEqual(proposal?.config, { ...current, efConstruction: 16 })
  assert.equal(proposal.explain['mode'], 'baseline')
})

it('moves both axes by at most their deltas around the champion, unless clamped', () => {
  const steps = exploits(CHAMPION)
  assert.ok(steps.length > 300)
  for (const { m, efConstruction, efSearch } of steps) {
    assert.ok(isWithin(Math.abs(efConstruction - 200), [1, 20]))
    assert.ok(isWithin(Math.abs((efSearch ?? 0) - 80), [1, 10]))
    assert.equal(m, 16)
  }
  const corner = exploits(trial({ seq: 0, config: { efConstruction: 400, efSearch: 200 } }))
  assert.ok(corner.every(({ efConstruction }) => isWithin(efConstruction, [380, 400])))
  assert.ok(corner.every(({ efSearch }) => isWithin(efSearch ?? 0, [190, 200])))
})

it('steps m along the lattice where it is an axis, one step at most', () => {
  const options = { ...DEFAULT_OPTIONS, axes: ['ef_construction', 'ef_search', 'm'] as const }
  const seen = new Set<number>()
  for (let len = 1; len < 500; len += 1) {
    const proposal = propose({ len, champion: CHAMPION, history: [CHAMPION], options })
    if (proposal?.explain['mode'] === 'exploit') seen.add(proposal.config.m)
  }
  assert.deepEqual([...seen].sort(), [12, 16, 24])
})

it('draws u, then efConstruction, then efSearch, from splitmix32(len)', () => {
  for (let len = 1; len < 200; len += 1) {
    const proposal = propose({ len, champion: CHAMPION, history: [CHAMPION] })
    const random = splitmix32(len)
    const explores = random() < 0.25
    const [first, second] = [random(), random()]
    const step = (u: number, delta: number): number => {
      const i = Math.floor(u * 2 * delta)
      return i < delta ? i - delta : i - delta + 1
    }
    const expected = explores
      ? [10 + Math.floor(first * 391), 10 + Math.floor(second * 191)]
      : [200 + step(first, 20), 80 + step(second, 10)]
    // The champion itself cannot be drawn in exploit mode; exploring, m = 16 raises the smallest.
    const [efConstruction = 0, efSearch] = expected
    assert.deepEqual(proposal?.config.efConstruction, Math.max(16, efConstruction))
    assert.equal(proposal.config.efSearch, efSearch)
  }
})

it('starts from the ef that was solved where it is told to', () => {
  const options = { ...DEFAULT_OPTIONS, epsilon: 0, efSource: 'boundary' as const }
  const proposal = propose({ len: 3, champion: CHAMPION, history: [CHAMPION], options })
  assert.equal(proposal?.explain['ef_source'], 'boundary')
  assert.ok(Math.abs((proposal.config.efSearch ?? 0) - 60) <= 10)
})

it('ends on a tiny space after every point of it was proposed once', () => {
  const bounds = { ...DEFAULT_BOUNDS, efConstruction: [20, 24], efSearch: [10, 13] } as const
  const current = { ...CONFIG, efConstruction: 22, efSearch: 11 }
  const history = exhaust({ bounds, current }, 20)
  assert.equal(history.length, 20)
  assert.equal(new Set(history.map(({ config }) => pointKey(config, 10))).size, 20)
})

it('finds the last point of a space that is all but exhausted by scanning', () => {
  const bounds = { ...DEFAULT_BOUNDS, efConstruction: [16, 60], efSearch: [10, 50] } as const
  const all = Array.from({ length: 45 * 41 }, (_, i) => ({
    efConstruction: 16 + (i % 45),
    efSearch: 10 + Math.floor(i / 45),
  }))
  // In the middle: clamping a long step leads to the corners, not there.
  const last = all[30 * 45 + 33]
  const history = all.filter((one) => one !== last).map((config, seq) => trial({ seq, config }))
  const proposal = propose({ bounds, history, len: history.length, champion: history[0] ?? null })
  assert.deepEqual(proposal?.config, { ...CONFIG, ...last })
  assert.equal(proposal.explain['mode'], 'scan')
})

it('proposes nothing where the bounds hold no point', () => {
  const bounds = { ...DEFAULT_BOUNDS, efConstruction: [4, 10] } as const
  assert.equal(propose({ bounds, len: 1, history: [CHAMPION], champion: CHAMPION }), null)
})

it('draws by the stored length, so that a compacted journal does not go back', () => {
  const whole = propose({ len: 30, history: [CHAMPION], champion: CHAMPION })
  const compacted = propose({ len: 30, history: [], champion: CHAMPION })
  assert.ok(whole !== null)
  assert.deepEqual(whole.config, compacted?.config)
  assert.notDeepEqual(whole.config, propose({ len: 1, champion: CHAMPION })?.config)
})

it('reproduces the golden journal byte for byte', () => {
  const recorded = readFileSync('test/fixtures/autotune/epsilon-1.jsonl', 'utf8')
  assert.equal(goldenJournal(), recorded)
  assert.ok(recorded.includes(canonicalKey(CONFIG)))
})
