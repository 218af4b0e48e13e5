/** When points are refused for memory, and what is counted until the cores have told. */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import fc from 'fast-check'
import type { CheckpointContent } from '../../src/domain/checkpoint.ts'
import type { ShardStats } from '../../src/domain/search.ts'
import type { UpsertBatch } from '../../src/domain/write-batch.ts'
import { type IndexMemory, memoryBound, MemoryQuota } from '../../src/indexes/memory-quota.ts'
import { VectordError } from '../../src/lib/errors.ts'
import { Harness } from '../shard/harness.ts'
import { seededRandom } from '../support/vectors.ts'

const MIB = 2 ** 20
const SHAPE = { dimension: 256, metric: 'l2', hnsw: { m: 16 } } as const
const EMPTY: ShardStats = {
  ...{ livePoints: 0, rows: 0, deltaPoints: 0, graphElements: 0, tombstones: 0, generation: 1 },
  generations: [],
  ...{
    deadRows: 0,
    appliedLsn: 0,
    indexedLsn: 0,
    memoryBytes: 0,
    rawBytes: 0,
    payloadBytes: 0,
    insertRate: 0,
    pendingTexts: 0,
  },
  ...{ keptVersions: 0, keptBytes: 0, keepLastVersions: 1 },
  ...{ appliedLsn: 0, indexedLsn: 0, memoryBytes: 0, rawBytes: 0, payloadBytes: 0, insertRate: 0 },
}

function batchOf(rows: number, string: string | null = null): UpsertBatch {
  return {
    kind: 'upsert',
    dimension: SHAPE.dimension,
    ids: Array.from({ length: rows }, () => 'id'),
    vectors: new Float32Array(0),
    texts: Array.from({ length: rows }, () => string),
    metadata: Array.from({ length: rows }, () => null),
  }
}

/** An account whose cores tell what `told` holds. */
function account(quota: MemoryQuota): { memory: IndexMemory; told: { stats: ShardStats | null } } {
  const told: { stats: ShardStats | null } = { stats: EMPTY }
  const memory = quota.open(SHAPE, () => told.stats)
  memory.load(null, 0)
  return { memory, told }
}

function observe(quota: MemoryQuota, rssBytes = 0): void {
  quota.observe({ rssBytes, processes: 2 })
}

it('the bound is the configured one, else 80 % of the machine or of its control group', () => {
  const limits = { machineBytes: 1000, groupBytes: 0 }
  assert.equal(memoryBound(5000, limits), 5000)
  assert.equal(memoryBound(0, limits), 800)
  assert.equal(memoryBound(0, { ...limits, groupBytes: 500 }), 400)
  assert.equal(memoryBound(0, { ...limits, groupBytes: 2 ** 64 }), 800)
})

it('rows that do not fit are refused with the figures, and reserve nothing', () => {
  const quota = new MemoryQuota(MIB)
  const { memory } = account(quota)
  const needed = memory.admit(batchOf(100))
  assert.ok(needed > 100 * 2 * SHAPE.dimension * 4, 'the vector is in the table and in the graph')
  memory.sent(1, needed)
  const more = account(new MemoryQuota(Infinity)).memory.admit(batchOf(400))
  assert.throws(
    () => memory.admit(batchOf(400)),
    (error) => {
      assert.ok(error instanceof VectordError)
      assert.deepEqual(
        { code: error.code, status: error.status, details: error.details },
        {
          code: 'memory_full',
          status: 507,
          details: { used: needed, needed: more, bound: MIB },
        },
      )
      return true
    },
  )
  assert.equal(quota.usedBytes, needed)
  memory.abandoned(memory.admit(batchOf(300)))
})

it('a look before the body is read refuses once not even a small point has room', () => {
  const quota = new MemoryQuota(MIB)
  const { memory } = account(quota)
  memory.check()
  let admitted = 0
  assert.throws(() => {
    for (;;) admitted += memory.admit(batchOf(1))
  }, /memory/)
  assert.throws(() => {
    memory.check()
  }, /memory/)
  memory.abandoned(admitted)
  memory.check()
})

it('strings count: text, metadata with its postings, ids', () => {
  const { memory } = account(new MemoryQuota(Infinity))
  const bare = memory.admit(batchOf(1))
  assert.ok(memory.admit(batchOf(1, 'x'.repeat(1000))) >= bare + 2000)
  const ids = { ...batchOf(1), ids: ['x'.repeat(500)] }
  assert.ok(memory.admit(ids) >= bare + 990)
  const metadata = { ...batchOf(1), metadata: [`{"a":"${'x'.repeat(1000)}"}`] }
  assert.ok(memory.admit(metadata) >= bare + 4000)
})

