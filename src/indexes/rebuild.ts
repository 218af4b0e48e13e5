/**
 * Gives an index a graph of a wanted configuration, without downtime and without losing a write.
 *
 *     a kept generation has it ──▶ readopt ─────────────────────────────╮
 *     the cache has its graph ──▶ adopt ────────────────────────────────┤─▶ publish ─▶ drop
 *     few points ──▶ adopt an empty one ────────────────────────────────┤
 *     else: checkpoint ─▶ a builder loads it and builds ─▶ adopt ───────╯
 *
 * A checkpoint is the snapshot: the builder reads it from the bucket, and whatever is written after
 * it enters the new graph on the core that adopts it.
 */

import type { Builders, BuilderSession } from '../dataplane/builders.ts'
import type { GraphRef } from '../domain/checkpoint.ts'
import { searchablePoints } from '../domain/search.ts'
import type { HnswConfig } from '../domain/hnsw-config.ts'
import { canonicalKey } from '../domain/trial.ts'
import { hasCode } from '../lib/errors.ts'
import {
  adoptGeneration,
  dropGeneration,
  generationsOf,
  publishGeneration,
  readoptGeneration,
} from './generation-swap.ts'
import { graphIdOf, type GraphCache } from './graph-cache.ts'
import type { ServedIndex } from './served-index.ts'

/** A graph of the cache is used as it is while at most this share of the points is not in it. */
const STALE_SHARE_MAX = 0.5
/** Attempts on a checkpoint that goes away while it is loaded. */
const TRIES_MAX = 3

export interface RebuildParts {
  readonly builders: Pick<Builders, 'session'>
  readonly cache: GraphCache
  /** Up to so many points a shard has no graph. */
  readonly flatRowsMax: number
}

export interface RebuildControl {
  readonly signal: AbortSignal
  readonly progress: (
    stage: string,
    count?: { readonly done: number; readonly total: number },
  ) => void
}

export interface Rebuilt {
  readonly generation: number
  /** Where its graph came from. */
  readonly source: 'current' | 'kept' | 'cached' | 'grown' | 'built'
  /** The generation that was published before. */
  readonly before: number
}

export interface RebuildWish {
  readonly config: HnswConfig
  /** Name of a graph that a trial has built with it. */
  readonly graphId: string | null
  /** A new graph also where the published one has this configuration: dead points leave it. */
  readonly always: boolean
}

/**
 * Brings a graph of the wanted configuration into memory beside the published one.
 *
 * @returns null where the published one will do. The caller publishes or drops what is returned.
 */
export async function prepareGeneration(
  index: ServedIndex,
  parts: RebuildParts,
  wish: RebuildWish,
  control: RebuildControl,
): Promise<Omit<Rebuilt, 'before'> | null> {
  // A graph that is found in the cache stays there until it is in memory.
  const unpin = index.checkpoints.pin()
  try {
    return await broughtIn(index, parts, wish, control)
  } finally {
    unpin()
  }
}

async function broughtIn(
  index: ServedIndex,
  parts: RebuildParts,
  wish: RebuildWish,
  control: RebuildControl,
): Promise<Omit<Rebuilt, 'before'> | null> {
  const { config } = wish
  if (!wish.always) {
    if (sameGenerations(index, config).some(({ state }) => state === 'published')) return null
    const generation = await keptGeneration(index, config, control)
    if (generation !== null) return { generation, source: 'kept' }
  }
  const points = searchablePoints(index.info.stats)
  if (points <= parts.flatRowsMax) {
    // Without files it begins empty and grows on its cores.
    return { generation: await adopted(index, config, null, control), source: 'grown' }
  }
  const generation = await cachedGeneration(index, parts.cache, wish, control)
  if (generation !== null) return { generation, source: 'cached' }
  const graphs = await buildGraphs(index, parts, config, control)
  return { generation: await adopted(index, config, graphs, control), source: 'built' }
}

/** Prepares, publishes, and frees the generation before. */
export async function rebuild(
  index: ServedIndex,
  parts: RebuildParts,
  wish: RebuildWish,
  control: RebuildControl,
): Promise<Rebuilt> {
  const before = index.info.stats?.generation ?? 0
  const prepared = await prepareGeneration(index, parts, wish, control)
  if (prepared === null) return { generation: before, source: 'current', before }
  try {
    control.signal.throwIfAborted()
    control.progress('publishing')
    await publishGeneration(index, prepared.generation)
  } catch (error) {
    await dropGeneration(index, prepared.generation).catch(() => undefined)
    throw error
  }
  await dropGeneration(index, before)
  return { ...prepared, before }
}

