/**
 * What became of texts since the start of the server.
 */

export interface ProjectionTotals {
  /** Texts of new points that have vectors now. */
  incremental: number
  /** The same of texts whose vectors were of another embedder. */
  backfill: number
  failed: number
  /** Texts whose point, or embedder, was another one when they were to be embedded or applied. */
  discarded: number
}

export function newTotals(): ProjectionTotals {
  return { incremental: 0, backfill: 0, failed: 0, discarded: 0 }
}

export function addTotals(sum: ProjectionTotals, other: Readonly<ProjectionTotals>): void {
  sum.incremental += other.incremental
  sum.backfill += other.backfill
  sum.failed += other.failed
  sum.discarded += other.discarded
}
