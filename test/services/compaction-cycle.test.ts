/**
 * Which indexes a cycle compacts: the worst first, a bounded number, none that is busy or failed lately.
 */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import type { IndexInfo } from '../../src/indexes/index-api.ts'
import { CompactionCycle, deadShareOf } from '../../src/services/compaction-cycle.ts'
import type { Rebuilds } from '../../src/services/rebuilds.ts'

interface Held {
  readonly rows: number
  readonly live: number
  readonly elements?: number
  readonly tombstones?: number
}

/** Indexes by name, and what is asked of them. */
class World {
  readonly infos = new Map<string, IndexInfo>()
  readonly asked: string[] = []
  readonly open = new Set<string>()
  readonly tuned = new Set<string>()
  readonly failing = new Set<string>()
  nowMs = 0
  /** Runs before a compaction ends. */
  during: () => void = () => undefined
  readonly cycle: CompactionCycle

  constructor(perCycle = 4) {
    const rebuilds = {
      isOpen: (index: string) => this.open.has(index),
      compact: (index: string, { graph }: { graph: boolean }) => {
        this.asked.push(graph ? `${index} with its graph` : index)
        return { result: () => this.#compacted(index) }
      },
    }
    this.cycle = new CompactionCycle({
      indexes: () => [...this.infos.values()].map((info) => ({ info })),
      // Of a rebuild service a cycle uses nothing else, of an operation only its outcome.
      rebuilds: rebuilds as unknown as Pick<Rebuilds, 'compact' | 'isOpen'>,
      isTuned: (index) => this.tuned.has(index),
      ...{ ratio: 0.2, perCycle, intervalMs: 600_000, nowMs: () => this.nowMs },
    })
  }

  add(name: string, held: Held, over: Partial<IndexInfo> = {}): void {
    const { rows, live, elements = 0, tombstones = 0 } = held
    const stats = { rows, deadRows: rows - live, graphElements: elements, tombstones }
    const info = { name, state: 'ready', role: 'owner', stats, ...over }
    // The cycle reads nothing else of an index.
    this.infos.set(name, info as unknown as IndexInfo)
  }

  async #compacted(index: string): Promise<{ rows_dropped: number }> {
    this.during()
    if (this.failing.has(index)) throw new Error('no disk')
    const dropped = this.infos.get(index)?.stats?.rows ?? 0
    this.add(index, { rows: 100, live: 100 })
    return { rows_dropped: dropped - 100 }
  }

  /** What one cycle asked for. */
  async run(): Promise<string[]> {
    this.asked.length = 0
    await this.cycle.run()
    return [...this.asked]
  }
}

it('the worst go first, no more than the bound, and what is due later is left alone', async () => {
  const world = new World(2)
  world.add('some', { rows: 1000, live: 700 })
  world.add('few', { rows: 1000, live: 801 })
  world.add('most', { rows: 1000, live: 100 })
  world.add('graph', { rows: 1000, live: 1000, elements: 1000, tombstones: 500 })
  assert.deepEqual(await world.run(), ['most', 'graph with its graph'])
  assert.deepEqual(await world.run(), ['some'])
  assert.deepEqual(await world.run(), [])
  assert.deepEqual(world.cycle.counts, { succeeded: 3, failed: 0, rowsDropped: 2700 })
})

it('exactly the ratio is due; the graph is built anew only where it is due itself', async () => {
  const world = new World()
  world.add('rows', { rows: 1000, live: 800, elements: 1000, tombstones: 199 })
  world.add('both', { rows: 1000, live: 800, elements: 1000, tombstones: 200 })
  assert.deepEqual((await world.run()).sort(), ['both with its graph', 'rows'])
})

for (const [why, over] of [
  ['is loading', { state: 'loading' }],
  ['is unavailable', { state: 'unavailable', stats: null }],
  ['belongs to another server', { role: 'follower' }],
] as const) {
  it(`an index that ${why} is left alone`, async () => {
    const world = new World()
    world.add('one', { rows: 1000, live: 1 }, over)
    assert.deepEqual(await world.run(), [])
  })
}

it('an index that is rebuilt, compacted or tuned is left alone until that has ended', async () => {
  const world = new World()
  world.add('built', { rows: 1000, live: 1 })
  world.add('tuned', { rows: 1000, live: 2 })
  world.open.add('built')
  world.tuned.add('tuned')
  assert.deepEqual(await world.run(), [])
  world.open.clear()
  // What begins while another index is compacted counts, too.
  world.tuned.clear()
  world.during = () => {
    world.tuned.add('tuned')
    world.infos.delete('gone')
  }
  world.add('gone', { rows: 1000, live: 3 })
  assert.deepEqual(await world.run(), ['built'])
})

it('one that failed waits longer each time, at most a day, and holds up no other', async () => {
  const world = new World()
  world.add('bad', { rows: 1000, live: 1 })
  world.add('good', { rows: 1000, live: 500 })
  world.failing.add('bad')
  assert.deepEqual(await world.run(), ['bad', 'good'])
  const waits: number[] = []
  for (let failure = 0; failure < 12; failure += 1) {
    const fromMs = world.nowMs
    while ((await world.run()).length === 0) world.nowMs += 600_000
    waits.push((world.nowMs - fromMs) / 600_000)
  }
  assert.deepEqual(waits.slice(0, 5), [1, 2, 4, 8, 16])
  assert.equal(waits.at(-1), 144)
  world.failing.clear()
  world.nowMs += 24 * 3_600_000
  assert.deepEqual(await world.run(), ['bad'])
  world.add('bad', { rows: 1000, live: 1 })
  assert.deepEqual(await world.run(), ['bad'], 'a success ends the waiting')
  assert.deepEqual(world.cycle.counts.failed, 13)
})

it('the dead share is known of nothing, of everything, and of an index that tells nothing', () => {
  const world = new World()
  world.add('empty', { rows: 0, live: 0 })
  world.add('dead', { rows: 10, live: 0, elements: 10, tombstones: 10 })
  const shareOf = (name: string): number => deadShareOf(world.infos.get(name)?.stats ?? null)
  assert.deepEqual([shareOf('empty'), shareOf('dead'), shareOf('none')], [0, 1, 0])
})
