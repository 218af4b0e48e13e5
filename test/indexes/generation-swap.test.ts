/**
 * A generation is published on every shard and durably, or on none.
 */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { publishGeneration, type Swapped } from '../../src/indexes/generation-swap.ts'

/** Two shards that serve generation 1; `fails` names what does not work. */
function swapped(fails: 'shard' | 'checkpoint' | null): {
  readonly index: Swapped
  readonly serving: number[]
} {
  const serving = [1, 1]
  const shard = (at: number) => ({
    publish: (generation: number): Promise<void> => {
      if (fails === 'shard' && at === 1 && generation === 2) {
        return Promise.reject(new Error('the core is gone'))
      }
      serving[at] = generation
      return Promise.resolve()
    },
  })
  const index = {
    info: { stats: { generation: 1 } },
    ownShards: () => [shard(0), shard(1)],
    checkpoints: { apart: <T>(work: () => Promise<T>) => work() },
    checkpoint: () =>
      fails === 'checkpoint' ? Promise.reject(new Error('no disk')) : Promise.resolve(),
  }
  // Of an index and its shards publishing uses nothing else.
  return { index: index as unknown as Swapped, serving }
}

it('published is published everywhere', async () => {
  const { index, serving } = swapped(null)
  await publishGeneration(index, 2)
  assert.deepEqual(serving, [2, 2])
})

for (const [fails, message] of [
  ['shard', /core is gone/],
  ['checkpoint', /no disk/],
] as const) {
  it(`where the ${fails} fails, every shard searches the generation of before`, async () => {
    const { index, serving } = swapped(fails)
    await assert.rejects(publishGeneration(index, 2), message)
    assert.deepEqual(serving, [1, 1])
  })
}