it('a logged row counts until the statistics have its lsn, also while the core is away', () => {
  const quota = new MemoryQuota(10 * MIB)
  const { memory, told } = account(quota)
  const bytes = memory.admit(batchOf(100))
  memory.sent(7, bytes)
  told.stats = { ...EMPTY, appliedLsn: 6 }
  observe(quota)
  assert.equal(quota.usedBytes, bytes)
  told.stats = { ...EMPTY, appliedLsn: 7, memoryBytes: 2 * MIB }
  observe(quota)
  assert.equal(quota.usedBytes, 2 * MIB)
  told.stats = null
  observe(quota)
  assert.equal(quota.usedBytes, 2 * MIB, 'what a dead core held comes back')
  told.stats = { ...EMPTY, appliedLsn: 3, memoryBytes: MIB }
  observe(quota)
  assert.equal(quota.usedBytes, 2 * MIB, 'and it is not there yet while the log is replayed')
  memory.release()
  assert.equal(quota.usedBytes, 0)
})

it('points that no graph has yet count as though it had them', () => {
  const quota = new MemoryQuota(Infinity)
  const { told } = account(quota)
  const points = { livePoints: 1000, rows: 1000, memoryBytes: MIB }
  told.stats = { ...EMPTY, ...points, deltaPoints: 1000 }
  observe(quota)
  assert.ok(quota.usedBytes > MIB + 1000 * SHAPE.dimension * 4)
  told.stats = { ...EMPTY, ...points, graphElements: 1500, tombstones: 500 }
  observe(quota)
  assert.equal(quota.usedBytes, MIB)
})

it('resident memory counts beyond what is accounted for, and garbage does not', () => {
  const quota = new MemoryQuota(Infinity)
  const { told } = account(quota)
  told.stats = { ...EMPTY, memoryBytes: 1000 * MIB }
  observe(quota, 200 * MIB)
  assert.equal(quota.usedBytes, 1000 * MIB, 'pages that were never touched')
  observe(quota, 1200 * MIB)
  assert.equal(quota.usedBytes, 1200 * MIB)
  told.stats = { ...EMPTY, memoryBytes: 100 * MIB }
  observe(quota, 1200 * MIB)
  assert.ok(quota.usedBytes < 400 * MIB, 'what a great delete left behind for the collector')
})

it('a checkpoint that has no room is not loaded; it is when another index has gone', () => {
  const quota = new MemoryQuota(10 * MIB)
  const small = account(quota)
  const first = quota.open(SHAPE, () => null)
  const second = quota.open(SHAPE, () => null)
  first.load(checkpointOf(3000), 1)
  assert.throws(
    () => {
      second.load(checkpointOf(3000), 1)
    },
    { code: 'memory_full' },
  )
  const afterwards = small.memory.admit(batchOf(10))
  assert.throws(() => small.memory.admit(batchOf(2000)), { code: 'memory_full' })
  small.memory.abandoned(afterwards)
  first.load(checkpointOf(3000), 1)
  first.release()
  second.load(checkpointOf(3000), 1)
})

it('resident memory keeps no checkpoint from being loaded: what fitted before a restart fits', () => {
  const quota = new MemoryQuota(10 * MIB)
  const { memory } = account(quota)
  observe(quota, 200 * MIB)
  assert.throws(() => memory.admit(batchOf(1)), { code: 'memory_full' })
  quota.open(SHAPE, () => null).load(checkpointOf(3000), 1)
})

for (const dimension of [4, 96, 512]) {
  it(`a real shard of dimension ${dimension} takes no more than was forecast`, async (t) => {
    const hnsw = { m: 16, efConstruction: 16, efSearch: null, seed: 1 }
    const spec = { hnsw }
    const harness = new Harness(t, { dimension, metric: 'cosine', flatRowsMax: 0, spec })
    const shard = await harness.open()
    const quota = new MemoryQuota(Infinity)
    const memory = quota.open(harness.spec, () => shard.stats())
    memory.load(null, 0)
    const random = seededRandom(dimension)
    const rows = (from: number, count: number) =>
      Array.from({ length: count }, (_, i) => ({
        id: `point-${from + i}`,
        vector: Float32Array.from({ length: dimension }, () => random() - 0.5),
        text: i % 2 === 0 ? 'some text of it' : null,
        metadata: JSON.stringify({ n: random(), tag: `t${i % 10}`, deep: { list: [i, 'a'] } }),
      }))
    // The first chunk and the first graph are what the forecast leaves out.
    harness.upsert(rows(0, 1500))
    harness.indexAll()
    const before = shard.stats().memoryBytes + shard.stats().payloadBytes
    let forecast = 0
    for (let from = 500; from < 4500; from += 1000) {
      const points = rows(from, 1000)
      forecast += memory.admit({
        ...{ kind: 'upsert', dimension, vectors: new Float32Array(0) },
        ids: points.map(({ id }) => id),
        texts: points.map(({ text }) => text),
        metadata: points.map((point) => point.metadata),
      })
      harness.upsert(points)
    }
    quota.observe({ rssBytes: 0, processes: 0 })
    const promised = memory.heldBytes - before
    harness.indexAll()
    const taken = shard.stats().memoryBytes + shard.stats().payloadBytes - before
    t.diagnostic(`taken / forecast ${(taken / forecast).toFixed(2)}`)
    assert.ok(taken <= forecast, `took ${taken} of ${forecast}`)
    assert.ok(taken <= promised * 1.05, `took ${taken}, held ${promised} before the graph had it`)
    assert.ok(forecast < 3 * taken, `forecast ${forecast} for ${taken}`)
    const content = await shard.checkpoint('always')
    const held = memory.heldBytes
    memory.load(content, harness.lsn)
    assert.ok(memory.heldBytes <= held, `${memory.heldBytes} to load what took ${held}`)
    assert.ok(memory.heldBytes > taken / 2, `${memory.heldBytes} to load what took ${taken}`)
  })
}

