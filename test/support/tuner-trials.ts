/**
 * Trials for tests of what reads journals: whole records with the few facts that a case is about.
 */

import type { HnswConfig } from '../../src/domain/hnsw-config.ts'
import { canonicalKey, type CurvePoint, type Trial } from '../../src/domain/trial.ts'

export type TrialFacts = Partial<Omit<Trial, 'config'>> & {
  readonly seq: number
  readonly config: Partial<HnswConfig>
}

export const CONFIG: HnswConfig = { m: 16, efConstruction: 200, efSearch: null, seed: 42 }

export function trial({ config, ...facts }: TrialFacts): Trial {
  const whole = { ...CONFIG, ...config }
  return {
    trialId: `t-${facts.seq}`,
    index: 'docs',
    epoch: { fingerprint: 'f0', points: 10_000, dimension: 100, metric: 'cosine' },
    strategy: 'epsilon',
    explain: {},
    config: whole,
    canonicalKey: canonicalKey(whole),
    graphId: null,
    state: 'completed',
    reason: null,
    build: { cpuS: 1, wallS: 1, bytes: 1000, predictedCpuS: null, cached: false },
    curve: [],
    boundaries: [],
    eval: { name: 'e', lsn: 1, k: 10, tuneQueries: 500, heldOutQueries: 500, weak: false },
    environment: { host: 'h', cpu: 'c', node: 'v24', engine: 'hnswlib', load1: 0 },
    note: null,
    startedMs: 0,
    finishedMs: 1,
    leaseUntilMs: null,
    ...facts,
  }
}

/** A measured ef; the bound lies half a point under the recall unless it is given. */
export function point(facts: Partial<CurvePoint> & { readonly ef: number }): CurvePoint {
  const recall = facts.recall ?? 0.96
  return {
    queries: 500,
    recall,
    recallLcb: recall - 0.005,
    p10: 0.8,
    cpuUs: 100,
    p50Us: 100,
    p95Us: 150,
    p99Us: 200,
    ...facts,
  }
}
