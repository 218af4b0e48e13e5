/**
 * A snapshot: what an index was at one lsn, as objects of its own that nothing else refers to.
 *
 * It is named by the index that it was made of and lives on when that is gone. The keys of its files
 * are relative to its folder, so that it reads the same from a copy in another bucket.
 */

import type { CheckpointContent, StoredFile } from '../domain/checkpoint.ts'
import type { IndexMeta } from '../indexes/index-meta.ts'
import type { PromotionEntry } from '../promotions/promotion-document.ts'

export interface Snapshot {
  /** Younger ones sort behind. */
  readonly id: string
  readonly createdMs: number
  /** Who asked for it: the name of an API key. */
  readonly createdBy: string
  readonly note: string | null
  /** The index as it was then, its name, home bucket and incarnation among it. */
  readonly meta: IndexMeta
  /** Every write up to it is in the snapshot, and none after it. */
  readonly lsn: number
  /** Live points. */
  readonly points: number
  /** Null where the index had never been written. */
  readonly content: CheckpointContent | null
  /** The configuration that was in force, where one was promoted. */
  readonly promoted: PromotionEntry | null
}

/** Every file of it but its document. */
export function filesOf({ content }: Pick<Snapshot, 'content'>): StoredFile[] {
  const graphs = content?.graphs.flatMap(({ graph, labels }) => [graph, labels]) ?? []
  return [...(content?.parts ?? []), ...graphs]
}

/**
 * The same content under other keys.
 *
 * @param keyOf is told the old key of a file.
 * @param without old keys of graphs and labels that are left out, with what they belong to.
 */
export function withKeys(
  content: CheckpointContent,
  keyOf: (key: string) => string,
  without: ReadonlySet<string> = new Set(),
): CheckpointContent {
  const renamed = <T extends StoredFile>(file: T): T => ({ ...file, key: keyOf(file.key) })
  const graphs = content.graphs.filter(
    ({ graph, labels }) => !without.has(graph.key) && !without.has(labels.key),
  )
  return {
    ...content,
    parts: content.parts.map(renamed),
    graphs: graphs.map((ref) => ({
      ...{ ...ref, graph: renamed(ref.graph), labels: renamed(ref.labels) },
    })),
  }
}
