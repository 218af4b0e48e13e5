/**
 * What works on Lance indexes beside requests: long work, upkeep, live recall. Built once, over the
 * parts that serve.
 */

import { join } from 'node:path'
import type { Logger } from 'pino'
import type { Config } from './config/schema.ts'
import type { LanceCore } from './dataplane/lance-core.ts'
import type { Metrics } from './http/metrics.ts'
import type { LanceIndex } from './indexes/lance-index.ts'
import { Periodic } from './lib/periodic.ts'
import { troubleLog, type Parts } from './parts.ts'
import { LanceMigrations } from './services/lance-migrations.ts'
import { LanceRecall } from './services/lance-recall.ts'
import { LanceRecallWatch } from './services/lance-recall-watch.ts'
import { LanceUpkeep } from './services/lance-upkeep.ts'
import { LanceWork } from './services/lance-work.ts'
import type { LiveRecallWatch } from './services/live-recall-watch.ts'
import type { Operations } from './services/operations.ts'
import type { SearchObserver } from './services/search-observer.ts'

/** Between two looks at which tables are written to often. */
const BUSY_ROUND_MS = 30_000

export interface LancePartsOptions {
  readonly config: Config
  readonly log: Logger
  readonly nowMs: () => number
  readonly parts: Parts
  readonly operations: Operations
}

/** What is told of live recall, whatever the backend. */
export type RecallOfAll = Pick<
  LiveRecallWatch,
  'report' | 'curve' | 'summaries' | 'dropped' | 'workS'
>

export class LanceParts {
  readonly work: LanceWork
  readonly upkeep: LanceUpkeep
  readonly recall: LanceRecallWatch
  readonly #core: LanceCore
  readonly #indexes: Parts['indexes']
  readonly #rounds: Periodic
  readonly #busyRounds: Periodic
  readonly #roundMs: number

  constructor({ config, log, nowMs, parts, operations }: LancePartsOptions) {
    const { indexes, buckets, bucketNames } = parts
    const onTrouble = troubleLog(log)
    const { optimizeIntervalSecs, versionsKeepSecs, unindexedRatio } = config.lance
    const versionsKeptMs = versionsKeepSecs * 1000
    this.#core = parts.lance
    this.#indexes = indexes
    this.#roundMs = optimizeIntervalSecs * 1000
    const migrations = new LanceMigrations({
      ...{ indexes, nowMs, scratch: join(config.storage.root, 'scratch') },
      spec: (bucket) => buckets.spec(bucket),
    })
    const recall = new LanceRecall({ indexes, nowMs })
    this.work = new LanceWork({ operations, indexes, migrations, recall, versionsKeptMs })
    this.upkeep = new LanceUpkeep({
      ...{ indexes, nowMs, onTrouble, work: this.work, versionsKeptMs },
      ...{ unindexedMax: unindexedRatio, buckets: bucketNames },
      store: (bucket) => buckets.get(bucket),
    })
    this.recall = new LanceRecallWatch({
      ...{ settings: config.recall, nowMs, onTrouble },
      index: (name) => (this.isLance(name) ? indexes.lanceIndex(name) : null),
    })
    const onRoundFailed = (error: unknown): void => {
      onTrouble(error, 'look after Lance tables')
    }
    this.#rounds = new Periodic(() => this.upkeep.run(), onRoundFailed)
    this.#busyRounds = new Periodic(() => this.upkeep.runBusy(), onRoundFailed)
  }

  isLance(name: string): boolean {
    return this.#indexes.all.has(name) && !this.#indexes.has(name)
  }

  /** @throws {VectordError} `index_not_found`, `wrong_backend`. */
  readonly index = (name: string): LanceIndex => this.#indexes.lanceIndex(name)

  /** Tells the one or the other of each search. */
  observer(others: SearchObserver): SearchObserver {
    return (seen) => {
      if (this.isLance(seen.index)) this.recall.observe(seen)
      else others(seen)
    }
  }

  /** Live recall of every index, with that of those that have a graph. */
  recallOfAll(graphs: LiveRecallWatch): RecallOfAll {
    const { recall } = this
    return {
      report: (name) => (this.isLance(name) ? recall.report(name) : graphs.report(name)),
      curve: (name) => graphs.curve(name),
      summaries: () => [...graphs.summaries(), ...recall.summaries()],
      get dropped() {
        const sums = [...graphs.dropped].map(([reason, count]) => {
          return [reason, count + (recall.dropped.get(reason) ?? 0)] as const
        })
        return new Map(sums)
      },
      get workS() {
        return graphs.workS + recall.workS
      },
    }
  }

  gauges(metrics: Metrics): void {
    const one = (name: string, help: string, value: () => number): void => {
      metrics.gauge({ name, help, read: () => [{ labels: {}, value: value() }] })
    }
    const core = this.#core
    one('lance_core_up', '1 while the process of the Lance tables runs.', () =>
      core.status.state === 'running' ? 1 : 0,
    )
    one('lance_core_queue_requests', 'Requests that wait for it.', () => core.status.queue)
    one('lance_core_deaths_total', 'Times that it ended unasked.', () => core.status.deaths)
    one('lance_core_rss_bytes', 'Its resident memory.', () => core.status.rssBytes)
    one('lance_core_cpu_seconds', 'Its CPU time.', () => core.status.cpuS)
    one('lance_optimized_total', 'Lance tables whose files were merged by themselves.', () => {
      return this.upkeep.counts.optimized
    })
  }

  start(): void {
    this.#rounds.start(this.#roundMs)
    this.#busyRounds.start(BUSY_ROUND_MS)
  }

  /** Ends what works by itself; operations are ended by whoever has them. */
  async close(): Promise<void> {
    await Promise.all([this.#rounds.close(), this.#busyRounds.close()])
    await this.recall.close()
  }
}
