/** Which versions go: the worked cases of the design, and what must hold for any. */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import fc from 'fast-check'
import {
  droppedBefore,
  droppedVersions,
  mergedRules,
  type DropRule,
} from '../../src/versions/drop-rules.ts'

const VERSIONS = [1, 5, 10, 20, 100]
const now = { commitVersion: 100 }

const CASES: readonly (readonly [string, Omit<DropRule, 'commitVersion'>, readonly number[]])[] = [
  ['without a bound all go', {}, VERSIONS],
  ['up to 10: strictly older ones', { upToVersion: 10 }, [1, 5]],
  ['keep 2: all but the two newest', { keepLastVersions: 2 }, [1, 5, 10]],
  ['up to 15 and keep 3: what both allow', { upToVersion: 15, keepLastVersions: 3 }, [1, 5]],
  ['up to 3 and keep 2', { upToVersion: 3, keepLastVersions: 2 }, [1]],
  ['up to 50 and keep 1', { upToVersion: 50, keepLastVersions: 1 }, [1, 5, 10, 20]],
  ['keep more than there are: none', { keepLastVersions: 9 }, []],
  ['keep none: all', { keepLastVersions: 0 }, VERSIONS],
  ['up to the first: none', { upToVersion: 1 }, []],
  ['a pending one is never dropped', { pendingVersion: 5 }, [1, 10, 20, 100]],
  [
    'one that is being written counts as kept',
    { keepLastVersions: 2, pendingVersion: 200 },
    [1, 5, 10, 20],
  ],
  ['one that is there counts once', { keepLastVersions: 2, pendingVersion: 100 }, [1, 5, 10]],
  [
    'an old pending one stays',
    { upToVersion: 50, keepLastVersions: 1, pendingVersion: 1 },
    [5, 10, 20],
  ],
]

for (const [name, rule, expected] of CASES) {
  it(name, () => {
    assert.deepEqual(droppedVersions(VERSIONS, { ...rule, ...now }), expected)
  })
}

it('versions that are newer than the request stay, and do not push older ones out', () => {
  assert.deepEqual(droppedVersions(VERSIONS, { commitVersion: 10 }), [1, 5, 10])
  const keep = { keepLastVersions: 2, commitVersion: 10 }
  assert.deepEqual(droppedVersions(VERSIONS, keep), [1])
})

it('the order in which versions are listed does not matter, nor one that is listed twice', () => {
  const rule = { keepLastVersions: 2, ...now }
  assert.deepEqual(droppedVersions([100, 5, 20, 1, 10, 5], rule), [1, 5, 10])
})

it('the start of a thing goes up to the bound, never past what was known or is pending', () => {
  assert.equal(droppedBefore({ upToVersion: 10, ...now }), 10)
  assert.equal(droppedBefore({ upToVersion: 500, ...now }), 101)
  assert.equal(droppedBefore(now), 101)
  assert.equal(droppedBefore({ upToVersion: 10, pendingVersion: 7, ...now }), 7)
  assert.equal(droppedBefore({ keepLastVersions: 1, ...now }), 0)
})

const version = fc.nat({ max: 30 })
const anyRule: fc.Arbitrary<DropRule> = fc.record(
  {
    upToVersion: version,
    keepLastVersions: fc.nat({ max: 5 }),
    commitVersion: version,
    pendingVersion: version,
  },
  { requiredKeys: ['commitVersion'] },
)

function union(versions: readonly number[], rules: readonly DropRule[]): number[] {
  const all = rules.flatMap((rule) => droppedVersions(versions, rule))
  return [...new Set(all)].sort((a, b) => a - b)
}

it('merged rules let go exactly what each of them did', () => {
  fc.assert(
    fc.property(fc.array(version), fc.array(anyRule, { maxLength: 8 }), (versions, rules) => {
      const taken: DropRule[] = []
      let merged: readonly DropRule[] = []
      for (const rule of rules) {
        const next = mergedRules(merged, rule)
        if (next === null) continue
        merged = next
        taken.push(rule)
      }
      assert.ok(merged.length <= 8)
      const expected = union(versions, taken)
      const found = union(versions, merged)
      assert.deepEqual(found, expected)
    }),
  )
})

it('too many different wishes for one thing are not taken in', () => {
  const rules = Array.from({ length: 8 }, (_, keepLastVersions) => ({ keepLastVersions, ...now }))
  const merged = rules.reduce<readonly DropRule[]>((all, rule) => {
    const next = mergedRules(all, rule)
    assert.ok(next !== null)
    return next
  }, [])
  assert.equal(mergedRules(merged, { keepLastVersions: 8, ...now }), null)
  assert.equal(mergedRules(merged, { keepLastVersions: 3, ...now })?.length, 8)
})
