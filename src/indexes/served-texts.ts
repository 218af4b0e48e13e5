/**
 * The texts of an index that wait for their vectors, and the way of the vectors to their points.
 *
 *     pending ─▶ an embedder ─▶ apply: still wanted? ─▶ log ─▶ cores: still that version? ─▶ told
 *
 * What waits is told by the points themselves, so nothing is lost with whoever does the work. A vector
 * is logged like a write and changes no version: readers see the point of the client's write, found
 * by more searches than before.
 */

import {
  CLIENT_TAG,
  embedderTag,
  isSameEmbedder,
  type AppliedVector,
  type EmbedderStamp,
  type ShardTexts,
  type TextCounts,
  type TextPriority,
  type TextsReply,
  type TextsRequest,
  type TextState,
} from '../domain/pending-text.ts'
import type { ScrollPosition } from '../domain/search.ts'
import { shardOf } from '../domain/shard-spec.ts'
import type { ProjectBatch } from '../domain/write-batch.ts'
import { checkVector } from '../engines/flat/vector-chunks.ts'
import { invariant } from '../lib/invariant.ts'
import type { IndexMeta } from './index-meta.ts'
import type { AppliedVectors, IndexTexts, PendingCursor, PendingPage } from './index-texts.ts'
import type { ShardClient } from './shard-client.ts'

/** How long cores have for a question; whoever asks does so again. */
const READ_MS = 10_000

export interface TextsPort {
  readonly meta: () => IndexMeta
  /** @throws what keeps the index from serving. */
  readonly shards: () => readonly ShardClient[]
  /** @throws as `shards`, and `not_owner`. */
  readonly ownShards: () => readonly ShardClient[]
  readonly appliedLsn: () => number
  /** Durable and applied once resolved. */
  readonly write: (batch: ProjectBatch, deadlineMs: number) => Promise<{ readonly lsn: number }>
  readonly nowMs: () => number
}

export class ServedTexts implements IndexTexts {
  readonly #port: TextsPort
  readonly #listeners = new Set<() => void>()

  constructor(port: TextsPort) {
    this.#port = port
  }

  get embedder(): EmbedderStamp | null {
    return this.#port.meta().embedder ?? null
  }

  async pending(
    after: PendingCursor | null,
    limit: number,
    priority: TextPriority | null = null,
  ): Promise<PendingPage> {
    const { embedder } = this
    const shards = this.#port.ownShards()
    if (embedder === null) return { items: [], next: null }
    const tag = embedderTag(embedder)
    const pages = await Promise.all(
      shards.map(async (shard, number) => {
        const from = after?.shards[number] ?? null
        const request = { kind: 'page', tag, after: from, limit, priority } as const
        const { page } = await this.#ask(shard, request)
        invariant(page !== undefined, 'a shard answers what it was asked')
        return { ...page, from }
      }),
    )
    return mergeTexts(pages, limit)
  }

