/**
 * An index of texts in memory: which texts wait, and when a vector is applied, is as in a real one.
 *
 * A point keeps the vector of an embedder of before until it has one of the new one. A vector is
 * applied only where its point is still of the version and text that it was made from.
 */

import {
  isSameEmbedder,
  type AppliedVector,
  type EmbedderStamp,
  type PendingText,
} from '../../src/domain/pending-text.ts'
import { textHash } from '../../src/domain/text-hash.ts'
import type { StoredPoint } from '../../src/domain/search.ts'
import type { IndexTexts } from '../../src/indexes/index-texts.ts'
import type { TextIndex } from '../../src/projection/ports.ts'

type Cursor = Parameters<IndexTexts['pending']>[0]

export type IndexStage = 'pending' | 'count' | 'fetch' | 'apply' | 'applied'

interface FakePoint {
  /** Later rows have larger numbers. */
  readonly row: number
  readonly version: number
  readonly text: string
  vector: Float32Array | null
  embedder: EmbedderStamp | null
}

type FakeInfo = { -readonly [K in keyof TextIndex['info']]: TextIndex['info'][K] }

export class FakeTextIndex implements TextIndex {
  readonly info: FakeInfo
  readonly points = new Map<string, FakePoint>()
  /** Awaited at each stage; what it throws, the stage throws. `applied` is after an apply. */
  at: (stage: IndexStage) => Promise<void> = () => Promise.resolve()
  /** Ids of each apply, in order. */
  readonly applies: string[][] = []
  embedder: EmbedderStamp | null
  #lsn = 0
  #rows = 0
  readonly #listeners = new Set<() => void>()

  constructor(name: string, embedder: EmbedderStamp | null) {
    this.info = { name, state: 'ready', role: 'owner', metric: 'cosine' }
    this.embedder = embedder
  }

  /** One write of points with texts. */
  write(texts: Readonly<Record<string, string>>): void {
    this.#lsn += 1
    for (const [id, text] of Object.entries(texts)) {
      this.#put(id, { text, vector: null, embedder: null })
    }
    this.tell()
  }

  /** Points whose vectors another embedder has made. */
  writeOld(texts: Readonly<Record<string, string>>, embedder: EmbedderStamp): void {
    this.#lsn += 1
    for (const [id, text] of Object.entries(texts)) {
      this.#put(id, { text, vector: Float32Array.of(1, 1), embedder })
    }
  }

  delete(id: string): void {
    this.#lsn += 1
    this.points.delete(id)
  }

  tell(): void {
    for (const listener of this.#listeners) listener()
  }

  get listeners(): number {
    return this.#listeners.size
  }

  /** Ids of points that have a vector of the embedder. */
  get embedded(): string[] {
    return [...this.points].flatMap(([id, point]) => (this.#waits(point) ? [] : [id]))
  }

  get waiting(): string[] {
    return [...this.points].flatMap(([id, point]) => (this.#waits(point) ? [id] : []))
  }

  readonly texts: IndexTexts = this.#texts()

  async fetch(ids: readonly string[]): Promise<{ points: (StoredPoint | null)[]; lsn: number }> {
    await this.at('fetch')
    const points = ids.map((id): StoredPoint | null => {
      const point = this.points.get(id)
      if (point === undefined) return null
      return { id, version: point.version, text: point.text, metadata: null, vector: null }
    })
    return { points, lsn: this.#lsn }
  }

  #texts(): IndexTexts {
    const embedder = (): EmbedderStamp | null => this.embedder
    return {
      get embedder() {
        return embedder()
      },
      pending: async (after, limit, priority = null) => {
        await this.at('pending')
        const all = this.#pending().filter(
          ({ item }) => priority === null || item.priority === priority,
        )
        const from = after === null ? 0 : all.findIndex(({ at }) => at > placeIn(after))
        const page = from === -1 ? [] : all.slice(from, from + limit)
        const last = page.at(-1)
        const hasMore = from !== -1 && from + limit < all.length
        return {
          items: page.map(({ item }) => item),
          next: hasMore && last !== undefined ? toCursor(last.at) : null,
        }
      },
      count: async () => {
        await this.at('count')
        const all = this.#pending()
        const writes = all.filter(({ item }) => item.priority > 0).length
        return { writes, backfill: all.length - writes }
      },
      apply: async (vectors) => {
        await this.at('apply')
        this.#lsn += 1
        const stale = vectors.flatMap((vector) => (this.#apply(vector) ? [] : [vector.id]))
        this.applies.push(vectors.map(({ id }) => id))
        const lsn = this.#lsn
        await this.at('applied')
        return { applied: vectors.length - stale.length, stale, lsn }
      },
      onTexts: (listener) => {
        this.#listeners.add(listener)
        return () => this.#listeners.delete(listener)
      },
    }
  }

  #put(id: string, point: Omit<FakePoint, 'row' | 'version'>): void {
    this.#rows += 1
    this.points.set(id, { ...point, row: this.#rows, version: this.#lsn })
  }

  #apply({ id, version, textHash: hash, vector, embedder }: AppliedVector): boolean {
    const point = this.points.get(id)
    if (point?.version !== version || textHash(id, point.text) !== hash) return false
    if (this.embedder === null || !isSameEmbedder(embedder, this.embedder)) return false
    point.vector = vector
    point.embedder = embedder
    return true
  }

  #waits({ embedder }: FakePoint): boolean {
    if (embedder === null || this.embedder === null) return true
    return !isSameEmbedder(embedder, this.embedder)
  }

  #pending(): { readonly at: number; readonly item: PendingText }[] {
    return [...this.points]
      .filter(([, point]) => this.#waits(point))
      .toSorted(([, a], [, b]) => a.row - b.row)
      .map(([id, { row, version, text, vector }]) => ({
        at: row,
        item: { id, version, text, priority: vector === null ? 1000 : 0 },
      }))
  }
}

function toCursor(at: number): NonNullable<Cursor> {
  const cursor: unknown = { at }
  return cursor as NonNullable<Cursor>
}

function placeIn(cursor: NonNullable<Cursor>): number {
  const known: unknown = cursor
  return (known as { readonly at: number }).at
}
