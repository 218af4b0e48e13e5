/**
 * Which way a search goes: pure arithmetic over estimated costs.
 *
 * A filtered walk cannot filter inside hnswlib (a callback for each candidate costs more than a scan
 * over the matches), so it fetches more candidates than asked for and drops those that do not match.
 * Whether enough were left is checked after the walk.
 */

/** Below this many live points a scan beats a graph, and its recall is 1. */
export const FLAT_ROWS_MAX = 2000

/** Nanoseconds of a scan: for each number of a vector, and for each row beside that. */
const SCAN_COMPONENT_NS = 1
const SCAN_ROW_NS = 30
/** Nanoseconds of a walk for each candidate that it keeps. */
const WALK_CANDIDATE_NS = 900
const WALK_COMPONENT_NS = 3
/**
 * Candidates for each rank that the last wanted match lies deeper than without a filter. Measured on
 * GloVe (60,000 × 100, ef 64 to 128, 10 to 50 % matching): with 1.2 to 1.9 the recall is that of the
 * unfiltered walk.
 */
const CANDIDATES_PER_RANK = 2
/** A walk whose last wanted match lies beyond this share of its candidates was too short. */
const TRUSTED_SHARE = 0.75
const GROWTH = 4

export interface FilteredCase {
  readonly dimension: number
  /** Matches wanted from the graph. */
  readonly wanted: number
  /** Candidates that an unfiltered search would keep. */
  readonly ef: number
  /** Live points, and those of them that match. */
  readonly live: number
  readonly matching: number
}

/** Candidates that a walk should keep; null where a scan over the matches is cheaper. */
export function planWalk(filtered: FilteredCase): number | null {
  const { wanted, ef, live, matching } = filtered
  const deeper = (wanted * live) / Math.max(1, matching) - wanted
  const candidates = Math.ceil(ef + CANDIDATES_PER_RANK * deeper)
  return isWorthIt(filtered, candidates) ? candidates : null
}

/**
 * Whether a walk found what it was for.
 *
 * @param rank position among the candidates, from 1, of the last wanted match; null where there
 *   were too few matches.
 */
export function isTrusted(rank: number | null, candidates: number): boolean {
  return rank !== null && rank <= TRUSTED_SHARE * candidates
}

/** Candidates of a second walk after one that was too short; null where a scan is cheaper. */
export function planSecondWalk(filtered: FilteredCase, candidates: number): number | null {
  const more = candidates * GROWTH
  return isWorthIt(filtered, more) ? more : null
}

function isWorthIt({ dimension, live, matching }: FilteredCase, candidates: number): boolean {
  const scanNs = matching * (dimension * SCAN_COMPONENT_NS + SCAN_ROW_NS)
  const walkNs = candidates * (WALK_CANDIDATE_NS + dimension * WALK_COMPONENT_NS)
  return walkNs < scanNs && candidates < live / 2
}
