/**
 * What a rollout waits for and what it gives up on. Times are in milliseconds of watched time: see
 * `steady-time.ts`.
 */

export interface RolloutSettings {
  /** False: a person has to approve what was validated. */
  readonly automatic: boolean
  /** Shares of the requests, ascending; one step of the canary each. */
  readonly canaryShares: readonly number[]
  /** Sampled queries that the shadow answers before it is judged; doubled by each extension. */
  readonly shadowSamplesMin: number
  /** Requests that each step of the canary answers before the next. */
  readonly canaryRequestsMin: number
  /** Time that both graphs stay loaded after the promotion. */
  readonly bakeMs: number
  /** Under it the p99 of a window says nothing. */
  readonly windowRequestsMin: number
  /** A breach: p99 of a window against the champion's. Wider than the 5 % of a trial: a window is
   * small, and three in a row are needed. */
  readonly p99RatioMax: number
  readonly p99BreachesMax: number
  /** Error rate that is added to the champion's before it counts. */
  readonly errorRateRiseMax: number
  /** Fewer errors than that are no rate. */
  readonly errorsMin: number
  /** Deaths of the core while the new champion bakes. */
  readonly coreDeathsMax: number
  /** A stage that lasts longer ends as inconclusive: no traffic, or nobody works on it. */
  readonly stageMaxMs: number
  readonly approvalMaxMs: number
  /** What a pause of the watch counts at most. */
  readonly stepMaxMs: number
}

const MINUTE_MS = 60_000
const DAY_MS = 24 * 60 * MINUTE_MS

export const ROLLOUT_DEFAULTS: RolloutSettings = {
  automatic: true,
  canaryShares: [0.05, 0.25],
  shadowSamplesMin: 200,
  canaryRequestsMin: 500,
  bakeMs: 30 * MINUTE_MS,
  windowRequestsMin: 50,
  p99RatioMax: 1.2,
  p99BreachesMax: 3,
  errorRateRiseMax: 0.01,
  errorsMin: 3,
  coreDeathsMax: 2,
  stageMaxMs: DAY_MS,
  approvalMaxMs: 7 * DAY_MS,
  stepMaxMs: 10 * MINUTE_MS,
}
