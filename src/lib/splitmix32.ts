/**
 * Seeded random numbers whose first values differ for neighbouring seeds, as counters need
 * (splitmix32, the 32-bit kin of Steele, Lea and Flood, 2014).
 */

/** @returns a generator of numbers in [0, 1). */
export function splitmix32(seed: number): () => number {
  let state = seed | 0
  return () => {
    state = (state + 0x9e3779b9) | 0
    let mixed = state ^ (state >>> 16)
    mixed = Math.imul(mixed, 0x21f0aaad)
    mixed ^= mixed >>> 15
    mixed = Math.imul(mixed, 0x735a2d97)
    mixed ^= mixed >>> 15
    return (mixed >>> 0) / 2 ** 32
  }
}
