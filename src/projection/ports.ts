/**
 * What the projection needs of indexes and embedders.
 */

import type { IndexInfo, ManagedIndex } from '../indexes/index-api.ts'
import type { IndexTexts } from '../indexes/index-texts.ts'

/** An index, as the projection sees it: the same object for as long as it is the same index. */
export interface TextIndex extends Pick<ManagedIndex, 'fetch'> {
  readonly info: Pick<IndexInfo, 'name' | 'state' | 'role' | 'metric'>
  readonly texts: IndexTexts
}

export interface TextIndexes {
  list(): readonly TextIndex[]

  /** @throws `index_not_found`. */
  get(name: string): TextIndex
}

/** What an embedder says of itself. */
export interface Identity {
  readonly model: string
  readonly version: string
  readonly dimension: number
  readonly normalised: boolean
}

export interface TextEmbedder {
  /** @throws `embedder_unavailable`. */
  identity(): Promise<Identity>

  /**
   * One vector for each text, in order.
   *
   * @throws `embedder_unavailable`, which says nothing of the texts; `embedder_failed` …
   */
  embed(texts: readonly string[], signal?: AbortSignal): Promise<readonly Float32Array[]>
}

export interface TextEmbedders {
  /** @throws `not_configured`. */
  get(name: string): TextEmbedder
}
