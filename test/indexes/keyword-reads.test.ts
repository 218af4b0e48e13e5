/**
 * Searches by keywords over several shards: the ranking is that of one shard with all points, and a
 * shard that does not know its words yet is waited for.
 */

import assert from 'node:assert/strict'
import { it, type TestContext } from 'node:test'
import type { ShardAnswer, ShardQuery } from '../../src/domain/search.ts'
import type { ShardClient } from '../../src/indexes/shard-client.ts'
import { searchShards } from '../../src/indexes/shard-reads.ts'
import { VectordError } from '../../src/lib/errors.ts'
import { Harness, NOTHING } from '../shard/harness.ts'
import { plainBm25 } from '../support/plain-keywords.ts'
import { seededRandom } from '../support/vectors.ts'

const VECTOR = Float32Array.of(1, 2, 3)
const BOUNDS = { deadlineMs: Infinity }

function query(terms: readonly string[], k = 10): ShardQuery {
  const target = { keywords: { terms, statistics: null } }
  return { target, k, ef: null, exact: false, filter: null, include: NOTHING }
}

/** The reads of a shard that is open in the test; nothing else is asked of it. */
function clientOf(harness: Harness): ShardClient {
  const { shard } = harness
  const reads: Pick<ShardClient, 'search' | 'keywordStatistics' | 'prepareKeywords'> = {
    search: async (asked) => shard.search(asked),
    keywordStatistics: async (terms) => shard.keywordStatistics(terms),
    prepareKeywords: () => shard.prepareKeywords(),
  }
  return reads as ShardClient
}

async function openShards(t: TestContext, shards: number): Promise<Harness[]> {
  return Promise.all(
    Array.from({ length: shards }, async (_, shard) => {
      const harness = new Harness(t, { dimension: 3, spec: { shard, shards } })
      await harness.open()
      return harness
    }),
  )
}

it('three shards rank as one would, whichever holds a point', async (t) => {
  const harnesses = await openShards(t, 3)
  const random = seededRandom(3)
  // Some words are in one shard only: by its own statistics their weight would be another.
  const points = Array.from({ length: 600 }, (_, i) => {
    const words = Array.from({ length: 1 + Math.floor(random() * 9) }, () => {
      return `w${Math.floor(25 * random() ** 3)}`
    })
    return { id: `p${i}`, vector: VECTOR, text: words.join(' '), metadata: null }
  })
  for (const harness of harnesses) harness.upsert(points)
  const clients = harnesses.map(clientOf)
  for (const terms of [['w0'], ['w24'], ['w3', 'w11', 'w0'], ['w20', 'w21', 'w22', 'w1']]) {
    const expected = plainBm25(points, terms)
    const answer = await searchShards(clients, query(terms, 40), BOUNDS)
    assert.equal(answer.path, 'keyword')
    assert.equal(answer.hits.length, Math.min(40, expected.length))
    assert.equal(answer.exhausted, expected.length < 40)
    const scores = new Map(expected.map(({ id, score }) => [id, score]))
    for (const [i, hit] of answer.hits.entries()) {
      assert.ok(Math.abs(-hit.distance - (expected[i]?.score ?? NaN)) < 1e-9, `place ${i}`)
      assert.ok(Math.abs(-hit.distance - (scores.get(hit.id) ?? NaN)) < 1e-9)
    }
  }
})

const EMPTY: ShardAnswer = {
  ...{ hits: [], path: 'keyword', efUsed: 0, generation: 1, exhausted: true, lsn: 1 },
}

it('words that are missing are waited for, as often as it takes', async () => {
  const calls: string[] = []
  let missing = 2
  const client: Pick<ShardClient, 'search' | 'prepareKeywords'> = {
    search: async () => {
      calls.push('search')
      if (missing > 0) throw new VectordError('keywords_loading', 'Not yet.')
      return EMPTY
    },
    prepareKeywords: async () => {
      calls.push('prepare')
      missing -= 1
    },
  }
  await searchShards([client as ShardClient], query(['x']), BOUNDS)
  assert.deepEqual(calls, ['search', 'prepare', 'search', 'prepare', 'search'])
})

it('the wait ends with what the shard says of it, and other failures are not waited for', async () => {
  const fail = (code: 'keywords_loading' | 'deadline_exceeded' | 'core_unavailable'): never => {
    throw new VectordError(code, 'No.')
  }
  let searches = 0
  const late: Pick<ShardClient, 'search' | 'prepareKeywords'> = {
    search: async () => fail('keywords_loading'),
    prepareKeywords: async () => fail('deadline_exceeded'),
  }
  const dead: Pick<ShardClient, 'search'> = {
    search: async () => {
      searches += 1
      return fail('core_unavailable')
    },
  }
  const codes = await Promise.all(
    [late, dead].map(async (client) =>
      searchShards([client as ShardClient], query(['x']), BOUNDS).catch((error: unknown) => {
        return error instanceof VectordError ? error.code : error
      }),
    ),
  )
  assert.deepEqual([...codes, searches], ['deadline_exceeded', 'core_unavailable', 1])
})
