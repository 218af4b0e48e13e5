/**
 * The autotune agent of a server under test, driven over HTTP.
 */

import { setTimeout as sleep } from 'node:timers/promises'
import { progress, type Row } from './report.ts'
import type { BenchServer } from './server.ts'

/** Longest time for all trials and the rollout. */
const TUNED_WITHIN_MS = 3_600_000
const POLL_MS = 200

interface Seat {
  readonly index: string
  readonly activity: string | null
  readonly wanted: string | null
  readonly tuned: string | null
  readonly budget: { readonly trials_left: number }
  readonly rollout: { readonly stage: string; readonly trial_id: string } | null
  readonly last_error: { readonly message: string } | null
}

interface TrialJson {
  readonly trial_id: string
  readonly state: string
  readonly config: { readonly m: number; readonly ef_construction: number }
  readonly build: {
    readonly cpu_s: number
    readonly wall_s: number
    readonly cached: boolean
  } | null
  readonly boundaries: readonly {
    readonly goal: number
    readonly ef: number | null
    readonly cpu_us: number | null
    readonly held_out: { readonly recall: number; readonly recall_lcb: number } | null
  }[]
}

export interface TunedEnd {
  /** `converged`, `exhausted`, or the budget. */
  readonly why: string
  /** False where the default was as good as anything that was tried. */
  readonly isPromoted: boolean
  readonly m: number
  readonly efConstruction: number
  /** The trial of the configuration that the index was created with. */
  readonly baselineTrial: string
}

/** Lets the agent tune the index by itself: no pause between trials, a short canary and bake time. */
export async function startAgent(
  server: BenchServer,
  index: string,
  { goal, builds }: { readonly goal: number; readonly builds: number },
): Promise<void> {
  await server.call('PUT', `/vectors/agent/${index}`, {
    ...{ mode: 'auto', min_recall: goal, max_trials_per_hour: builds },
    ...{ cooldown_between_trials_secs: 0, cpu_share: 4, canary_shares: [0.5], bake_secs: 30 },
  })
  await server.call('POST', '/vectors/agent/start')
  await server.call('POST', `/vectors/agent/enqueue/${index}`)
}

/** Runs `meanwhile` again and again until nothing is left to try, to compare and to roll out. */
export async function awaitTuned(
  server: BenchServer,
  index: string,
  meanwhile: () => Promise<void>,
): Promise<TunedEnd> {
  const deadline = performance.now() + TUNED_WITHIN_MS
  let told = ''
  for (;;) {
    await meanwhile()
    const seat = await seatOf(server, index)
    const doing = doingOf(seat)
    if (doing !== told) progress(`agent: ${doing}`)
    told = doing
    if (seat.last_error !== null) throw new Error(`the agent failed: ${seat.last_error.message}`)
    if (await isOver(server, seat)) return endOf(server, index, seat.tuned ?? 'builds used up')
    if (performance.now() > deadline) throw new Error(`the agent is not done\n${server.log()}`)
  }
}

function doingOf({ activity, rollout }: Seat): string {
  return activity ?? rollout?.stage ?? 'between steps'
}

/** Nothing left to try, nothing under way, and the best of what was tried was judged. */
async function isOver(server: BenchServer, seat: Seat): Promise<boolean> {
  if (seat.tuned === null && seat.budget.trials_left > 0) return false
  if (seat.activity !== null || seat.rollout !== null) return false
  const { challenger } = (await server.call('GET', `/vectors/agent/explain/${seat.index}`)) as {
    readonly challenger: string | null
  }
  return challenger === null
}

/** What was tried, oldest first; `built` is no for a graph of the cache. */
export async function trialsOf(server: BenchServer, index: string): Promise<Row[]> {
  return (await readTrials(server, index)).map(trialRow)
}

const NO_BUILD = { cpu_s: null, wall_s: null, cached: true }
const NO_BOUNDARY = { ef: null, cpu_us: null, held_out: null }

function trialRow({ trial_id: trial, state, config, build, boundaries }: TrialJson): Row {
  const { cpu_s, wall_s, cached } = build ?? NO_BUILD
  const { ef, cpu_us, held_out } = boundaries.find(({ goal }) => goal === 0.95) ?? NO_BOUNDARY
  return {
    ...{ trial, state, m: config.m, ef_construction: config.ef_construction },
    ...{ built: cached ? 'no' : 'yes', build_cpu_s: cpu_s, build_wall_s: wall_s },
    ...{ ef_at_095: ef, cpu_us_at_095: cpu_us, held_out_recall: held_out?.recall ?? null },
  }
}

/** Promotes a trial and waits until its graph serves. */
export async function promoteByHand(
  server: BenchServer,
  index: string,
  trial: string,
): Promise<void> {
  await changed(server, `/vectors/hnsw/promote/${index}/${trial}?promoted_by=bench&note=a%20turn`)
}

/** Back to what was promoted before, with its ef; waits until its graph serves. */
export async function rollBack(server: BenchServer, index: string): Promise<void> {
  await changed(server, `/vectors/hnsw/rollback/${index}?note=a%20turn`)
}

async function changed(server: BenchServer, path: string): Promise<void> {
  const { operation_id: id } = (await server.call('POST', path)) as {
    readonly operation_id: string | null
  }
  if (id === null) return
  for (;;) {
    const { state } = (await server.call('GET', `/operations/${id}`)) as { readonly state: string }
    if (state === 'succeeded') return
    if (state === 'failed' || state === 'cancelled') throw new Error(`the rebuild is ${state}`)
    await sleep(POLL_MS)
  }
}

async function endOf(server: BenchServer, index: string, why: string): Promise<TunedEnd> {
  // From now on nobody but the bench changes what is served.
  await server.call('PUT', `/vectors/agent/${index}`, { mode: 'off' })
  const { current } = (await server.call('GET', `/vectors/hnsw/promoted/${index}`)) as {
    readonly current: {
      readonly config: { readonly m: number; readonly ef_construction: number }
    } | null
  }
  const [first] = await readTrials(server, index)
  if (first === undefined) throw new Error('the agent tried nothing')
  progress(await verdicts(server, index))
  const { m, ef_construction: efConstruction } = (current ?? first).config
  return { why, isPromoted: current !== null, m, efConstruction, baselineTrial: first.trial_id }
}

async function verdicts(server: BenchServer, index: string): Promise<string> {
  const path = `/vectors/agent/decisions/${index}?limit=100`
  const { decisions } = (await server.call('GET', path)) as {
    readonly decisions: readonly { readonly verdict: string; readonly reason: string }[]
  }
  return decisions.map(({ verdict, reason }) => `${verdict}: ${reason}`).join('\n')
}

async function seatOf(server: BenchServer, index: string): Promise<Seat> {
  const { indexes } = (await server.call('GET', '/vectors/agent/status')) as {
    readonly indexes: readonly Seat[]
  }
  const seat = indexes.find((one) => one.index === index)
  if (seat === undefined) throw new Error(`the agent does not know ${index}`)
  return seat
}

async function readTrials(server: BenchServer, index: string): Promise<readonly TrialJson[]> {
  const { trials } = (await server.call('GET', `/vectors/hnsw/trials/${index}?limit=1000`)) as {
    readonly trials: readonly TrialJson[]
  }
  return trials.toReversed()
}