/** One of the configuration that is in memory, or whose files are kept and whole. */
async function keptGeneration(
  index: ServedIndex,
  config: HnswConfig,
  control: RebuildControl,
): Promise<number | null> {
  const same = sameGenerations(index, config)
  const inMemory = same.find(({ state }) => state === 'candidate')
  if (inMemory !== undefined) return inMemory.generation
  const stored = same.findLast(({ state }) => state === 'stored')
  if (stored === undefined) return null
  return unlessDamaged(() => readoptGeneration(index, stored.generation, swapControl(control)))
}

/** Of the graph that a trial has built; null where it is not kept, damaged, or would not do. */
async function cachedGeneration(
  index: ServedIndex,
  cache: GraphCache,
  { config, graphId, always }: RebuildWish,
  control: RebuildControl,
): Promise<number | null> {
  // Points that died since the trial are in its graph: whoever wants them gone wants another.
  if (graphId === null || always) return null
  const graphs = await cachedGraphs(index, cache, graphId)
  if (graphs === null) return null
  return unlessDamaged(() => adopted(index, config, graphs, control))
}

function adopted(
  index: ServedIndex,
  config: HnswConfig,
  graphs: readonly GraphRef[] | null,
  control: RebuildControl,
): Promise<number> {
  return adoptGeneration(index, { config, graphs }, swapControl(control))
}

/** Null where the files are damaged or gone: a graph is derived, and is built anew. */
async function unlessDamaged(work: () => Promise<number>): Promise<number | null> {
  try {
    return await work()
  } catch (error) {
    if (hasCode(error, 'object_corrupt')) return null
    throw error
  }
}

/** Builds the graph over a fresh checkpoint and leaves its files in the cache. */
async function buildGraphs(
  index: ServedIndex,
  parts: RebuildParts,
  config: HnswConfig,
  { signal, progress }: RebuildControl,
): Promise<readonly GraphRef[]> {
  const { name } = index.meta
  const onProgress = ({ stage, fraction }: { stage: string; fraction: number }): void => {
    progress(stage, { done: Math.round(fraction * 100), total: 100 })
  }
  return onDataset(index, parts.builders, { signal, onProgress }, async (session) => {
    const { fingerprint } = await session.run('describe', {})
    const graphId = graphIdOf(fingerprint, config)
    const cached = await parts.cache.find(name, graphId)
    const built = await session.run('build', { config, graphId, cached })
    if (!built.isNew && cached !== null) return cached
    const prefix = parts.cache.prefixOf(name, graphId)
    const graphs = await session.run('save', { graphId, prefix })
    await parts.cache.put(name, graphId, graphs)
    return graphs
  })
}

/**
 * Runs `work` with a builder over a fresh checkpoint, which stays until it is done; again where that
 * one goes away all the same: another server may own the index by then.
 */
export async function onDataset<T>(
  index: ServedIndex,
  builders: Pick<Builders, 'session'>,
  control: Parameters<Builders['session']>[1],
  work: (session: BuilderSession) => Promise<T>,
): Promise<T> {
  for (let tries = 1; ; tries += 1) {
    try {
      // It reads the bucket of the index and writes graphs there: that does not change meanwhile.
      while (index.builds.isClosed) await index.builds.opened(Infinity, control.signal)
      return await index.builds.run(async () => {
        await index.checkpoint()
        const unpin = index.checkpoints.pin()
        try {
          return await builders.session({ shards: index.specs() }, control, work)
        } finally {
          unpin()
        }
      })
    } catch (error) {
      if (!hasCode(error, 'object_corrupt') || tries === TRIES_MAX) throw error
    }
  }
}

async function cachedGraphs(
  index: ServedIndex,
  cache: GraphCache,
  graphId: string,
): Promise<readonly GraphRef[] | null> {
  const graphs = await cache.find(index.meta.name, graphId)
  if (graphs === null) return null
  const elements = graphs.reduce((sum, graph) => sum + graph.elements, 0)
  const points = searchablePoints(index.info.stats)
  // What is missing enters point by point on a core that serves: a builder does more at once.
  return Math.abs(points - elements) <= STALE_SHARE_MAX * points ? graphs : null
}

function sameGenerations(index: ServedIndex, config: HnswConfig): ReturnType<typeof generationsOf> {
  const key = canonicalKey(config)
  return generationsOf(index).filter((one) => canonicalKey(one.config) === key)
}

function swapControl({ signal, progress }: RebuildControl): {
  readonly signal: AbortSignal
  readonly onProgress: (fraction: number) => void
} {
  return {
    signal,
    onProgress: (fraction) => {
      progress('catching up', { done: Math.round(fraction * 100), total: 100 })
    },
  }
}
