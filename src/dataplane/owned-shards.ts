/**
 * The shards that a core has open, under the numbers that the front gave them.
 *
 * A shard that failed to apply a record is broken: it would have a hole where the record belongs.
 * Later records and checkpoints are refused with the same error until the front opens it anew.
 */

import type { TextsRequest } from '../domain/pending-text.ts'
import type { AdoptedGraph, ShardStats } from '../domain/search.ts'
import { VectordError } from '../lib/errors.ts'
import { invariant } from '../lib/invariant.ts'
import type {
  CheckpointRequest,
  CompactReply,
  CompactRequest,
  CountRequest,
  MatchingIdsRequest,
  OpenReply,
  OpenRequest,
  RehomeRequest,
  RetainReply,
  RetainRequest,
} from './core-messages.ts'
import { FRAME, type Frame } from './frame.ts'
import type { FrameWriter } from './frame-writer.ts'
import {
  readApply,
  readFetch,
  readIds,
  readJson,
  readQuery,
  readSample,
  readScroll,
  readVersionsRequest,
  writeAnswer,
  writeIds,
  writeJson,
  writePage,
  writePoints,
  writeVersions,
} from './shard-codec.ts'
import type { HostedShard, OpenShard } from './shard-host.ts'

interface Owned {
  readonly shard: HostedShard
  /** Ends when nothing that takes longer than a turn runs on the shard. */
  busy: Promise<unknown>
  /** Why it takes no records any more. */
  broken: Error | null
}

export interface OwnedShardsHandlers {
  /** `frame` is the request to open. */
  onProgress(frame: Frame, fraction: number): void
}

export class OwnedShards {
  readonly #open: OpenShard
  readonly #handlers: OwnedShardsHandlers
  readonly #owned = new Map<number, Owned>()
  /** Opens under way, which closing has to wait for. */
  readonly #opening = new Map<number, Promise<unknown>>()

  constructor(open: OpenShard, handlers: OwnedShardsHandlers) {
    this.#open = open
    this.#handlers = handlers
  }

  numbers(): IterableIterator<number> {
    return this.#owned.keys()
  }

  stats(number: number): ShardStats {
    return this.#get(number).shard.stats()
  }

  apply(frame: Frame): void {
    const owned = this.#get(frame.shard)
    if (owned.broken !== null) throw owned.broken
    const { lsn, payload } = readApply(frame.body)
    try {
      owned.shard.apply(lsn, payload)
    } catch (error) {
      owned.broken = error instanceof Error ? error : new Error(String(error))
      throw owned.broken
    }
  }

  /** Writes the body of the answer. */
  read(frame: Frame, writer: FrameWriter): void {
    const { shard } = this.#get(frame.shard)
    const { body } = frame
    switch (frame.type) {
      case FRAME.search:
        writeAnswer(writer, shard.search(readQuery(body)))
        return
      case FRAME.fetch: {
        const { ids, include } = readFetch(body)
        writePoints(writer, shard.fetch(ids, include))
        return
      }
      case FRAME.versions:
        writeVersions(writer, shard.versions(readVersionsRequest(body)))
        return
      case FRAME.scroll: {
        const { after, limit, filter, include } = readScroll(body)
        writePage(writer, shard.scroll(after, limit, filter, include))
        return
      }
      case FRAME.matchingIds: {
        const { filter, limit } = readJson(body) as MatchingIdsRequest
        writeIds(writer, shard.matchingIds(filter, limit))
        return
      }
      case FRAME.texts:
        writeJson(writer, shard.texts(readJson(body) as TextsRequest))
        return
      case FRAME.keywordStatistics:
        writeJson(writer, shard.keywordStatistics(readIds(body)))
        return
      case FRAME.count:
        writeJson(writer, shard.count((readJson(body) as CountRequest).filter))
        return
      default:
        invariant(false, `frame type ${frame.type} is a read`)
    }
  }