  async count(of?: EmbedderStamp): Promise<TextCounts> {
    const shards = this.#port.shards()
    const embedder = of ?? this.embedder
    const counts = { writes: 0, backfill: 0 }
    if (embedder === null) return counts
    const request = { kind: 'count', tag: embedderTag(embedder) } as const
    const replies = await Promise.all(shards.map((shard) => this.#ask(shard, request)))
    for (const { counts: found } of replies) {
      invariant(found !== undefined, 'a shard answers what it was asked')
      counts.writes += found.writes
      counts.backfill += found.backfill
    }
    return counts
  }

  async apply(vectors: readonly AppliedVector[], deadlineMs: number): Promise<AppliedVectors> {
    const { embedder } = this
    const { dimension, metric } = this.#port.meta()
    for (const { vector } of vectors) checkVector(vector, dimension, metric)
    const before = await this.#states(vectors)
    const wanted = vectors.filter(({ version, embedder: maker }, i) => {
      const state = before[i] ?? null
      const isOurs = embedder !== null && isSameEmbedder(maker, embedder)
      return isOurs && state?.version === version && isWaiting(state, maker)
    })
    if (wanted.length === 0) {
      return { applied: 0, stale: vectors.map(({ id }) => id), lsn: this.#port.appliedLsn() }
    }
    const { lsn } = await this.#port.write(batchOf(wanted, dimension), deadlineMs)
    // A write may have come first: only the cores know.
    const after = await this.#states(wanted)
    const applied = new Set(wanted.filter((vector, i) => isApplied(after[i] ?? null, vector)))
    const stale = vectors.filter((vector) => !applied.has(vector)).map(({ id }) => id)
    return { applied: applied.size, stale, lsn }
  }

  onTexts(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => {
      this.#listeners.delete(listener)
    }
  }

  /** There may be texts to embed that were not there before. */
  brought(): void {
    for (const listener of this.#listeners) listener()
  }

  async #states(vectors: readonly AppliedVector[]): Promise<readonly (TextState | null)[]> {
    const shards = this.#port.ownShards()
    const states = new Array<TextState | null>(vectors.length).fill(null)
    await Promise.all(
      shards.map(async (shard, number) => {
        const places = [...vectors.keys()].filter((place) => {
          return shardOf(vectors[place]?.id ?? '', shards.length) === number
        })
        if (places.length === 0) return
        const ids = places.map((place) => vectors[place]?.id ?? '')
        const { states: found } = await this.#ask(shard, { kind: 'states', ids })
        invariant(found !== undefined, 'a shard answers what it was asked')
        for (const [i, place] of places.entries()) states[place] = found[i] ?? null
      }),
    )
    return states
  }

  #ask(shard: ShardClient, request: TextsRequest): Promise<TextsReply> {
    return shard.texts(request, { deadlineMs: this.#port.nowMs() + READ_MS })
  }
}

/** The oldest of all pages, and where each shard goes on. */
export function mergeTexts(
  pages: readonly (ShardTexts & { readonly from: ScrollPosition | null })[],
  limit: number,
): PendingPage {
  const all = pages.flatMap(({ items, positions }, shard) =>
    items.flatMap((item, i) => {
      const position = positions[i]
      return position === undefined ? [] : [{ item, position, shard }]
    }),
  )
  all.sort((a, b) => a.position.lsn - b.position.lsn || a.position.row - b.position.row)
  const taken = all.slice(0, firstOfCut(pages, all, limit))
  const shards = pages.map(({ from }, number) => {
    return taken.findLast(({ shard }) => shard === number)?.position ?? from
  })
  const isEnd = taken.length === all.length && pages.every(({ done }) => done)
  return { items: taken.map(({ item }) => item), next: isEnd ? null : { shards } }
}

/** How many are taken: none that is after what a page was cut off at, or order would be lost. */
function firstOfCut(
  pages: readonly ShardTexts[],
  all: readonly { readonly shard: number }[],
  limit: number,
): number {
  let count = Math.min(limit, all.length)
  for (const [number, { done }] of pages.entries()) {
    const last = all.findLastIndex(({ shard }) => shard === number)
    if (!done && last !== -1) count = Math.min(count, last + 1)
  }
  return count
}

/** Its vector is missing or was made by another embedder. */
function isWaiting({ tag }: TextState, embedder: EmbedderStamp): boolean {
  return tag !== CLIENT_TAG && tag !== embedderTag(embedder)
}

function isApplied(state: TextState | null, { version, embedder }: AppliedVector): boolean {
  return state?.version === version && state.tag === embedderTag(embedder)
}

function batchOf(vectors: readonly AppliedVector[], dimension: number): ProjectBatch {
  const all = new Float32Array(vectors.length * dimension)
  for (const [row, { vector }] of vectors.entries()) all.set(vector, row * dimension)
  return {
    kind: 'project',
    dimension,
    ids: vectors.map(({ id }) => id),
    vectors: all,
    versions: Float64Array.from(vectors, ({ version }) => version),
    textHashes: vectors.map(({ textHash }) => textHash),
    embedders: vectors.map(({ embedder }) => embedderTag(embedder)),
  }
}
