/**
 * What concerns the whole service: which indexes, buckets and eval sets there are, and the agent.
 */

import type { Operations, WaitOptions } from './operations.ts'
import { pathOf, type Transport } from './transport.ts'
import type {
  AgentStatus,
  Answer,
  Bucket,
  BucketHealth,
  CallOptions,
  ChangeOptions,
  EvalRequest,
  EvalSet,
  IndexChange,
  IndexInfo,
  NewBucket,
  NewIndex,
} from './types.ts'

type Moving = Answer<'/vectors/indexes/{index}', 'patch', 202>
type EvalPage = Answer<'/vectors/hnsw/evals', 'get'>
type EvalStarted = Answer<'/vectors/hnsw/evals/{name}/autogen', 'post', 202>

export class Indexes {
  readonly #transport: Transport
  readonly #operations: Operations

  constructor(transport: Transport, operations: Operations) {
    this.#transport = transport
    this.#operations = operations
  }

  async list(options?: CallOptions): Promise<readonly IndexInfo[]> {
    const call = { method: 'GET', path: '/vectors/indexes', again: 'repeatable', options } as const
    return (await this.#transport.json<{ indexes: IndexInfo[] }>(call)).indexes
  }

  get(name: string, options?: CallOptions): Promise<IndexInfo> {
    const path = pathOf`/vectors/indexes/${name}`
    return this.#transport.json({ method: 'GET', path, again: 'repeatable', options })
  }

  /** @throws {VectordApiError} `index_exists`. */
  create(json: NewIndex, options?: CallOptions): Promise<IndexInfo> {
    const call = { method: 'POST', path: '/vectors/indexes', again: 'keyed' } as const
    return this.#transport.json({ ...call, json, options })
  }

  /** Changes settings; with a `bucket` it moves the index there, and waits for the move. */
  async change(
    name: string,
    json: IndexChange,
    options: ChangeOptions & WaitOptions = {},
  ): Promise<IndexInfo> {
    const path = pathOf`/vectors/indexes/${name}`
    const call = { method: 'PATCH', path, json, again: 'once', options } as const
    const { ifRevision } = options
    const changed = await this.#transport.json<IndexInfo | Moving>({ ...call, ifRevision })
    if (!('operation_id' in changed)) return changed
    await this.#operations.wait(changed.operation_id, options)
    return this.get(name, options)
  }

  /** Drops the index with all its objects. */
  delete(name: string, options: ChangeOptions = {}): Promise<void> {
    const path = pathOf`/vectors/indexes/${name}`
    const { ifRevision } = options
    // Sent again after a lost answer it would say that there is no such index.
    const call = { method: 'DELETE', path, again: 'once', options } as const
    return this.#transport.json({ ...call, ifRevision })
  }
}

export class Buckets {
  readonly #transport: Transport

  constructor(transport: Transport) {
    this.#transport = transport
  }

  async list(options?: CallOptions): Promise<readonly Bucket[]> {
    const call = { method: 'GET', path: '/storage/buckets', again: 'repeatable', options } as const
    return (await this.#transport.json<{ buckets: Bucket[] }>(call)).buckets
  }

  /** Probes and registers. @throws {VectordApiError} `bucket_exists`, `bucket_unreachable`. */
  add(json: NewBucket, options?: CallOptions): Promise<Bucket> {
    const call = { method: 'POST', path: '/storage/buckets', again: 'keyed' } as const
    return this.#transport.json({ ...call, json, options })
  }

  /** Unregisters; deletes no object. */
  remove(name: string, options?: CallOptions): Promise<void> {
    const path = pathOf`/storage/buckets/${name}`
    return this.#transport.json({ method: 'DELETE', path, again: 'once', options })
  }

  async health(options?: CallOptions): Promise<readonly BucketHealth[]> {
    const path = '/storage/bucket-health'
    const call = { method: 'GET', path, again: 'repeatable', options } as const
    return (await this.#transport.json<{ buckets: BucketHealth[] }>(call)).buckets
  }
}

export class Evals {
  readonly #transport: Transport
  readonly #operations: Operations

  constructor(transport: Transport, operations: Operations) {
    this.#transport = transport
    this.#operations = operations
  }

  /** Makes an eval set of live queries, or of rows of the index, and waits for it. */
  async generate(name: string, json: EvalRequest, options: WaitOptions = {}): Promise<EvalSet> {
    const path = pathOf`/vectors/hnsw/evals/${name}/autogen`
    // Made twice it is the same set, of newer rows.
    const call = { method: 'POST', path, json, again: 'repeatable', options } as const
    const { operation_id: id } = await this.#transport.json<EvalStarted>(call)
    return (await this.#operations.wait(id, options)).result as unknown as EvalSet
  }

  get(name: string, options?: CallOptions): Promise<EvalSet> {
    const path = pathOf`/vectors/hnsw/evals/${name}`
    return this.#transport.json({ method: 'GET', path, again: 'repeatable', options })
  }

  /** By name; reads page after page. */
  async *list(options: CallOptions = {}): AsyncGenerator<EvalPage['evals'][number], void> {
    const path = '/vectors/hnsw/evals'
    let cursor: string | undefined
    do {
      const call = { method: 'GET', path, again: 'repeatable', options } as const
      const page = await this.#transport.json<EvalPage>({ ...call, query: { cursor } })
      yield* page.evals
      cursor = page.next_cursor ?? undefined
    } while (cursor !== undefined)
  }

  delete(name: string, options?: CallOptions): Promise<void> {
    const path = pathOf`/vectors/hnsw/evals/${name}`
    return this.#transport.json({ method: 'DELETE', path, again: 'once', options })
  }
}

/** The autotune agent of the whole service; that of one index is in `IndexTuning`. */
export class Agent {
  readonly #transport: Transport

  constructor(transport: Transport) {
    this.#transport = transport
  }

  status(options?: CallOptions): Promise<AgentStatus> {
    const path = '/vectors/agent/status'
    return this.#transport.json({ method: 'GET', path, again: 'repeatable', options })
  }

  start(options?: CallOptions): Promise<AgentStatus> {
    const path = '/vectors/agent/start'
    return this.#transport.json({ method: 'POST', path, again: 'repeatable', options })
  }

  stop(options?: CallOptions): Promise<AgentStatus> {
    const path = '/vectors/agent/stop'
    return this.#transport.json({ method: 'POST', path, again: 'repeatable', options })
  }

  /** Asks it to tune an index soon. */
  enqueue(index: string, options?: CallOptions): Promise<AgentStatus> {
    const path = pathOf`/vectors/agent/enqueue/${index}`
    return this.#transport.json({ method: 'POST', path, again: 'repeatable', options })
  }
}
