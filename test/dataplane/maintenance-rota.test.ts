/**
 * Which shard gets the time for maintenance.
 */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { MaintenanceRota } from '../../src/dataplane/maintenance-rota.ts'

it('shards with work take turns, those without leave', () => {
  const rota = new MaintenanceRota()
  for (const shard of [1, 2, 3]) rota.add(shard)
  const left = new Map([
    [1, 2],
    [2, 1],
    [3, 3],
  ])
  const ran: number[] = []
  const work = {
    slice(shard: number): boolean {
      ran.push(shard)
      left.set(shard, (left.get(shard) ?? 0) - 1)
      return (left.get(shard) ?? 0) > 0
    },
    onError: () => assert.fail('no slice throws'),
  }
  for (let turn = 0; rota.hasWork; turn += 1) {
    assert.ok(turn < 10)
    rota.run(1000, work)
  }
  assert.deepEqual(ran, [1, 2, 3, 1, 3, 3])
})

it('with time for one slice only, each turn goes on with the next shard', () => {
  const rota = new MaintenanceRota()
  for (const shard of [1, 2]) rota.add(shard)
  const ran: number[] = []
  const work = {
    slice(shard: number): boolean {
      ran.push(shard)
      const endMs = performance.now() + 2
      while (performance.now() < endMs);
      return true
    },
    onError: () => assert.fail('no slice throws'),
  }
  for (let turn = 0; turn < 4; turn += 1) rota.run(1, work)
  assert.deepEqual(ran, [1, 2, 1, 2])
})

it('a shard whose slice throws pauses, and the others go on', () => {
  const rota = new MaintenanceRota()
  for (const shard of [1, 2]) rota.add(shard)
  const failed: number[] = []
  const ran: number[] = []
  const work = {
    slice(shard: number): boolean {
      if (shard === 1) throw new Error('broken')
      ran.push(shard)
      return false
    },
    onError: (shard: number) => void failed.push(shard),
  }
  rota.run(1000, work)
  rota.add(1)
  assert.equal(rota.hasWork, false)
  assert.deepEqual([failed, ran], [[1], [2]])
  rota.forgive(Infinity)
  assert.equal(rota.hasWork, true)
})
