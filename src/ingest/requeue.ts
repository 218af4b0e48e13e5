/**
 * Puts dead letters through the stream again. A letter is deleted after its point is logged; one that
 * fails again stays as it is.
 */

import { upsertOf, type UpsertBatch } from '../domain/write-batch.ts'
import type { VectordError } from '../lib/errors.ts'
import type { DeadLetter } from './dead-letter-codec.ts'
import type { DeadLetters } from './dead-letters.ts'
import type { Bury, StreamOutcome } from './stream-buffer.ts'

export interface Requeued {
  /** Letters whose points are logged. */
  readonly requeued: number
  /** Ids of letters that failed again. */
  readonly failed: readonly string[]
  readonly lsn: number | null
  /** Why the stream did not take the rest; null where it took all. */
  readonly error: VectordError | null
}

export async function requeue(work: {
  readonly letters: DeadLetters
  /** Oldest first. */
  readonly wanted: readonly DeadLetter[]
  readonly dimension: number
  readonly take: (batch: UpsertBatch, bury: Bury) => Promise<StreamOutcome>
}): Promise<Requeued> {
  const { letters, wanted, dimension, take } = work
  const fits = ({ point }: DeadLetter): boolean =>
    point.vector === null || point.vector.length === dimension
  const fitting = wanted.filter(fits)
  const failed = new Set(wanted.filter((letter) => !fits(letter)))
  if (fitting.length === 0) return { requeued: 0, failed: idsOf(failed), lsn: null, error: null }
  const bury: Bury = (_batch, row) => {
    const letter = fitting[row]
    if (letter !== undefined) failed.add(letter)
    return Promise.resolve()
  }
  const { accepted, lsn, error } = await take(pointsOf(fitting, dimension), bury)
  const logged = fitting.slice(0, accepted).filter((letter) => !failed.has(letter))
  for (const { id } of logged) await letters.delete(id)
  return { requeued: logged.length, failed: idsOf(failed), lsn, error }
}

function idsOf(letters: ReadonlySet<DeadLetter>): readonly string[] {
  return [...letters].map(({ id }) => id)
}

function pointsOf(letters: readonly DeadLetter[], dimension: number): UpsertBatch {
  return upsertOf(
    dimension,
    letters.map(({ point }) => point),
  )
}
