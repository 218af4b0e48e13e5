/**
 * What a server does with an index that another one writes: it reads along, and waits for its turn.
 *
 *     ┌─▶ new groups ─▶ records to the shards ─▶ at the end? claim the lease ─▶ held by another ─┐
 *     └───────────────────────────── a second later ◀───────────────────────────────────────────┘
 *                                                                  │ it is ours
 *                    open the log for writing (fences the last owner) ─▶ read to its end ─▶ owner
 *
 * The shards stay attached through a takeover: what they hold is a prefix of the log, and the rest
 * of it reaches them before the first write of this server does. Where groups were given up before
 * they were read, `behind` is told: the index must be loaded anew from a checkpoint.
 */

import { hasCode, VectordError } from '../lib/errors.ts'
import { Periodic } from '../lib/periodic.ts'
import { ReplayWindow } from '../dataplane/replay-window.ts'
import type { GroupFollower } from '../log/group-follower.ts'
import type { LogStore } from '../log/log-store.ts'
import type { IndexStorage, RecordSink } from './index-storage.ts'
import type { SharedLog } from './shared-log.ts'

/** How often new groups are asked for. */
const POLL_MS = 1000
/** How often the lease is looked at. */
const CLAIM_MS = 5000
/** How long a claim waits after the log could not be taken over: others may be luckier. */
const CLAIM_PAUSE_MS = 30_000
/** How often the checkpoints are looked at: what is kept in memory of the log is dropped then. */
const LOOK_MS = 30_000

const WHAT = 'follow the owner of an index'

export interface IndexFollowerOptions {
  readonly log: SharedLog
  readonly groups: GroupFollower
  readonly storage: IndexStorage
  readonly seen: OwnerSeen
  /** Resolves with an epoch once the lease is ours, and held. @throws `not_owner` and the owner. */
  readonly claim: () => Promise<number>
  /** Gives a claim back that led to nothing. */
  readonly release: () => Promise<void>
  /** Opens the log for writing. */
  readonly openLog: (epoch: number) => Promise<LogStore>
  readonly monotonicMs: () => number
  readonly onTrouble: (error: unknown, what: string) => void
  readonly pollMs?: number
}

/** What a follower knows of the owner and of how well it follows. */
export class OwnerSeen {
  /** The id of the server that writes the index; null where it is not known. */
  owner: string | null = null
  /** What the last round failed with, or null. */
  fault: VectordError | null = null

  /** @param refusal of a claim. */
  constructor(refusal: VectordError) {
    this.refused(refusal)
  }

  refused({ details }: VectordError): void {
    if (typeof details['owner'] === 'string') this.owner = details['owner']
  }
}

export class IndexFollower {
  readonly #options: IndexFollowerOptions
  #claimAtMs: number
  #lookAtMs: number

  constructor(options: IndexFollowerOptions) {
    this.#options = options
    const nowMs = options.monotonicMs()
    this.#claimAtMs = nowMs + CLAIM_MS
    this.#lookAtMs = nowMs + LOOK_MS
  }

  /** Reads along until closed. */
  start(sink: RecordSink): { close(): Promise<void> } {
    const rounds = new Periodic(
      () => this.round(sink),
      (error) => {
        this.#options.onTrouble(error, WHAT)
      },
    )
    rounds.start(this.#options.pollMs ?? POLL_MS)
    return rounds
  }

  /** One round; nothing once this server is the owner. What fails is tried again by the next. */
  async round(sink: RecordSink): Promise<void> {
    if (this.#options.log.role === 'owner') return
    try {
      const isAtEnd = await this.#readAlong(sink)
      await this.#look()
      if (isAtEnd) await this.#claim(sink)
      this.#options.seen.fault = null
    } catch (error) {
      this.#failed(asVectordError(error))
    }
  }

  #failed(fault: VectordError): void {
    const { storage, seen, onTrouble } = this.#options
    // Told once: a bucket that is down would be told of at every round.
    if (fault.code !== seen.fault?.code) onTrouble(fault, WHAT)
    seen.fault = fault
    if (fault.code === 'object_not_found') storage.lose(this.#behind(fault))
  }

  /** @returns false where the shards have no room for more now. */
  async #readAlong(sink: RecordSink): Promise<boolean> {
    const { groups } = this.#options
    const window = new ReplayWindow()
    for (let next = await groups.peek(); next !== null; next = await groups.peek()) {
      if (!sink.hasRoom) break
      await window.room()
      // In one turn: what the log ends with is also what was sent to the shards.
      groups.take()
      window.add(sink.follow(next), next.payload.byteLength)
    }
    await window.drained()
    return (await groups.peek()) === null
  }

  async #look(): Promise<void> {
    const { groups, storage, monotonicMs } = this.#options
    if (monotonicMs() < this.#lookAtMs) return
    this.#lookAtMs = monotonicMs() + LOOK_MS
    await storage.refresh()
    groups.forget(storage.oldestLsn)
  }

  async #claim(sink: RecordSink): Promise<void> {
    const { claim, release, seen, monotonicMs } = this.#options
    if (monotonicMs() < this.#claimAtMs) return
    this.#claimAtMs = monotonicMs() + CLAIM_MS
    let epoch: number
    try {
      epoch = await claim()
    } catch (error) {
      if (!hasCode(error, 'not_owner')) throw error
      seen.refused(error)
      return
    }
    try {
      await this.#takeOver(epoch, sink)
    } catch (error) {
      this.#claimAtMs = monotonicMs() + CLAIM_PAUSE_MS
      await release()
      throw error
    }
  }

  async #takeOver(epoch: number, sink: RecordSink): Promise<void> {
    const { openLog, log, groups, storage } = this.#options
    const own = await openLog(epoch)
    try {
      // From here on nobody else appends: what the log holds now is all that was acknowledged.
      while (groups.lastLsn < own.lastLsn) {
        const next = await groups.peek()
        // Its end is known, so what is not there was given up.
        if (next === null) throw new VectordError('object_not_found', 'Log groups are gone.')
        groups.take()
        await sink.follow(next)
      }
      await storage.refresh()
      if (storage.checkpointLsn > own.lastLsn) {
        throw new VectordError('log_corrupt', 'The log ends before the newest checkpoint.', {
          details: { last_lsn: own.lastLsn, checkpoint_lsn: storage.checkpointLsn },
        })
      }
      log.own(own)
    } catch (error) {
      await own.close()
      throw error
    }
  }

  #behind(cause: VectordError): VectordError {
    return new VectordError('not_owner', 'The log that comes next was given up by its owner.', {
      details: { owner: this.#options.seen.owner },
      retryAfterS: 5,
      cause,
    })
  }
}

function asVectordError(error: unknown): VectordError {
  if (error instanceof VectordError) return error
  return new VectordError('internal', 'The owner could not be followed.', { cause: error })
}
