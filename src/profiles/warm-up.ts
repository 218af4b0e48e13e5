/**
 * Warms up indexes: a few searches over each of its shards, with the ef that real ones will have, so that
 * what a core holds is in its caches before somebody waits for it.
 *
 * An index that fails is told and holds up no other.
 */

import type { Include } from '../domain/search.ts'
import type { Indexes, ManagedIndex } from '../indexes/index-api.ts'
import { VectordError } from '../lib/errors.ts'
import { seededRandom } from '../lib/seeded-random.ts'
import type { Profile } from './profile.ts'

/** From here on more searches touch little that is new. */
export const WARM_SEARCHES = 8
const WARM_K = 10
/** The queries point everywhere, and are the same each time. */
const SEED = 0x7761726d

const NOTHING: Include = { metadata: false, vector: false, text: false }

export interface WarmUpOptions {
  readonly indexes: Pick<Indexes, 'get'>
  readonly nowMs: () => number
  /** For each search. */
  readonly deadlineMs: number
  /** Told of what is no operating error. */
  readonly onTrouble: (error: unknown, what: string) => void
}

export interface WarmedIndex {
  readonly index: string
  /** `default`, or `promoted:{trial_id}`. */
  readonly configSource: string
  readonly searches: number
  /** Of the last search; 0 where it walked no graph. */
  readonly efUsed: number
  readonly tookMs: number
}

export interface FailedIndex {
  readonly index: string
  readonly code: string
  readonly message: string
}

export interface WarmUp {
  readonly warmed: readonly WarmedIndex[]
  readonly failures: readonly FailedIndex[]
}

/** Warms up what is bound to `profile`, in its order. */
export async function warmUp(options: WarmUpOptions, profile: Profile): Promise<WarmUp> {
  const warmed: WarmedIndex[] = []
  const failures: FailedIndex[] = []
  await Promise.all(
    profile.boundIndexes.map(async (index) => {
      try {
        warmed.push(await warm(options, index, profile.hnsw?.efSearch ?? null))
      } catch (error) {
        failures.push({ index, ...faultOf(options, index, error) })
      }
    }),
  )
  const rank = new Map(profile.boundIndexes.map((index, i) => [index, i]))
  const inOrder = <T extends { readonly index: string }>(list: T[]): T[] =>
    list.sort((a, b) => (rank.get(a.index) ?? 0) - (rank.get(b.index) ?? 0))
  return { warmed: inOrder(warmed), failures: inOrder(failures) }
}

/** @param ef of the profile: what is promoted for the index comes before it. */
async function warm(
  { indexes, nowMs, deadlineMs }: WarmUpOptions,
  name: string,
  ef: number | null,
): Promise<WarmedIndex> {
  const index: ManagedIndex = indexes.get(name)
  const { dimension, config } = index.info
  const random = seededRandom(SEED)
  const startMs = performance.now()
  let efUsed = 0
  for (let i = 0; i < WARM_SEARCHES; i += 1) {
    const vector = Float32Array.from({ length: dimension }, () => random() * 2 - 1)
    const answer = await index.search(
      {
        ...{ target: { vector }, k: WARM_K, exact: false, filter: null, include: NOTHING },
        ef: config.source === 'default' ? ef : null,
      },
      { minLsn: 0, deadlineMs: nowMs() + deadlineMs },
    )
    efUsed = answer.efUsed
  }
  const tookMs = performance.now() - startMs
  return { index: name, configSource: config.source, searches: WARM_SEARCHES, efUsed, tookMs }
}

function faultOf(
  { onTrouble }: WarmUpOptions,
  index: string,
  error: unknown,
): Pick<FailedIndex, 'code' | 'message'> {
  if (error instanceof VectordError) return { code: error.code, message: error.message }
  onTrouble(error, `warm up index "${index}"`)
  return { code: 'internal', message: 'Something failed that must not.' }
}
