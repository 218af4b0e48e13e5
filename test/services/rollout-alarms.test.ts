/**
 * Alarms reach the rollouts that they concern: recall by index, deaths of cores since the last look, memory.
 */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import type { RolloutStage } from '../../src/autotune/rollout-state.ts'
import { RolloutAlarms } from '../../src/services/rollout-alarms.ts'

it('recall goes to the champion of its index; deaths, once, and memory to what is in the cores', async () => {
  const cores = [{ deaths: 3 }, { deaths: 0 }]
  const told: string[] = []
  let isAlarmed = false
  let stage: RolloutStage = 'champion'
  const alarms = new RolloutAlarms({
    recall: () => [
      { index: 'a', isAlarmed },
      { index: 'quiet', isAlarmed: true },
    ],
    cores: () => cores,
    memory: { usedBytes: 7, boundBytes: 9 },
    rollouts: () => [
      { index: 'a', stage },
      { index: 'b', stage: 'shadow' },
      // Waits for a person, and is in no core.
      { index: 'c', stage: 'validated' },
    ],
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

  // In the canary it is the recall of the champion.
  stage = 'canary'
  await alarms.look()
  assert.deepEqual(told, ['a memory 7 of 9', 'b memory 7 of 9'])
})
