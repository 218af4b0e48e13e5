/**
 * In which order shards are loaded into a core.
 */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { LOADS_MAX, LoadQueue, type Loadable } from '../../src/dataplane/load-queue.ts'

/** A shard whose load lasts until the test ends it. */
class Load implements Loadable {
  starts = 0
  readonly isSuspect: boolean
  #end: () => void = () => undefined

  constructor(isSuspect = false) {
    this.isSuspect = isSuspect
  }

  load(): Promise<void> {
    this.starts += 1
    return new Promise((resolve) => {
      this.#end = resolve
    })
  }

  async end(): Promise<void> {
    this.#end()
    await new Promise(setImmediate)
  }
}

function starts(loads: readonly Load[]): number[] {
  return loads.map((load) => load.starts)
}

it('a few are loaded at a time, and the next when one is done', async () => {
  const queue = new LoadQueue()
  const loads = Array.from({ length: LOADS_MAX + 2 }, () => new Load())
  for (const load of loads) queue.add(load)
  assert.deepEqual(starts(loads), [1, 1, 1, 1, 0, 0])
  await loads[2]?.end()
  assert.deepEqual(starts(loads), [1, 1, 1, 1, 1, 0])
})

it('suspects come last and alone', async () => {
  const queue = new LoadQueue()
  const [first, second, plain] = [new Load(true), new Load(true), new Load()]
  const loads = [plain, first, second]
  for (const load of loads) queue.add(load)
  assert.deepEqual(starts(loads), [1, 0, 0])
  await plain.end()
  assert.deepEqual(starts(loads), [1, 1, 0])
  const late = new Load()
  queue.add(late)
  assert.equal(late.starts, 0)
  await first.end()
  assert.deepEqual([late.starts, second.starts], [1, 0])
  await late.end()
  assert.equal(second.starts, 1)
})

it('a shard that waits or is being loaded is not loaded twice, later it may be', async () => {
  const queue = new LoadQueue()
  const load = new Load()
  queue.add(load)
  queue.add(load)
  await load.end()
  assert.equal(load.starts, 1)
  queue.add(load)
  assert.equal(load.starts, 2)
})

it('after the death of the core all start over, and what was under way counts no more', async () => {
  const queue = new LoadQueue()
  const [old, other, waiting] = [new Load(), new Load(true), new Load(true)]
  queue.add(old)
  queue.clear()
  queue.add(other)
  queue.add(waiting)
  assert.deepEqual(starts([other, waiting]), [1, 0])
  await old.end()
  assert.deepEqual(starts([other, waiting]), [1, 0])
  queue.clear()
  queue.add(other)
  assert.equal(other.starts, 2)
})
