/**
 * An index as a watch of live recall sees it: its recall at each ef is what the test says.
 */

import type { RecallSample, SampleRequest } from '../../src/domain/recall-sample.ts'
import type { ShardAnswer, ShardQuery, ShardStats } from '../../src/domain/search.ts'
import type { IndexInfo, IndexRole, IndexState } from '../../src/indexes/index-api.ts'
import { Steering } from '../../src/indexes/steering.ts'
import type { WatchedIndex } from '../../src/services/index-recall.ts'
import type { SearchSeen } from '../../src/services/search-observer.ts'
import { seededRandom } from './vectors.ts'

const HNSW = { m: 16, efConstruction: 200, efSearch: 40, seed: 1 }

export class FakeIndex implements WatchedIndex {
  readonly meta: { readonly incarnation: string }
  hnsw: IndexInfo['hnsw'] = HNSW
  readonly steering = new Steering(() => this.hnsw)
  readonly requests: SampleRequest[] = []
  role: IndexRole = 'owner'
  state: IndexState = 'ready'
  generation = 1
  points = 10_000
  tombstones = 0
  matching = 10_000
  /** What samples wait for. */
  gate: Promise<unknown> = Promise.resolve()
  failure: Error | null = null
  /** Chance that a true neighbour is found. */
  recallAt: (ef: number) => number = () => 1
  readonly #random = seededRandom(5)

  constructor(incarnation = 'first') {
    this.meta = { incarnation }
  }

  get info(): IndexInfo {
    return {
      ...{ name: 'docs', dimension: 3, metric: 'l2', bucket: 'primary', backend: 'hnsw' },
      ...{ hnsw: this.hnsw, shards: 1, keepLastVersions: 1, revision: 1, createdMs: 0 },
      ...{ config: this.steering.config, state: this.state, reason: null, role: this.role },
      ...{ owner: null, progress: 1, lsn: 1, compactedMs: null, checkpointLsn: 0, logBytes: 0 },
      stats: this.state === 'unavailable' ? null : this.#stats(),
    }
  }

  async sample(request: SampleRequest): Promise<RecallSample> {
    const { generation, points } = this
    this.requests.push(request)
    await this.gate
    if (this.failure !== null) throw this.failure
    const { k } = request.query
    // A neighbour that is found at one ef is found at every larger one.
    const places = Array.from({ length: k }, () => this.#random())
    const ids = places.map((_, i) => `p-${i}`)
    const truth = { ids, distances: places.map((_, i) => i + 1) }
    const probes = request.probes.map((probe) => {
      const found = places.map((place, i) => (place < this.recallAt(probe.ef) ? i + 1 : k + 1 + i))
      return { ...probe, ids, distances: found.toSorted((a, b) => a - b), cpuUs: 0 }
    })
    const counts = { livePoints: points, matching: this.matching, workUs: 1000 }
    return { truth, probes, generation, lsn: 1, ...counts }
  }

  #stats(): ShardStats {
    const { points, generation, tombstones } = this
    return {
      ...{ livePoints: points, rows: points, deltaPoints: 0, graphElements: points },
      ...{ tombstones, generation, generations: [], appliedLsn: 1, indexedLsn: 1 },
      ...{
        memoryBytes: 0,
        rawBytes: 0,
        payloadBytes: 0,
        deadRows: 0,
        insertRate: 0,
        pendingTexts: 0,
      },
      ...{ memoryBytes: 0, rawBytes: 0, payloadBytes: 0, insertRate: 0 },
      ...{ keptVersions: 0, keptBytes: 0, keepLastVersions: 1 },
    }
  }
}

/** A search of `docs` that was answered by the graph. */
export function searched(
  requestId: string,
  query: Partial<ShardQuery> = {},
  answer: Partial<ShardAnswer> | null = {},
): SearchSeen {
  const target = { vector: Float32Array.of(1, 2, 3) }
  const include = { metadata: false, vector: false, text: false }
  const plain = { ...{ target, k: 10, ef: null, exact: false, filter: null }, include }
  const found: ShardAnswer = {
    ...{ hits: [], path: 'graph', efUsed: 40, generation: 1, exhausted: false, lsn: 1 },
  }
  return {
    ...{ index: 'docs', requestId, tookMs: 1, query: { ...plain, ...query } },
    answer: answer === null ? null : { ...found, ...answer },
  }
}
