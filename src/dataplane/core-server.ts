/**
 * What a core does with the requests of the front: turns of requests and a slice of maintenance.
 *
 *     frames ─▶ queue ─▶ turn: reads, up to `turnRequests` or about TURN_MS
 *                          ├─▶ changes, one at least, for about `sliceMs`
 *                          └─▶ one slice of maintenance ─▶ back to the event loop ─▶ next turn
 *
 * A read so waits for the changes and the maintenance of one turn and not for all that wait, and
 * writes go on beside any number of reads. Requests run one by one to their end. Those that take
 * longer (`open`, `checkpoint`, `verify`, `sample`, `close` …) are started in their place in the
 * queue and go on beside the turns. Answers leave while
 * the turn goes on, so that the front works on them meanwhile.
 *
 * A request that throws is answered with its error and nothing else happens. Anything that throws
 * outside of a request is a bug and ends the process: the front starts another.
 */

import type { ShardStats } from '../domain/search.ts'
import { VectordError } from '../lib/errors.ts'
import type { FrameChannel } from './frame-channel.ts'
import { type CorePace, BEAT_INTERVAL_MS, type Beat, type Fault } from './core-messages.ts'
import { toWireError } from './error-codec.ts'
import { FLAG_ANNOUNCE, FRAME, type Frame, type FrameType } from './frame.ts'
import { MaintenanceRota } from './maintenance-rota.ts'
import { isRead, RequestQueue } from './request-queue.ts'
import { OwnedShards } from './owned-shards.ts'
import { writeJson } from './shard-codec.ts'
import type { OpenShard } from './shard-host.ts'

/** The reads of a turn end after this, so that sockets and saves are not kept waiting. */
const TURN_MS = 20
/** Answers wait at most about this long for others to leave with. */
const FLUSH_MS = 0.5
const FLUSH_BYTES = 64 * 1024

export interface CoreServerOptions {
  readonly core: number
  readonly pace: CorePace
  readonly channel: FrameChannel
  readonly openShard: OpenShard
  /** Called when the front has asked this core to end and its shards are closed. */
  onStopped(): void
}

export class CoreServer {
  readonly #options: CoreServerOptions
  readonly #channel: FrameChannel
  readonly #shards: OwnedShards
  readonly #queue = new RequestQueue()
  readonly #rota = new MaintenanceRota()
  readonly #sentStats = new Map<number, string>()
  readonly #beats: NodeJS.Timeout
  #turn: NodeJS.Immediate | null = null
  #flushedMs = 0

