/**
 * Which settings of a Lance search are worth measuring, in which order; pure.
 *
 * For each refine factor the recall grows with the rungs of one other setting: `nprobes` of an IVF_PQ
 * index, `ef` of an IVF_HNSW_SQ index. So the cheapest rung that reaches the floor is found by halving.
 */

import type { LanceIndexKind, LanceSearchSettings } from '../domain/lance-table.ts'

const NPROBES = [1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024]
/** Times the candidates that are asked for. */
const EFS = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64]
/** The last ones of IVF_PQ are for data without structure, whose codes tell little of distances. */
const REFINES = { ivf_pq: [1, 2, 4, 8, 16, 32, 64, 128, 256], ivf_hnsw_sq: [1, 2, 4, 8] } as const

/** Partitions of an index of `rows`, as `src/engines/lance/index-plan.ts` makes them, at the most. */
function partitionsOf(kind: LanceIndexKind, rows: number): number {
  return kind === 'ivf_pq' ? Math.max(1, Math.round(Math.sqrt(rows))) : Math.ceil(rows / 1_048_576)
}

/** Settings of one refine factor, from the cheapest and worst to the dearest and best. */
export type Ladder = readonly LanceSearchSettings[]

/** A ladder for each refine factor, ascending. */
export function laddersOf(
  kind: LanceIndexKind,
  { rows, k }: { readonly rows: number; readonly k: number },
): readonly Ladder[] {
  const partitions = partitionsOf(kind, Math.max(1, rows))
  if (kind === 'ivf_pq') {
    const below = NPROBES.filter((nprobes) => nprobes < partitions)
    const rungs = [...below, partitions]
    return REFINES.ivf_pq.map((refineFactor) =>
      rungs.map((nprobes) => ({ nprobes, refineFactor, ef: null })),
    )
  }
  return REFINES.ivf_hnsw_sq.map((refineFactor) =>
    // An ef below the candidates that are refined is raised to them.
    EFS.map((times) => ({ nprobes: partitions, refineFactor, ef: times * k * refineFactor })),
  )
}

/** A rung that was measured, and its place in its ladder. */
export interface Passed<M> {
  readonly place: number
  readonly measured: M
}

/**
 * The first rung whose measure passes; null where the last one does not. Measures the last rung, and
 * then as many as halving needs.
 */
export async function firstPassing<M>(
  ladder: Ladder,
  measure: (rung: LanceSearchSettings) => Promise<M>,
  passes: (measured: M) => boolean,
): Promise<Passed<M> | null> {
  const last = ladder.at(-1)
  if (last === undefined) return null
  let best = { place: ladder.length - 1, measured: await measure(last) }
  if (!passes(best.measured)) return null
  for (let low = 0; low < best.place;) {
    const middle = Math.floor((low + best.place) / 2)
    const rung = ladder[middle]
    if (rung === undefined) break
    const measured = await measure(rung)
    if (passes(measured)) best = { place: middle, measured }
    else low = middle + 1
  }
  return best
}
