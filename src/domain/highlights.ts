/**
 * Where the words of a query are in a text.
 */

import { eachWord } from './words.ts'

/** Highlights of one text: the first ones. */
export const HIGHLIGHTS_MAX = 100

/** Offsets are UTF-16 units of the text, as JavaScript counts; `end` is exclusive. */
export interface Highlight {
  readonly start: number
  readonly end: number
  /** The word as it is compared: folded, in lower case. */
  readonly term: string
}

export function highlightsOf(text: string, terms: ReadonlySet<string>): Highlight[] {
  const found: Highlight[] = []
  eachWord(text, (term, start, end) => {
    if (found.length < HIGHLIGHTS_MAX && terms.has(term)) found.push({ start, end, term })
  })
  return found
}
