/**
 * Values that the tests of the data plane share: specs, sources and queries.
 */

import type { ShardQuery } from '../../src/domain/search.ts'
import type { ShardSpec } from '../../src/domain/shard-spec.ts'
import type { LogRecord } from '../../src/log/log-store.ts'
import type { ShardSource } from '../../src/dataplane/shard-source.ts'

export const FAKE_HOST = new URL('fake-host.ts', import.meta.url).href
export const ECHO_HOST = new URL('echo-host.ts', import.meta.url).href

export function specOf(index: string, incarnation = 'ok'): ShardSpec {
  return {
    index,
    incarnation,
    shard: 0,
    shards: 1,
    dimension: 4,
    metric: 'l2',
    hnsw: { m: 16, efConstruction: 200, efSearch: null, seed: 42 },
    bucket: { backend: 'local', root: '.' },
    scratch: '.',
    checkpoint: null,
  }
}

/** A log in memory, and the shard that is loaded from it. */
export class MemorySource implements ShardSource {
  readonly records: LogRecord[] = []
  specs = 0
  #spec: ShardSpec

  constructor(index: string) {
    this.#spec = specOf(index)
  }

  /** What the next load is told to be. */
  change(spec: Partial<ShardSpec>): void {
    this.#spec = { ...this.#spec, ...spec }
  }

  async spec(): Promise<ShardSpec> {
    this.specs += 1
    return this.#spec
  }

  lastLsn(): number {
    return this.records.length
  }

  append(text = `r${this.records.length + 1}`): LogRecord {
    const record = { lsn: this.records.length + 1, payload: Buffer.from(text) }
    this.records.push(record)
    return record
  }

  async *replay(afterLsn: number): AsyncIterable<LogRecord> {
    for (let lsn = afterLsn + 1; lsn <= this.records.length; lsn += 1) {
      const record = this.records[lsn - 1]
      if (record !== undefined) yield record
    }
  }
}

export const IN_TIME = { deadlineMs: Infinity }

export function queryOf(filter: object | null = null, vector = [1, 2, 3, 4]): ShardQuery {
  return {
    target: { vector: Float32Array.from(vector) },
    k: 10,
    ef: null,
    exact: false,
    filter: filter === null ? null : JSON.stringify(filter),
    include: { metadata: true, vector: false, text: false },
  }
}
