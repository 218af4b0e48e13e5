/** Trials for tests: complete ones, of which a test says only what matters to it. */

import { canonicalKey, type CurvePoint, type Trial } from '../../src/domain/trial.ts'
import type { NewTrial } from '../../src/journal/trial-journal.ts'

export const STARTED_MS = 1_767_225_600_000

export function curvePointOf(point: Partial<CurvePoint> = {}): CurvePoint {
  return {
    ...{ ef: 40, queries: 500, recall: 0.96, recallLcb: 0.952, p10: 0.8 },
    ...{ cpuUs: 210.5, p50Us: 220, p95Us: 300, p99Us: 410 },
    ...point,
  }
}

/** A trial that has just begun. */
export function newTrial(trial: Partial<NewTrial> = {}): NewTrial {
  const config = trial.config ?? { m: 16, efConstruction: 200, efSearch: null, seed: 42 }
  return {
    ...{ trialId: 't-1', index: 'docs', strategy: 'structured', graphId: null, note: null },
    epoch: { fingerprint: 'aa00', points: 20_000, dimension: 100, metric: 'cosine' },
    explain: { mode: 'baseline', len: 0, bounds: { m: [4, 64] } },
    ...{ config, canonicalKey: canonicalKey(config) },
    ...{ state: 'running', reason: null, build: null, curve: [], boundaries: [] },
    eval: {
      ...{ name: 'docs-auto', lsn: 17, k: 10 },
      ...{ tuneQueries: 500, heldOutQueries: 500, weak: false },
    },
    environment: {
      ...{ host: 'builder-1', cpu: 'a CPU', node: 'v24.0.0' },
      ...{ engine: 'hnswlib-node 3.0.0', load1: 0.5 },
    },
    startedMs: STARTED_MS,
    finishedMs: null,
    leaseUntilMs: STARTED_MS + 60_000,
    ...trial,
  }
}

/** What became of a trial that ended well. */
export function completed(begun: Trial, ended: Partial<Trial> = {}): Trial {
  return {
    ...begun,
    state: 'completed',
    graphId: 'bb11',
    build: { cpuS: 12.5, wallS: 14, bytes: 9_000_000, predictedCpuS: null, cached: false },
    curve: [
      curvePointOf({ ef: 20, recall: 0.9, recallLcb: 0.89, cpuUs: 120 }),
      curvePointOf({ ef: 40 }),
    ],
    boundaries: [
      { goal: 0.9, ef: 40, cpuUs: 210.5, heldOut: curvePointOf({ recallLcb: 0.95 }) },
      { goal: 0.99, ef: null, cpuUs: null, heldOut: null },
    ],
    finishedMs: begun.startedMs + 30_000,
    ...ended,
  }
}