it('no order of writes, deaths and reports lets in more than there is room for', () => {
  const step = fc.record({
    index: fc.nat(2),
    what: fc.constantFrom('write', 'write', 'fail', 'apply', 'insert', 'tell', 'observe', 'die'),
    rows: fc.integer({ min: 1, max: 200 }),
  })
  let refusals = 0
  fc.assert(
    fc.property(fc.array(step, { minLength: 30, maxLength: 100 }), (steps) => {
      const quota = new MemoryQuota(2 * MIB)
      const indexes = Array.from({ length: 3 }, () => new SimulatedIndex(quota))
      for (const { index, what, rows } of steps) {
        const at = indexes[index]
        if (what === 'observe') quota.observe({ rssBytes: 0, processes: 0 })
        else if (what === 'write' || what === 'fail') {
          if (at?.write(rows, what === 'write') === false) refusals += 1
        } else at?.[what](rows)
        const bytes = indexes.reduce((sum, one) => sum + one.bytesInTheEnd, 0)
        assert.ok(bytes <= quota.boundBytes, `${bytes} bytes were let in`)
        assert.ok(indexes.every(({ memory }) => memory.pendingBytes >= 0))
      }
      for (const one of indexes) one.tell()
      quota.observe({ rssBytes: 0, processes: 0 })
      for (const one of indexes) one.settle()
      quota.observe({ rssBytes: 0, processes: 0 })
      assert.ok(
        indexes.every(({ memory }) => memory.pendingBytes === 0),
        'nothing stays reserved',
      )
    }),
    { seed: 1, numRuns: 500 },
  )
  assert.ok(refusals > 1000, `${refusals} refusals`)
})

/** A log, and a core that applies it late, inserts later, dies, and tells when it likes. */
class SimulatedIndex {
  readonly memory: IndexMemory
  readonly #log: number[] = []
  #applied = 0
  #inserted = 0
  #told: ShardStats | null = null

  constructor(quota: MemoryQuota) {
    this.memory = quota.open(SHAPE, () => this.#told)
    this.memory.load(null, 0)
  }

  /** When every logged row is in the table and in the graph. */
  get bytesInTheEnd(): number {
    return this.#rows(this.#log.length) * 2 * SHAPE.dimension * 4
  }

  /** @returns false where it was refused. */
  write(rows: number, durable: boolean): boolean {
    let bytes: number
    try {
      bytes = this.memory.admit(batchOf(rows))
    } catch {
      return false
    }
    if (!durable) this.memory.abandoned(bytes)
    else this.memory.sent(this.#log.push(rows), bytes)
    return true
  }

  apply(records: number): void {
    this.#applied = Math.min(this.#log.length, this.#applied + (records % 4))
  }

  insert(rows: number): void {
    this.#inserted = Math.min(this.#rows(this.#applied), this.#inserted + rows)
  }

  tell(): void {
    const rows = this.#rows(this.#applied)
    const vectors = rows + this.#inserted
    this.#told = {
      ...EMPTY,
      ...{ livePoints: rows, rows, graphElements: this.#inserted, appliedLsn: this.#applied },
      memoryBytes: vectors * SHAPE.dimension * 4,
    }
  }

  die(): void {
    this.#applied = 0
    this.#inserted = 0
    this.#told = null
  }

  settle(): void {
    this.#applied = this.#log.length
    this.tell()
  }

  #rows(records: number): number {
    return this.#log.slice(0, records).reduce((sum, rows) => sum + rows, 0)
  }
}

function checkpointOf(rows: number): CheckpointContent {
  const file = { key: 'k', bytes: rows * SHAPE.dimension * 4, sha256: '' }
  return {
    lsn: 1,
    retention: [],
    parts: [
      { ...file, kind: 'points', shard: 0, rows, deadRows: 0, firstLsn: 1, lastLsn: 1 },
      { ...file, kind: 'deletes', shard: 0, rows: 9, deadRows: 0, firstLsn: 1, lastLsn: 1 },
    ],
    graphs: [
      {
        ...{ shard: 0, generation: 1, published: true, graphId: null },
        ...{ indexedLsn: 1, elements: rows, graph: file, labels: file },
        config: { m: 16, efConstruction: 100, efSearch: null, seed: 1 },
      },
    ],
  }
}
