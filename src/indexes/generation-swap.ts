/**
 * Brings a graph into use without losing a write.
 *
 *     adopt on every shard ─▶ caught up ─▶ publish on every shard ─▶ checkpoint ─▶ drop the old one
 *
 * From `adopt` on every write reaches both graphs; until the new one has caught up, the old one
 * answers. After `publish` the old one is still in memory, so that going back is one pointer; the
 * checkpoint makes the change durable, and keeps the old one's files.
 */

import { setTimeout as sleep } from 'node:timers/promises'
import type { GraphRef } from '../domain/checkpoint.ts'
import type { HnswConfig } from '../domain/hnsw-config.ts'
import { searchablePoints, type GenerationInfo, type ShardStats } from '../domain/search.ts'
import { VectordError } from '../lib/errors.ts'
import type { ServedIndex } from './served-index.ts'
import type { ShardClient } from './shard-client.ts'

/** Live points that a new graph may lack more than the old one when it is published. */
const CAUGHT_UP_POINTS = 256
const LOOK_MS = 50
/** Statistics arrive four times a second. */
const SEEN_LOOKS_MAX = 100

export interface NewGeneration {
  readonly config: HnswConfig
  /** Files of a build, one for each shard that has points; null: begin empty and grow here. */
  readonly graphs: readonly GraphRef[] | null
}

export type Swapped = Pick<ServedIndex, 'info' | 'ownShards' | 'checkpoint'> & {
  readonly checkpoints: Pick<ServedIndex['checkpoints'], 'apart'>
}

export interface SwapControl {
  readonly signal: AbortSignal
  /** Told the share of the points that the new graph holds. */
  readonly onProgress: (fraction: number) => void
}

/**
 * Brings a new generation into memory on every shard and waits until it has caught up.
 *
 * @returns its number. Where it throws, nothing of it is left in memory.
 */
export async function adoptGeneration(
  index: Swapped,
  { config, graphs }: NewGeneration,
  control: SwapControl,
): Promise<number> {
  const generation = Math.max(0, ...generationsOf(index).map((one) => one.generation)) + 1
  return adopt(index, generation, control, (shard, number) => {
    const ref = graphs?.find((one) => one.shard === number) ?? null
    return shard.adopt({ generation, ref, config: ref === null ? config : null })
  })
}

/** The same for one whose files are kept. @throws {VectordError} `generation_not_found`. */
export async function readoptGeneration(
  index: Swapped,
  generation: number,
  control: SwapControl,
): Promise<number> {
  return adopt(index, generation, control, (shard) =>
    shard.adopt({ generation, ref: null, config: null }),
  )
}

/**
 * Makes a generation that is in memory everywhere the one that searches use, durably. Where it
 * throws, searches use the one of before again.
 */
export async function publishGeneration(index: Swapped, generation: number): Promise<void> {
  const shards = index.ownShards()
  const before = index.info.stats?.generation ?? 0
  try {
    // To the end on every shard, as with `adopt`.
    const published = await index.checkpoints.apart(() =>
      Promise.allSettled(shards.map((shard) => shard.publish(generation))),
    )
    for (const outcome of published) if (outcome.status === 'rejected') throw outcome.reason
    await index.checkpoint('if_worth', { force: true })
  } catch (error) {
    // A core that is gone loads the one of before by itself.
    await index.checkpoints.apart(() =>
      Promise.allSettled(shards.map((shard) => shard.publish(before))),
    )
    throw error
  }
}

/** Frees the memory of a generation that is not published. */
export async function dropGeneration(index: Swapped, generation: number): Promise<void> {
  const shards = index.ownShards()
  await index.checkpoints.apart(() => Promise.all(shards.map((shard) => shard.drop(generation))))
}

export function generationsOf({ info }: Pick<Swapped, 'info'>): readonly GenerationInfo[] {
  return info.stats?.generations ?? []
}

async function adopt(
  index: Swapped,
  generation: number,
  control: SwapControl,
  start: (shard: ShardClient, number: number) => Promise<void>,
): Promise<number> {
  const shards = index.ownShards()
  try {
    // To the end on every shard: one that fails must not leave another behind that still loads.
    const started = await Promise.allSettled(shards.map(start))
    for (const outcome of started) if (outcome.status === 'rejected') throw outcome.reason
    await Promise.all(shards.map((shard) => caughtUp(shard, generation, control)))
    return generation
  } catch (error) {
    await index.checkpoints.apart(() =>
      Promise.allSettled(shards.map((shard) => shard.drop(generation))),
    )
    throw error
  }
}

async function caughtUp(
  shard: ShardClient,
  generation: number,
  { signal, onProgress }: SwapControl,
): Promise<void> {
  let looks = 0
  for (;;) {
    signal.throwIfAborted()
    const stats = shard.lastStats
    if (stats === null) throw lost(generation)
    const found = stats.generations.find((one) => one.generation === generation)
    if (found !== undefined && found.state !== 'stored') {
      onProgress(1 - found.deltaPoints / Math.max(1, searchablePoints(stats)))
      if (found.deltaPoints <= publishedDelta(stats) + CAUGHT_UP_POINTS) return
      looks = SEEN_LOOKS_MAX
    } else if (looks >= SEEN_LOOKS_MAX) throw lost(generation)
    looks += 1
    await sleep(LOOK_MS, undefined, { signal })
  }
}

function publishedDelta({ generations }: ShardStats): number {
  return generations.find(({ state }) => state === 'published')?.deltaPoints ?? 0
}

/** The core was started anew, and a candidate is no part of a checkpoint. */
function lost(generation: number): VectordError {
  return new VectordError('core_unavailable', `Generation ${generation} was lost with its core.`, {
    details: { generation },
    retryAfterS: 1,
  })
}
