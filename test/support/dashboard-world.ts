/**
 * A service with something to look at: indexes with points, trials in their journals, promotions.
 *
 * Journals are written into the bucket before the service starts, as an earlier run would have left
 * them: their numbers are made, and the same each time.
 */

import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { BatchLog } from '../../src/buckets/batch-log.ts'
import { LocalStore } from '../../src/buckets/local-store.ts'
import { RECALL_GOALS, canonicalKey, type CurvePoint, type Trial } from '../../src/domain/trial.ts'
import { DecisionLog } from '../../src/journal/decision-log.ts'
import { trialToJson } from '../../src/journal/trial-codec.ts'
import type { Service } from './service.ts'
import { completed, curvePointOf, newTrial } from './trials.ts'
import { randomVectors, vectorAt } from './vectors.ts'

export const DIMENSION = 8
const EFS = [10, 20, 40, 80, 160, 320, 640]
const STRATEGIES = ['structured', 'epsilon', 'grid', 'manual'] as const
const HOUR_MS = 3_600_000

/** Writes `count` trials of `index` into the local bucket in the folder `bucket`. */
export async function writeTrials(bucket: string, index: string, count: number): Promise<void> {
  await mkdir(bucket, { recursive: true })
  const store = await LocalStore.open(bucket)
  const log = new BatchLog<Trial>({
    ...{ store: () => store, prefix: `_hnsw_trials/${index}/`, nowMs: Date.now },
    ...{ waitingMax: Infinity, whenFull: 'refuse' },
    codec: {
      toJson: (trial) => ({ seq_high: trial.seq, ...trialToJson(trial) }),
      fromJson: () => {
        throw new Error('is not read here')
      },
    },
    onTrouble: (error) => {
      throw error
    },
  })
  for (let seq = 1; seq <= count; seq += 1) log.append(trialOf(index, seq, count))
  await log.close()
  await store.close()
}

/** Writes `count` decisions of the agent about `index`, an hour apart, each with its numbers. */
export async function writeDecisions(bucket: string, index: string, count: number): Promise<void> {
  await mkdir(bucket, { recursive: true })
  const store = await LocalStore.open(bucket)
  const log = new DecisionLog({
    ...{ storeOf: () => store, nowMs: Date.now },
    onTrouble: (error) => {
      throw error
    },
  })
  for (let n = 1; n <= count; n += 1) {
    log.append({
      ...{ atMs: Date.now() - (count - n + 1) * HOUR_MS, index, kind: 'promotion' },
      ...{ trialId: `t-${n}`, verdict: n % 3 === 0 ? 'reject' : 'inconclusive' },
      reason: `Trial ${n} is not cheaper by more than the noise.`,
      evidence: {
        ...{ recall_lcb: 0.951_25, cost_ratio: 1 + n / 1000, is_feasible: true },
        held_out: { queries: 500, misses: n },
      },
      ...{ by: 'agent', dryRun: n % 5 === 0 },
    })
    await log.flush(index)
  }
  await log.close()
  await store.close()
}

/** A trial whose recall rises with m, ef of the build and ef, and costs accordingly. */
function trialOf(index: string, seq: number, count: number): Trial {
  const config = {
    m: 4 + 4 * (seq % 12),
    efConstruction: 40 + 20 * ((seq * 7) % 23),
    ...{ efSearch: null, seed: seq },
  }
  const startedMs = Date.now() - (count - seq + 1) * (HOUR_MS / 4)
  const begun = {
    ...newTrial({ index, config, canonicalKey: canonicalKey(config), trialId: `t-${seq}` }),
    ...{ strategy: STRATEGIES[seq % STRATEGIES.length] ?? 'manual', startedMs },
    ...{ seq, leaseUntilMs: startedMs + HOUR_MS },
  }
  const isFailed = seq % 17 === 0
  if (isFailed) {
    const reason = 'The builder ended: out of memory.'
    return { ...begun, state: 'failed', reason, finishedMs: startedMs + 1000 }
  }
  const curve = EFS.map((ef) => measured(config, ef, seq))
  const boundaries = RECALL_GOALS.map((goal) => {
    const met = curve.find(({ recallLcb }) => recallLcb >= goal) ?? null
    return { goal, ef: met?.ef ?? null, cpuUs: met?.cpuUs ?? null, heldOut: met }
  })
  return completed(begun, { curve, boundaries, graphId: null })
}

function measured(
  { m, efConstruction }: { readonly m: number; readonly efConstruction: number },
  ef: number,
  seq: number,
): CurvePoint {
  const luck = ((seq * 37) % 100) / 100
  const miss = 6 / (ef + 10) + 0.5 / m + 4 / efConstruction
  const recall = Math.max(0.3, 1 - miss * (0.8 + 0.25 * luck))
  const cpuUs = 12 + ef * (0.35 + m / 90) * (0.9 + 0.3 * luck)
  const point = { ef, recall, recallLcb: recall - 0.006, cpuUs }
  return curvePointOf({ ...point, p50Us: cpuUs, p95Us: 1.4 * cpuUs, p99Us: 2 * cpuUs })
}

/** The folder of the primary bucket of a service with this storage root. */
export function bucketOf(root: string): string {
  return join(root, 'buckets', 'primary')
}

/** Creates `name` with `count` points, each with metadata and, every third, a text. */
export async function fillIndex(service: Service, name: string, count: number): Promise<void> {
  await service.must('POST', '/vectors/indexes', { name, dimension: DIMENSION, stream: {} })
  const vectors = randomVectors(count, DIMENSION, 7)
  const points = Array.from({ length: count }, (_, row) => ({
    id: `p-${row}`,
    vector: Array.from(vectorAt(vectors, row)),
    metadata: { year: 2000 + (row % 25), kind: row % 2 === 0 ? 'note' : 'page' },
    ...(row % 3 === 0 && {
      text: `Note number ${row} about ${row % 2 === 0 ? 'rivers' : 'hills'}.`,
    }),
  }))
  await service.must('POST', `/vectors/indexes/${name}/points`, { points })
}

/** So many searches, one after the other, so that each can be sampled. */
export async function searchSome(service: Service, name: string, count: number): Promise<void> {
  const queries = randomVectors(count, DIMENSION, 11)
  for (let row = 0; row < count; row += 1) {
    const body = { vector: Array.from(vectorAt(queries, row)), k: 10, include: [] }
    await service.must('POST', `/vectors/indexes/${name}/search`, body)
  }
}
