/**
 * What a window of real requests says about a challenger, against the champion in the same window.
 *
 * The comparison is always with requests of the same time: a busy hour must not look like a bad
 * configuration.
 */

export interface WindowStats {
  readonly requests: number
  /** Requests that failed by our fault: not those that were refused for what they asked. */
  readonly errors: number
  /** Null where none was measured. */
  readonly p99Ms: number | null
}

export interface WindowSettings {
  readonly windowRequestsMin: number
  readonly p99RatioMax: number
  readonly errorRateRiseMax: number
  readonly errorsMin: number
}

export function hasTooManyErrors(
  challenger: WindowStats,
  baseline: WindowStats | null,
  settings: WindowSettings,
): boolean {
  if (challenger.errors < settings.errorsMin) return false
  const before = baseline === null ? 0 : rate(baseline)
  return rate(challenger) > before + settings.errorRateRiseMax
}

/** `unknown` where either side is too small to have a p99. */
export function p99Breach(
  challenger: WindowStats,
  baseline: WindowStats | null,
  settings: WindowSettings,
): 'yes' | 'no' | 'unknown' {
  const observed = p99Of(challenger, settings)
  const before = baseline === null ? null : p99Of(baseline, settings)
  if (observed === null || before === null) return 'unknown'
  return observed > before * settings.p99RatioMax ? 'yes' : 'no'
}

function rate({ requests, errors }: WindowStats): number {
  return requests === 0 ? 0 : errors / requests
}

function p99Of({ requests, p99Ms }: WindowStats, settings: WindowSettings): number | null {
  if (requests < settings.windowRequestsMin || p99Ms === null) return null
  return Number.isFinite(p99Ms) ? p99Ms : null
}