  constructor(options: CoreServerOptions) {
    this.#options = options
    this.#channel = options.channel
    this.#shards = new OwnedShards(options.openShard, {
      onProgress: (frame, fraction) => {
        this.#reply(FRAME.progress, frame, (writer) => writer.f64(fraction))
        this.#channel.flushSoon()
      },
    })
    this.#beats = setInterval(() => this.#beat(), BEAT_INTERVAL_MS)
    this.#reply(FRAME.hello, NO_REQUEST, () => undefined)
    this.#channel.flush()
  }

  /** Takes a frame from the front. */
  receive(frame: Frame): void {
    if (frame.type === FRAME.forget) this.#queue.forgetReads()
    else {
      this.#queue.push(frame)
      this.#schedule()
    }
  }

  #schedule(): void {
    this.#turn ??= setImmediate(() => {
      this.#turn = null
      this.#runTurn()
    })
  }

  #runTurn(): void {
    const startMs = performance.now()
    this.#flushedMs = startMs
    this.#runRequests(startMs)
    this.#channel.flush()
    this.#maintain(performance.now() - startMs)
    if (this.#queue.length > 0 || this.#rota.hasWork) this.#schedule()
  }

  #runRequests(startMs: number): void {
    const queue = this.#queue
    const endMs = startMs + TURN_MS
    const background = queue.shiftBackground()
    if (background !== undefined) this.#serve(background)
    this.#run(() => queue.shiftRead(), endMs)
    this.#run(() => queue.shiftChange(), performance.now() + this.#options.pace.sliceMs)
    this.#run(() => queue.shiftIdle(), endMs)
  }

  /** Serves what `next` gives, one at least, until the time or the count of a turn is reached. */
  #run(next: () => Frame | undefined, endMs: number): void {
    let frame = next()
    for (let served = 1; frame !== undefined; served += 1) {
      this.#serve(frame)
      const nowMs = performance.now()
      if (nowMs - this.#flushedMs > FLUSH_MS || this.#channel.writer.pendingBytes > FLUSH_BYTES) {
        this.#channel.flush()
        this.#flushedMs = nowMs
      }
      if (served >= this.#options.pace.turnRequests || nowMs > endMs) return
      frame = next()
    }
  }

  #serve(frame: Frame): void {
    if ((frame.flags & FLAG_ANNOUNCE) !== 0) {
      this.#reply(FRAME.started, frame, () => undefined)
      this.#channel.flush()
    }
    try {
      if (frame.deadlineMs < Date.now()) throw tooLate()
      if (isRead(frame.type)) this.#read(frame)
      else this.#change(frame)
    } catch (error) {
      this.#fail(frame, error)
    }
  }

  #read(frame: Frame): void {
    const { writer } = this.#channel
    writer.begin(answerTo(frame))
    this.#shards.read(frame, writer)
    writer.end()
  }

  #change(frame: Frame): void {
    if (frame.type === FRAME.apply) {
      this.#shards.apply(frame)
      this.#hasWork(frame.shard)
      this.#reply(FRAME.answer, frame, () => undefined)
      return
    }
    if (frame.type === FRAME.stop) this.#stop()
    else this.#changeBeside(frame)
  }

  /** Starts what takes longer than a turn; its answer follows when it is done. */
  #changeBeside(frame: Frame): void {
    if (frame.type === FRAME.close) this.#forget(frame.shard)
    this.#shards
      .start(frame)
      .then(
        (answer) => this.#reply(FRAME.answer, frame, (writer) => writeJson(writer, answer)),
        (error: unknown) => this.#fail(frame, error),
      )
      .finally(() => {
        // Points may have waited for it to end.
        this.#hasWork(frame.shard)
        this.#channel.flushSoon()
      })
  }

  #stop(): void {
    clearInterval(this.#beats)
    this.#shards
      .closeAll()
      .catch((error: unknown) => {
        this.#report({ shard: 0, what: 'close', error: toWireError(error, this.#name(0)) })
      })
      .finally(() => {
        this.#channel.flush()
        this.#options.onStopped()
      })
  }

  #hasWork(shard: number): void {
    this.#rota.add(shard)
    this.#schedule()
  }

  #forget(shard: number): void {
    this.#rota.delete(shard)
    this.#sentStats.delete(shard)
  }

  /**
   * While requests wait, maintenance gets no more time than they had: a search then waits for one
   * slice at the most, and the points that wait for their place in the graph still get half.
   */
  #maintain(requestsMs: number): void {
    if (!this.#rota.hasWork) return
    const waiting = this.#queue.length > 0
    const { sliceMs } = this.#options.pace
    const budgetMs = waiting ? Math.min(sliceMs, Math.max(1, requestsMs)) : sliceMs
    this.#rota.run(budgetMs, {
      slice: (shard, ms) => this.#shards.indexSlice(shard, ms),
      onError: (shard, error) => {
        this.#report({ shard, what: 'maintenance', error: toWireError(error, this.#name(0)) })
        this.#channel.flushSoon()
      },
    })
  }

  #beat(): void {
    this.#rota.forgive(performance.now())
    if (this.#rota.hasWork) this.#schedule()
    const cpu = process.cpuUsage()
    const beat: Beat = {
      rss_bytes: process.memoryUsage.rss(),
      cpu_s: (cpu.user + cpu.system) / 1e6,
      queued: this.#queue.length,
      shards: this.#changedStats(),
    }
    this.#reply(FRAME.beat, NO_REQUEST, (writer) => writeJson(writer, beat))
    this.#channel.flush()
  }

  #changedStats(): { shard: number; stats: ShardStats }[] {
    const changed: { shard: number; stats: ShardStats }[] = []
    for (const shard of this.#shards.numbers()) {
      try {
        const stats = this.#shards.stats(shard)
        const text = JSON.stringify(stats)
        if (this.#sentStats.get(shard) === text) continue
        this.#sentStats.set(shard, text)
        changed.push({ shard, stats })
      } catch (error) {
        this.#report({ shard, what: 'stats', error: toWireError(error, this.#name(0)) })
      }
    }
    return changed
  }

  #reply(type: FrameType, to: Frame, write: (writer: FrameChannel['writer']) => void): void {
    const { writer } = this.#channel
    writer.begin({ ...answerTo(to), type })
    try {
      write(writer)
      writer.end()
    } catch (error) {
      writer.rollback()
      throw error
    }
  }

  #fail(frame: Frame, error: unknown): void {
    this.#channel.writer.rollback()
    const wire = toWireError(error, this.#name(frame.id))
    this.#reply(FRAME.failure, frame, (writer) => writeJson(writer, wire))
  }

  #report(fault: Fault): void {
    this.#reply(FRAME.fault, NO_REQUEST, (writer) => writeJson(writer, fault))
  }

  #name(id: number): string {
    return `core-${this.#options.core}-${id}`
  }
}

const NO_REQUEST: Frame = {
  type: FRAME.hello,
  id: 0,
  flags: 0,
  shard: 0,
  deadlineMs: Infinity,
  body: Buffer.alloc(0),
}

function answerTo(frame: Frame): Omit<Frame, 'body'> {
  return { type: FRAME.answer, id: frame.id, flags: 0, shard: frame.shard, deadlineMs: Infinity }
}

function tooLate(): VectordError {
  return new VectordError('deadline_exceeded', 'The request waited past its deadline.', {
    retryAfterS: 1,
  })
}
