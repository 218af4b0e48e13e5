/**
 * The compaction of a table, step by step, against the plainest model.
 *
 * How: the parts of a shard (table, metadata, two graphs) without its clock: each step of a compaction
 * is taken by hand, with random writes, deletes and insertions into the graphs in between, and every
 * read is compared with a map of points after each of them.
 */

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { HNSW_DEFAULTS } from '../../src/domain/hnsw-config.ts'
import { METRICS, type Metric } from '../../src/domain/metric.ts'
import type { ShardAnswer } from '../../src/domain/search.ts'
import { applyBatch } from '../../src/shard/apply.ts'
import { DeletedIds } from '../../src/shard/deleted-ids.ts'
import { ShardGraph } from '../../src/shard/graph.ts'
import { MetadataIndex } from '../../src/shard/metadata-index.ts'
import { PointTable } from '../../src/shard/point-table.ts'
import { faultsOfSlot } from '../../src/shard/table-faults.ts'
import { search, type NeighbourQuery } from '../../src/shard/searcher.ts'
import {
  isWorthCompacting,
  LEFT_MAX,
  STEP_ROWS,
  TableCompaction,
} from '../../src/shard/table-compaction.ts'
import { randomVectors, seededRandom, vectorAt } from '../support/vectors.ts'
import { distance, NOTHING } from './harness.ts'

const DIMENSION = 6
const IDS = 1500

interface ModelPoint {
  readonly vector: Float32Array
  readonly group: number
  readonly lsn: number
}

class Rows {
  table: PointTable
  metadata = new MetadataIndex()
  readonly graphs: readonly ShardGraph[]
  readonly live = new Map<string, ModelPoint>()
  readonly metric: Metric
  compaction: TableCompaction | null = null
  lsn = 0

  constructor(metric: Metric, m = 16) {
    this.metric = metric
    this.table = new PointTable(DIMENSION, metric)
    const config = { ...HNSW_DEFAULTS, m }
    this.graphs = [1, 2].map(
      (generation) => new ShardGraph(this.table, { generation, config, graphId: null }, null),
    )
  }

  upsert(ids: readonly string[], seed: number): void {
    const { values: data } = randomVectors(ids.length, DIMENSION, seed)
    const groups = ids.map((_, row) => (seed + row) % 4)
    const batch = {
      kind: 'upsert' as const,
      ...{ dimension: DIMENSION, ids, vectors: data },
      texts: ids.map(() => null),
      metadata: groups.map((group) => JSON.stringify({ group })),
    }
    this.#apply(batch)
    for (const [row, id] of ids.entries()) {
      const vector = data.slice(row * DIMENSION, (row + 1) * DIMENSION)
      this.live.set(id, { vector, group: groups[row] ?? 0, lsn: this.lsn })
    }
  }

  delete(ids: readonly string[]): void {
    this.#apply({ kind: 'delete', ids })
    for (const id of ids) this.live.delete(id)
  }

  index(graph: number, count: number): void {
    const of = this.graphs[graph]
    assert.ok(of !== undefined)
    // What is nearly dead takes no more: its points wait in its delta.
    const takes = (): boolean => of.takesPoints && of.indexedSlot < this.table.slots
    for (let n = 0; n < count && takes(); n += 1) of.insertNext()
  }

  /** One step, or the end of the compaction. @returns true where it ended. */
  step(): boolean {
    const { compaction } = this
    assert.ok(compaction !== null)
    if (compaction.step(this.graphs)) return false
    compaction.finish(this.graphs)
    this.table = compaction.table
    this.metadata = compaction.metadata
    this.compaction = null
    return true
  }

  compact(): void {
    this.compaction = new TableCompaction(this.table)
    while (!this.step());
  }

  search(graph: number, vector: Float32Array, query: Partial<NeighbourQuery> = {}): ShardAnswer {
    const of = this.graphs[graph]
    assert.ok(of !== undefined)
    const { table, metadata } = this
    const asked = { k: 10, ef: 1000, exact: false, filter: null, include: NOTHING, ...query }
    const searched = { table, metadata, graph: of, flatRowsMax: 20 }
    return search(searched, { target: { vector }, ...asked }, this.lsn)
  }

