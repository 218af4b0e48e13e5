/**
 * What a search looks for, as the client says it: near what, or which text in which mode.
 */

import type { NeighbourTarget } from './search.ts'
import { wordsOf } from './words.ts'

export const SEARCH_MODES = ['vector', 'keyword', 'hybrid'] as const

export type SearchMode = (typeof SEARCH_MODES)[number]

/** Distinct words of a query: the first ones. */
const QUERY_WORDS_MAX = 32

/** Makes a vector of the text of a query. @throws {VectordError} by `deadlineMs` at the latest. */
export type EmbedQuery = (text: string, deadlineMs: number) => Promise<Float32Array>

export type SearchTarget =
  | { readonly mode: 'neighbours'; readonly near: NeighbourTarget }
  | { readonly mode: 'vector'; readonly text: string; readonly embed: EmbedQuery }
  | { readonly mode: 'keyword'; readonly text: string }
  | {
      readonly mode: 'hybrid'
      readonly text: string
      /** The vector side: as the client sent it, or what makes it of the text. */
      readonly near: { readonly vector: Float32Array } | EmbedQuery
    }

/** The words of a query that are looked for, and highlighted. */
export function queryWords(text: string): string[] {
  return wordsOf(text, QUERY_WORDS_MAX)
}
