/**
 * A host for cores under test: shards that keep the records they were given, and that misbehave
 * when a query, a record or a spec says so.
 *
 *     spec.incarnation   open_corrupt | open_abort | open_slow | open_rebuilt
 *     record             throw | abort | slow | anything else
 *     query filter       {"do": "throw" | "refuse" | "abort" | "hang"} or {"spin_ms": 5}
 */

import type { CheckpointContent } from '../../src/domain/checkpoint.ts'
import type {
  KeywordStatistics,
  ScrollPage,
  ShardAnswer,
  ShardQuery,
  ShardStats,
  TableCompacted,
  TrimmedVersions,
  VersionsPage,
} from '../../src/domain/search.ts'
import type { ShardSpec } from '../../src/domain/shard-spec.ts'
import type { HostedShard } from '../../src/dataplane/shard-host.ts'
import { VectordError } from '../../src/lib/errors.ts'

export async function openHostedShard(
  spec: ShardSpec,
  onProgress: (fraction: number) => void,
): Promise<HostedShard> {
  onProgress(0.5)
  if (spec.incarnation === 'open_abort') process.abort()
  if (spec.incarnation === 'open_slow') await new Promise((resolve) => setTimeout(resolve, 300))
  if (spec.incarnation === 'open_corrupt') {
    throw new VectordError('object_corrupt', 'A part is damaged.', { details: { key: 'points-1' } })
  }
  return new FakeShard(spec)
}

/** Longer than the changes of one turn of a core. */
const SLOW_RECORD_MS = 6

/** Told as `graphElements`, so that a test sees what a core really holds. */
let openShards = 0

class FakeShard implements HostedShard {
  readonly notices: readonly string[]
  readonly #spec: ShardSpec
  /** `lsn:payload` in the order of the calls. */
  readonly #records: string[] = []
  #lsn: number
  #waiting = 0
  #keepLastVersions = 1

  constructor(spec: ShardSpec) {
    this.#spec = spec
    this.notices = spec.incarnation === 'open_rebuilt' ? ['the graph was damaged'] : []
    this.#lsn = spec.checkpoint?.lsn ?? 0
    openShards += 1
  }

  apply(lsn: number, payload: Uint8Array): void {
    const text = Buffer.from(payload).toString('utf8')
    if (text === 'throw') throw new Error('the record cannot be applied')
    if (text === 'abort') process.abort()
    if (text === 'slow') spin(SLOW_RECORD_MS)
    this.#records.push(`${lsn}:${text.slice(0, 20)}`)
    this.#lsn = lsn
    this.#waiting += 1
  }

  search(query: ShardQuery): ShardAnswer {
    if (query.filter !== null) misbehave(JSON.parse(query.filter) as Orders)
    const id = this.#records.at(-1) ?? 'none'
    return {
      hits: [
        {
          id,
          version: this.#lsn,
          metadata: query.include.metadata ? JSON.stringify({ pid: process.pid }) : null,
          text: query.include.text ? 'täxt 文' : null,
          vector: query.include.vector && 'vector' in query.target ? query.target.vector : null,
          distance: 0.25,
        },
      ],
      path: 'graph',
      efUsed: query.ef ?? 0,
      generation: 1,
      exhausted: true,
      lsn: this.#lsn,
    }
  }

  keywordStatistics(terms: readonly string[]): KeywordStatistics {
    return { documents: this.#records.length, words: 0, frequencies: terms.map(() => 0) }
  }

  async prepareKeywords(): Promise<void> {
    // There are no words.
  }

  fetch(ids: readonly string[]): readonly null[] {
    return ids.map(() => null)
  }

  texts(): Record<string, never> {
    return {}
  }

  versions(): VersionsPage {
    return { versions: [], isKnown: false, done: true }
  }

  scroll(): ScrollPage {
    return { points: [], positions: [], done: true }
  }

  matchingIds(_filter: string, limit: number): readonly string[] {
    return this.#records.slice(0, limit)
  }

  count(): number {
    return this.#records.length
  }

  indexSlice(): boolean {
    this.#waiting = Math.max(0, this.#waiting - 10)
    return this.#waiting > 0
  }

  async checkpoint(): Promise<CheckpointContent> {
    return { lsn: this.#lsn, parts: [], graphs: [], retention: [] }
  }

  async compact(): Promise<TableCompacted> {
    return { rows: this.#records.length, dropped: 0, liveUpTo: [] }
  }

  async adopt(): Promise<void> {
    // Nothing to bring into memory.
  }

  async publish(): Promise<void> {
    // There is one generation.
  }

  async drop(): Promise<void> {
    // As above.
  }

  async retain(keepLastVersions: number): Promise<TrimmedVersions> {
    this.#keepLastVersions = keepLastVersions
    return { versions: this.#records.length, bytes: 10 }
  }

  async rehome(): Promise<never> {
    throw new Error('no other bucket here')
  }

  async sample(): Promise<never> {
    throw new Error('no samples here')
  }

  async verify(): Promise<readonly []> {
    return []
  }

  stats(): ShardStats {
    return {
      livePoints: this.#records.length,
      rows: this.#records.length,
      deltaPoints: this.#waiting,
      graphElements: openShards,
      tombstones: 0,
      generation: this.#spec.shard,
      generations: [],
      appliedLsn: this.#lsn,
      indexedLsn: this.#lsn,
      memoryBytes: 0,
      rawBytes: 0,
      payloadBytes: 0,
      deadRows: 0,
      insertRate: 0,
      pendingTexts: 0,
      keptVersions: 0,
      keptBytes: 0,
      keepLastVersions: this.#keepLastVersions,
    }
  }

  async close(): Promise<void> {
    this.#records.length = 0
    openShards -= 1
  }
}

interface Orders {
  readonly do?: 'throw' | 'refuse' | 'abort' | 'hang'
  readonly spin_ms?: number
}

function misbehave(orders: Orders): void {
  if (orders.spin_ms !== undefined) spin(orders.spin_ms)
  switch (orders.do) {
    case 'throw':
      throw new TypeError('a bug with a secret in its message')
    case 'refuse':
      throw new VectordError('invalid_filter', 'No such field.', { details: { path: 'filter' } })
    case 'abort':
      process.abort()
      break
    case 'hang':
      spin(Infinity)
      break
    default:
      break
  }
}

function spin(forMs: number): void {
  const endMs = performance.now() + forMs
  while (performance.now() < endMs);
}