  truth(vector: Float32Array, group: number | null): string[] {
    return [...this.live]
      .filter(([, point]) => group === null || point.group === group)
      .map(([id, point]) => ({ id, distance: distance(this.metric, vector, point.vector) }))
      .sort((a, b) => a.distance - b.distance)
      .slice(0, 10)
      .map(({ id }) => id)
  }

  #apply(batch: Parameters<typeof applyBatch>[2]): void {
    this.lsn += 1
    const remove = (slot: number): void => {
      for (const graph of this.graphs) graph.remove(slot)
      this.compaction?.died(slot)
    }
    const replaced = (slot: number): void => {
      for (const graph of this.graphs) graph.remove(slot)
      this.compaction?.replaced(slot)
    }
    const { table, metadata, metric } = this
    const owner = { shard: 0, shards: 1, dimension: DIMENSION, metric }
    applyBatch(
      { table, metadata, graphs: { remove, replaced }, deletes: new DeletedIds() },
      owner,
      batch,
      this.lsn,
    )
  }
}

function idsOf(random: () => number, count: number): string[] {
  return [...new Set(Array.from({ length: count }, () => `id-${Math.floor(random() * IDS)}`))]
}

function compare(rows: Rows, random: () => number): void {
  const vector = vectorAt(randomVectors(1, DIMENSION, Math.floor(random() * 1e9)), 0)
  const group = Math.floor(random() * 4)
  for (const graph of [0, 1]) {
    for (const exact of [true, false]) {
      const found = rows.search(graph, vector, { exact }).hits.map(({ id }) => id)
      assert.deepEqual(found, rows.truth(vector, null))
      const filter = JSON.stringify({ group })
      const matching = rows.search(graph, vector, { exact, filter }).hits.map(({ id }) => id)
      assert.deepEqual(matching, rows.truth(vector, group))
    }
  }
  for (const id of idsOf(random, 5)) {
    const slot = rows.table.slotOf(id)
    assert.equal(slot === undefined ? null : rows.table.lsn(slot), rows.live.get(id)?.lsn ?? null)
  }
}

function checkWhole({ table, metadata, graphs, live }: Rows): void {
  assert.equal(table.livePoints, live.size)
  for (let slot = 0; slot < table.slots; slot += 1) assert.deepEqual(faultsOfSlot(table, slot), [])
  for (const graph of graphs) assert.deepEqual(graph.faults(), [])
  for (const [id, { vector, group }] of live) {
    const slot = table.slotOf(id)
    assert.ok(slot !== undefined, `${id} is found`)
    assert.deepEqual(table.vectors.copy(slot), vector)
    assert.ok(metadata.agrees(slot, [{ field: 'group', values: [group] }]))
  }
}

/** One random thing. @returns true where it ended a compaction. */
function turnOf(rows: Rows, random: () => number, turn: number): boolean {
  const dice = random()
  if (dice < 0.15) rows.upsert(idsOf(random, 120), turn)
  else if (dice < 0.25) rows.delete(idsOf(random, 120))
  else if (dice < 0.35) rows.index(turn % 2, 200)
  else if (rows.compaction !== null) return rows.step()
  else rows.compaction = new TableCompaction(rows.table)
  return false
}

for (const [seed, metric] of METRICS.entries()) {
  it(`seed ${seed} (${metric}): reads match the model between any two steps of a compaction`, (t) => {
    const random = seededRandom(seed)
    const rows = new Rows(metric)
    t.after(() => {
      for (const graph of rows.graphs) graph.close()
    })
    let compactions = 0
    let writesInside = 0
    for (let turn = 0; turn < 400; turn += 1) {
      const { lsn, compaction } = rows
      if (turnOf(rows, random, turn)) {
        compactions += 1
        checkWhole(rows)
      }
      // As if a check had not found them: they are searched exactly from then on.
      for (let n = 0; n < 5; n += 1) {
        rows.graphs[1]?.addStray(Math.floor(random() * rows.table.slots))
      }
      if (compaction !== null && rows.lsn > lsn) writesInside += 1
      if (turn % 4 === 0) compare(rows, random)
    }
    while (rows.compaction !== null) rows.step()
    checkWhole(rows)
    compare(rows, random)
    assert.ok(compactions > 3 && writesInside > 20, `${compactions} with ${writesInside} writes`)
  })
}

