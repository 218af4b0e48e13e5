/**
 * A bound on how long a caller waits. The work itself goes on: what it decides stays decided.
 */

import { VectordError } from '../lib/errors.ts'

/** @throws {VectordError} `deadline_exceeded` with `message` when `waitMs` pass first. */
export async function withDeadline<T>(
  work: Promise<T>,
  waitMs: number,
  message: string,
): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => {
        reject(new VectordError('deadline_exceeded', message))
      },
      Math.max(0, waitMs),
    )
  })
  try {
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
    work.catch(() => undefined) // A failure after the deadline has nobody left to tell.
  }
}
