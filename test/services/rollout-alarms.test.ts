/**
 * Alarms reach the rollouts that they concern: recall by index, deaths of cores since the last look, memory.
 */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { RolloutAlarms } from '../../src/services/rollout-alarms.ts'

it('recall goes to its index, a death to every rollout once, memory to all', async () => {
  const cores = [{ deaths: 3 }, { deaths: 0 }]
  const told: string[] = []
  let isAlarmed = false
  const alarms = new RolloutAlarms({
    recall: () => [
      { index: 'a', isAlarmed },
      { index: 'quiet', isAlarmed: true },
    ],
    cores: () => cores,
    memory: { usedBytes: 7, boundBytes: 9 },
    rollouts: () => ['a', 'b'],
    tell: (index, event) => {
      const numbers = event.kind === 'memory' ? ` ${event.usedBytes} of ${event.budgetBytes}` : ''
      told.push(`${index} ${event.kind}${numbers}`)
      return Promise.resolve()
    },
  })
  await alarms.look()
  assert.deepEqual(told.splice(0), ['a memory 7 of 9', 'b memory 7 of 9'])

  isAlarmed = true
  cores[1] = { deaths: 1 }
  await alarms.look()
  const died = [
    'a recall_alarm',
    'a core_died',
    'a memory 7 of 9',
    'b core_died',
    'b memory 7 of 9',
  ]
  assert.deepEqual(told.splice(0), died)

  isAlarmed = false
  await alarms.look()
  assert.deepEqual(told, ['a memory 7 of 9', 'b memory 7 of 9'])
})
