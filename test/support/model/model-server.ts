/**
 * The server of a model test: a real process that is stopped, killed and started on one folder.
 *
 * Small bounds make the few points of a test meet what large ones meet: graphs from 20 points on, new
 * log segments, checkpoints for the size of the log.
 */

import assert from 'node:assert/strict'
import { join } from 'node:path'
import { startService, type Service } from '../service.ts'

const ENV = {
  VECTORD_SEARCH_FLAT_THRESHOLD: '20',
  VECTORD_LOG_SEGMENT_BYTES: '65536',
  VECTORD_LOG_GROUP_BYTES_MAX: '65536',
  VECTORD_CHECKPOINT_LOG_BYTES: '131072',
  VECTORD_CHECKPOINT_INTERVAL_MS: '10000',
}

/** Machines are shared: a slow start is no failure. */
const READY_WITHIN_MS = 120_000
const START = { env: ENV, startWithinMs: READY_WITHIN_MS }

export class ModelServer {
  readonly #root: string
  #service: Service

  private constructor(root: string, service: Service) {
    this.#root = root
    this.#service = service
  }

  /** In an empty folder. */
  static async start(folder: string): Promise<ModelServer> {
    const root = join(folder, 'root')
    const service = await startService(root, START)
    await service.ready(READY_WITHIN_MS)
    const second = { name: 'second', backend: 'local', root: join(folder, 'second') }
    await service.must('POST', '/storage/buckets', second)
    return new ModelServer(root, service)
  }

  get service(): Service {
    return this.#service
  }

  /** SIGTERM, and waits for its end, which must be clean. */
  async stop(): Promise<void> {
    const { service } = this
    assert.equal(await service.stop(), 0, `it did not end cleanly\n${service.log.join('\n')}`)
  }

  kill(): Promise<void> {
    return this.#service.kill()
  }

  /** Starts it again after `stop` or `kill`, and waits until everything serves. */
  async startAgain(): Promise<void> {
    this.#service = await startService(this.#root, START)
    await this.#service.ready(READY_WITHIN_MS)
  }
}
