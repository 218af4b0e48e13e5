/**
 * Seeded random numbers for decisions that are replayed: splitmix32, a mixed Weyl sequence.
 *
 * Seeds that follow each other give independent first numbers, which a linear congruential generator
 * does not: seeded with 0, 1, 2 … it stays on one side of a threshold for long stretches.
 */

const GOLDEN = 0x9e3779b9
const SALT = 0x85ebca6b

/** Numbers in [0, 1). `salt` gives generators of one seed streams of their own; 0 is none. */
export function splitmix32(seed: number, salt = 0): () => number {
  let state = (seed + Math.imul(salt, SALT)) >>> 0
  return () => {
    state = (state + GOLDEN) >>> 0
    let mixed = state ^ (state >>> 16)
    mixed = Math.imul(mixed, 0x21f0aaad)
    mixed ^= mixed >>> 15
    mixed = Math.imul(mixed, 0x735a2d97)
    return ((mixed ^ (mixed >>> 15)) >>> 0) / 2 ** 32
  }
}
