/**
 * "Did you mean …?" for names that a person mistyped.
 */

import { distance } from 'fastest-levenshtein'

/** Names longer than this are not compared: the cost grows with the square of the length. */
const COMPARED_CHARS_MAX = 128

/** Those of `known` that are a few keystrokes from `name`, nearest first, at most three. */
export function nearNames(name: string, known: Iterable<string>): string[] {
  if (name.length > COMPARED_CHARS_MAX) return []
  const reach = Math.max(1, Math.floor(name.length / 3))
  const near: { name: string; steps: number }[] = []
  for (const candidate of known) {
    const steps = distance(name.toLowerCase(), candidate.toLowerCase())
    if (steps <= reach) near.push({ name: candidate, steps })
  }
  near.sort((a, b) => a.steps - b.steps || (a.name < b.name ? -1 : 1))
  return near.slice(0, 3).map((entry) => entry.name)
}