it('a step carries a bounded number of rows and labels, and the last turn is short', () => {
  const rows = new Rows('l2', 4)
  const ids = Array.from({ length: 6000 }, (_, n) => `id-${n}`)
  rows.upsert(ids, 1)
  rows.index(0, Infinity)
  rows.delete(ids.filter((_, n) => n % 3 !== 0))
  const compaction = new TableCompaction(rows.table)
  rows.compaction = compaction
  let steps = 0
  let carried = 0
  while (compaction.step(rows.graphs)) {
    steps += 1
    assert.ok(compaction.table.slots - carried <= STEP_ROWS)
    carried = compaction.table.slots
  }
  // Every row, and of the graph that has them every slot and every label.
  assert.ok(steps >= Math.floor((3 * ids.length - LEFT_MAX) / STEP_ROWS), `${steps} steps`)
  assert.equal(compaction.table.slots, 2000, 'all rows are carried before the last turn')
  const { table, metadata } = compaction
  assert.ok(
    compaction.memoryBytes > table.memoryBytes + metadata.memoryBytes,
    'it is accounted for',
  )
  compaction.finish(rows.graphs)
  for (const graph of rows.graphs) graph.close()
})

it('a compaction that is given up changes nothing', () => {
  const rows = new Rows('cosine')
  const random = seededRandom(7)
  rows.upsert(idsOf(random, 1500), 3)
  rows.index(0, Infinity)
  rows.delete(idsOf(random, 900))
  rows.compaction = new TableCompaction(rows.table)
  for (let n = 0; n < 9; n += 1) assert.equal(rows.step(), false)
  rows.delete(idsOf(random, 100))
  rows.compaction = null
  rows.upsert(idsOf(random, 100), 4)
  checkWhole(rows)
  compare(rows, random)
  for (const graph of rows.graphs) graph.close()
})

it('slots, columns and postings are proportional to live rows afterwards', () => {
  const rows = new Rows('cosine')
  const ids = Array.from({ length: 500 }, (_, n) => `id-${n}`)
  rows.upsert(ids, 1)
  const { table, metadata } = rows
  const fresh = table.memoryBytes + metadata.memoryBytes
  for (let round = 2; round < 12; round += 1) rows.upsert(ids, round)
  assert.ok(rows.table.memoryBytes + rows.metadata.memoryBytes > 1.5 * fresh)
  rows.compact()
  assert.deepEqual([rows.table.slots, rows.table.livePoints], [500, 500])
  assert.equal(rows.table.memoryBytes + rows.metadata.memoryBytes, fresh)
  assert.equal(isWorthCompacting(rows.table), false)
})

it('a table without rows, and one without a live row, can be compacted', () => {
  const rows = new Rows('l2')
  rows.compact()
  assert.equal(rows.table.slots, 0)
  rows.upsert(['a', 'b'], 1)
  rows.index(0, 2)
  rows.delete(['a', 'b'])
  rows.compact()
  assert.deepEqual([rows.table.slots, rows.graphs[0]?.tombstones], [0, 2])
  assert.deepEqual(rows.search(0, new Float32Array(DIMENSION).fill(1)).hits, [])
  rows.upsert(['c'], 2)
  rows.index(0, 1)
  checkWhole(rows)
  for (const graph of rows.graphs) graph.close()
})

it('a reader that holds the old table reads on in it until it lets go', () => {
  const rows = new Rows('cosine')
  rows.upsert(['a', 'b', 'c'], 1)
  const old = rows.table
  old.hold()
  rows.delete(['a'])
  rows.compact()
  assert.equal(old.id(0), 'a')
  assert.equal(old.vectors.view(0).length, DIMENSION)
  assert.ok(old.vectors.memoryBytes > 0)
  old.release()
  assert.equal(old.vectors.memoryBytes, 0)
  assert.equal(rows.table.slots, 2)
})

it('a table of which less than a fiftieth is dead is left alone', () => {
  assert.equal(isWorthCompacting({ slots: 1000, deadRows: 19 }), false)
  assert.equal(isWorthCompacting({ slots: 1000, deadRows: 20 }), true)
  assert.equal(isWorthCompacting({ slots: 0, deadRows: 0 }), false)
})
