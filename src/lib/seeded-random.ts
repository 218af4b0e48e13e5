/**
 * Random numbers that are the same for the same seed, on every machine: decisions can be replayed.
 */

/** Numbers from 0 to 1 (exclusive): splitmix32 (after Steele, Lea and Flood, 2014). */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x9e3779b9) >>> 0
    let mixed = state ^ (state >>> 16)
    mixed = Math.imul(mixed, 0x21f0aaad)
    mixed ^= mixed >>> 15
    mixed = Math.imul(mixed, 0x735a2d97)
    mixed ^= mixed >>> 15
    return (mixed >>> 0) / 2 ** 32
  }
}

/** Brings the items into a random order, in place (Fisher and Yates). */
export function shuffle<T>(items: T[], random: () => number): T[] {
  for (let left = items.length; left > 1; left -= 1) {
    const at = Math.floor(random() * left)
    const [item] = items.splice(at, 1, ...items.slice(left - 1, left))
    if (item !== undefined) items[left - 1] = item
  }
  return items
}
