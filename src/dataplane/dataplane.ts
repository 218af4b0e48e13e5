/**
 * The data plane: a number of cores, and the shards that are placed on them.
 *
 * Each shard is on one core for as long as it is attached. When a core dies, its shards are loaded
 * into its successor, each on its own: one that cannot be loaded does not hold up the others. Other
 * cores are not touched.
 */

import { setTimeout as delay } from 'node:timers/promises'
import { VectordError } from '../lib/errors.ts'
import { Core } from './core.ts'
import { CORE_PACE, type CorePace } from './core-messages.ts'
import type { CoreStatus, DataplaneLog } from './core-status.ts'
import { WATCHDOG_LIMITS, type WatchdogLimits } from './core-watchdog.ts'
import { LoadQueue } from './load-queue.ts'
import { Quarantine } from './quarantine.ts'
import { RemoteShard } from './remote-shard.ts'
import { RestartBackoff } from '../lib/restart-backoff.ts'
import { ShardLife } from './shard-life.ts'
import type { ShardSource } from './shard-source.ts'

export interface DataplaneOptions {
  /** Core processes. */
  readonly cores: number
  /** The module that hosts shards in a core, a `ShardHostModule`; the real one by default. */
  readonly hostModule?: string
  /** Requests that may wait in one core; backpressure starts at 85 % of it. */
  readonly queueMax?: number
  /** A core that says nothing for this long hangs, and is killed. */
  readonly silenceMaxMs?: number
  /** The wait before a core that died is started again: doubled each time, up to the maximum. */
  readonly restartMinMs?: number
  readonly restartMaxMs?: number
  /** The wait before a shard that could not be loaded is tried again: doubled, up to 32 times. */
  readonly loadRetryMs?: number
  /** When a core that keeps failing or dying rests. */
  readonly watchdog?: WatchdogLimits
  /** How a core shares its time. */
  readonly pace?: CorePace
  /** Milliseconds of a clock that never runs backwards: for windows and cooldowns. */
  readonly nowMs?: () => number
  readonly log?: DataplaneLog
}

const DEFAULTS = {
  hostModule: new URL('shard-host-main.ts', import.meta.url).href,
  queueMax: 1024,
  silenceMaxMs: 30_000,
  restartMinMs: 100,
  restartMaxMs: 10_000,
  loadRetryMs: 10_000,
  watchdog: WATCHDOG_LIMITS,
  pace: CORE_PACE,
  nowMs: () => performance.now(),
  log: () => undefined,
} satisfies Omit<Required<DataplaneOptions>, 'cores'>

/** A core and what is placed on it. */
interface Place {
  readonly core: Core
  readonly loads: LoadQueue
  readonly shards: Set<ShardLife>
}

export class Dataplane {
  readonly #options: Required<DataplaneOptions>
  readonly #places: readonly Place[]
  #closing: Promise<void> | null = null

  /** Starts the core processes. */
  constructor(options: DataplaneOptions) {
    this.#options = { ...DEFAULTS, ...options }
    const quarantine = new Quarantine()
    this.#places = Array.from({ length: options.cores }, (_, core) => this.#place(core, quarantine))
  }

  /**
   * Places a shard on the core with the least on it, and starts to load it. The shard is loading
   * when this resolves; see its `whenReady`.
   *
   * @throws {VectordError} `shutting_down`.
   */
  async attach(source: ShardSource): Promise<RemoteShard> {
    const expectedPoints = await pointsToLoad(source)
    const place = this.#lightest()
    if (this.#closing !== null || place === undefined) {
      throw new VectordError('shutting_down', 'The service is shutting down.')
    }
    const life = new ShardLife({
      source,
      core: place.core,
      expectedPoints,
      retryMs: this.#options.loadRetryMs,
      log: this.#options.log,
      requestLoad: (waiting) => place.loads.add(waiting),
    })
    place.shards.add(life)
    if (place.core.isRunning) place.loads.add(life)
    return new RemoteShard(life, async () => {
      place.shards.delete(life)
      await life.detach()
    })
  }

  cores(): CoreStatus[] {
    return this.#places.map(({ core, shards }) => core.status(shards.size))
  }

  /** Refuses new reads and waits, at most `boundMs`, until nothing waits in the cores. */
  async drain(boundMs: number): Promise<void> {
    const stop = new AbortController()
    const drained = Promise.all(this.#places.map(({ core }) => core.drain()))
    const bound = delay(boundMs, undefined, { signal: stop.signal }).catch(() => undefined)
    await Promise.race([drained, bound])
    stop.abort()
  }

  /**
   * Drains, then ends the core processes: by themselves where they can within the bound, else by
   * force. What still waits is answered `shutting_down`. Idempotent.
   */
  close(boundMs = 10_000): Promise<void> {
    this.#closing ??= this.#close(boundMs)
    return this.#closing
  }

  async #close(boundMs: number): Promise<void> {
    await this.drain(boundMs)
    await Promise.all(this.#places.map(({ core }) => core.stop(boundMs)))
  }

  #place(number: number, quarantine: Quarantine): Place {
    const { hostModule, queueMax, silenceMaxMs, restartMinMs, restartMaxMs, nowMs, log } =
      this.#options
    const { watchdog, pace } = this.#options
    const shards = new Set<ShardLife>()
    const loads = new LoadQueue()
    const core = new Core({
      core: number,
      ...{ hostModule, queueMax, silenceMaxMs, quarantine, watchdog, pace, nowMs, log },
      backoff: new RestartBackoff(restartMinMs, restartMaxMs),
      onUp: () => {
        for (const life of shards) if (!life.isLeftOut) loads.add(life)
      },
      onDown: () => {
        loads.clear()
        for (const life of shards) life.down()
      },
    })
    return { core, loads, shards }
  }

  #lightest(): Place | undefined {
    return [...this.#places].sort(
      (a, b) => pointsOf(a) - pointsOf(b) || a.shards.size - b.shards.size,
    )[0]
  }
}

/** What the checkpoint holds. A source that fails here fails again when the shard is loaded. */
async function pointsToLoad(source: ShardSource): Promise<number> {
  const spec = await source.spec().catch(() => null)
  let points = 0
  for (const part of spec?.checkpoint?.parts ?? []) {
    if (part.kind === 'points' && part.shard === spec?.shard) points += part.rows - part.deadRows
  }
  return points
}

function pointsOf(place: Place): number {
  let points = 0
  for (const life of place.shards) points += life.weight
  return points
}
