/**
 * A client of vectord: every call is a request over `fetch`, in Node 20 or newer and in browsers.
 *
 *     const client = new Client({ url: 'http://127.0.0.1:8600', key: '…' })
 *     const index = client.index('films')
 *     await index.upsert([{ id: 'a', vector: [0.1, 0.9], metadata: { year: 2020 } }])
 *     const { results } = await index.search({ vector: [0.2, 0.8], k: 10 })
 */

import { Agent, Buckets, Evals, Indexes } from './collections.ts'
import { IndexHandle } from './index-handle.ts'
import { Operations } from './operations.ts'
import { Transport } from './transport.ts'
import type { CallOptions, Readiness, ServiceStatus } from './types.ts'

export interface ClientOptions {
  /** Where the service is; a path in it is kept, a user or a password is refused. */
  readonly url: string
  readonly key?: string
  /** Milliseconds of a try until its answer is read; 60,000 by default. */
  readonly timeoutMs?: number
  /** How often a call that may be repeated is tried again; 4 by default, 0 for never. */
  readonly retriesMax?: number
  /** A service that asks for a longer wait gets its error told at once; 60,000 by default. */
  readonly retryAfterMaxMs?: number
  /** In the place of the global one. */
  readonly fetch?: typeof fetch
}

const TIMEOUT_MS = 60_000
const RETRIES_MAX = 4
const RETRY_AFTER_MAX_MS = 60_000

export class Client {
  readonly indexes: Indexes
  readonly operations: Operations
  readonly buckets: Buckets
  readonly evals: Evals
  readonly agent: Agent
  readonly #transport: Transport

  /** @throws {TypeError} where the URL is none or holds a password, or the key can be none. */
  constructor(options: ClientOptions) {
    const { url, key = null, timeoutMs = TIMEOUT_MS } = options
    // What `fetch` says of a header that it cannot send would repeat the key.
    if (key !== null && !/^[\x21-\x7e]+$/.test(key)) {
      throw new TypeError('The key holds a space or a character that no key has.')
    }
    const { retriesMax = RETRIES_MAX, retryAfterMaxMs = RETRY_AFTER_MAX_MS } = options
    this.#transport = new Transport({
      ...{ url, key, timeoutMs, retry: { retriesMax, retryAfterMaxMs } },
      fetch: options.fetch ?? ((input, init) => fetch(input, init)),
    })
    this.operations = new Operations(this.#transport)
    this.indexes = new Indexes(this.#transport, this.operations)
    this.buckets = new Buckets(this.#transport)
    this.evals = new Evals(this.#transport, this.operations)
    this.agent = new Agent(this.#transport)
  }

  /** One index by its name; nothing is asked for yet. */
  index(name: string): IndexHandle {
    return new IndexHandle(this.#transport, this.operations, name)
  }

  /** How the service does, in one word. */
  health(options?: CallOptions): Promise<ServiceStatus> {
    const call = { method: 'GET', path: '/healthz', again: 'repeatable', options } as const
    return this.#transport.json(call)
  }

  /** Whether every index serves; also an answer while it is not so yet. */
  ready(options?: CallOptions): Promise<Readiness> {
    const call = { method: 'GET', path: '/readyz', again: 'repeatable', options } as const
    return this.#transport.json({ ...call, alsoOk: [503] })
  }
}
