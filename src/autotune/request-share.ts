/**
 * Where a request lies in [0, 1): the same place for the same id and seed, in every process.
 *
 * The canary takes the requests below its share, so a request that was in at 5 % is in at 25 % too;
 * the recall sampler takes those below its rate. Their seeds differ, or the sampler would measure
 * the canary alone.
 *
 * FNV-1a over the code units, then the finalizer of MurmurHash3, which spreads ids that differ in
 * their last characters only.
 */

const FNV_OFFSET = 0x811c9dc5
const FNV_PRIME = 0x01000193

/** @param seed any 32-bit integer. */
export function canaryShare(requestId: string, seed: number): number {
  let hash = (FNV_OFFSET ^ finalize(seed)) >>> 0
  for (let i = 0; i < requestId.length; i += 1) {
    hash = Math.imul(hash ^ requestId.charCodeAt(i), FNV_PRIME)
  }
  return finalize(hash) / 2 ** 32
}

function finalize(hash: number): number {
  let mixed = hash
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b)
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35)
  return (mixed ^ (mixed >>> 16)) >>> 0
}
