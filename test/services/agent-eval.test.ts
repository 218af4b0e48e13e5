/**
 * The agent's own eval sets: what a person has put under the name of one is neither replaced nor removed.
 */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { MemoryStore } from '../../src/buckets/memory-store.ts'
import { NO_QUERIES, type EvalSet } from '../../src/journal/eval-set.ts'
import { EvalStore } from '../../src/journal/eval-store.ts'
import { AgentEval } from '../../src/services/agent-eval.ts'

const SET: EvalSet = {
  ...{ name: 'agent-docs', index: 'web', k: 10, metric: 'l2', dimension: 2 },
  ...{ source: null, seed: 1, lsn: 0, points: 0, createdMs: 0 },
  ...{ tune: NO_QUERIES, heldOut: NO_QUERIES },
}

async function world(
  set: EvalSet,
): Promise<{ readonly own: AgentEval; readonly evals: EvalStore }> {
  const store = new MemoryStore()
  const evals = new EvalStore({
    buckets: { names: () => ['primary'], store: () => store },
    homeOf: () => 'primary',
  })
  await evals.put(set)
  const unasked = (): never => assert.fail('no set is looked at or made')
  return { evals, own: new AgentEval(evals, { report: unasked, make: unasked }) }
}

it('a set of another index is told of and stays, also when the index is deleted', async () => {
  const { own, evals } = await world(SET)
  await assert.rejects(own.ensure('docs', null), { code: 'not_configured' })
  await own.drop('docs')
  assert.equal((await evals.get('agent-docs')).index, 'web')
})

it('its own set goes with the index; of one without a set nothing goes', async () => {
  const { own, evals } = await world({ ...SET, index: 'docs' })
  await own.drop('other')
  await own.drop('docs')
  assert.equal(await evals.find('agent-docs'), null)
})