  /** Starts what takes longer than a turn, and answers with what the front is to be told. */
  async start(frame: Frame): Promise<unknown> {
    switch (frame.type) {
      case FRAME.open:
        return this.#openShard(frame)
      case FRAME.checkpoint: {
        const owned = this.#get(frame.shard)
        if (owned.broken !== null) throw owned.broken
        const { graph, clearance } = readJson(frame.body) as CheckpointRequest
        return beside(owned, owned.shard.checkpoint(graph, clearance))
      }
      case FRAME.compact: {
        const owned = this.#get(frame.shard)
        const { lsns } = readJson(frame.body) as CompactRequest
        const compacted = await beside(owned, owned.shard.compact(lsns))
        return { compacted, stats: owned.shard.stats() } satisfies CompactReply
      }
      case FRAME.verify: {
        const owned = this.#get(frame.shard)
        return beside(owned, owned.shard.verify())
      }
      case FRAME.prepareKeywords:
        // Closing ends it rather than to wait for it.
        await this.#get(frame.shard).shard.prepareKeywords()
        return null
      case FRAME.close:
        return this.#close(frame.shard)
      case FRAME.adopt:
      case FRAME.publish:
      case FRAME.drop:
        return this.#changeGeneration(frame)
      case FRAME.retain:
        return this.#retain(frame)
      case FRAME.rehome:
        return this.#rehome(frame)
      case FRAME.sample: {
        const owned = this.#get(frame.shard)
        return beside(owned, owned.shard.sample(readSample(frame.body)))
      }
      default:
        invariant(false, `frame type ${frame.type} is a request`)
    }
  }

  /** @returns true where more work waits. */
  indexSlice(number: number, budgetMs: number): boolean {
    const owned = this.#owned.get(number)
    return owned?.broken === null && owned.shard.indexSlice(budgetMs)
  }

  async closeAll(): Promise<void> {
    const numbers = [...this.#owned.keys(), ...this.#opening.keys()]
    const results = await Promise.allSettled(numbers.map((number) => this.#close(number)))
    const failed = results.find((result) => result.status === 'rejected')
    if (failed !== undefined) throw new Error('a shard was not closed', { cause: failed.reason })
  }

  /** Answers with the statistics afterwards, so that whoever changed something sees it at once. */
  async #changeGeneration(frame: Frame): Promise<ShardStats> {
    const owned = this.#get(frame.shard)
    const change = readJson(frame.body)
    if (frame.type === FRAME.adopt) await beside(owned, owned.shard.adopt(change as AdoptedGraph))
    else if (frame.type === FRAME.publish)
      await beside(owned, owned.shard.publish(change as number))
    else await beside(owned, owned.shard.drop(change as number))
    return owned.shard.stats()
  }

  async #retain(frame: Frame): Promise<RetainReply> {
    const owned = this.#get(frame.shard)
    const { keepLastVersions } = readJson(frame.body) as RetainRequest
    const trimmed = await beside(owned, owned.shard.retain(keepLastVersions))
    return { stats: owned.shard.stats(), trimmed }
  }

  async #rehome(frame: Frame): Promise<null> {
    const owned = this.#get(frame.shard)
    const { bucket } = readJson(frame.body) as RehomeRequest
    await beside(owned, owned.shard.rehome(bucket))
    return null
  }

  async #openShard(frame: Frame): Promise<OpenReply> {
    const { spec } = readJson(frame.body) as OpenRequest
    invariant(!this.#owned.has(frame.shard), 'a number is given to one shard')
    const opening = this.#open(spec, (fraction) => this.#handlers.onProgress(frame, fraction))
    this.#opening.set(frame.shard, opening)
    try {
      const shard = await opening
      this.#owned.set(frame.shard, { shard, busy: Promise.resolve(), broken: null })
      return { stats: shard.stats(), notices: shard.notices ?? [] }
    } finally {
      this.#opening.delete(frame.shard)
    }
  }

  async #close(number: number): Promise<null> {
    await Promise.allSettled([this.#opening.get(number)])
    const owned = this.#owned.get(number)
    if (owned === undefined) return null
    this.#owned.delete(number)
    await owned.busy
    await owned.shard.close()
    return null
  }

  #get(number: number): Owned {
    const owned = this.#owned.get(number)
    if (owned !== undefined) return owned
    throw new VectordError('core_unavailable', 'The core does not hold this shard now.', {
      retryAfterS: 1,
    })
  }
}

/** Runs `work` in a way that closing the shard waits for it. */
async function beside<T>(owned: Owned, work: Promise<T>): Promise<T> {
  owned.busy = Promise.allSettled([owned.busy, work])
  return work
}
