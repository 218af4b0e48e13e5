/**
 * What the queries of reads have in common and a schema cannot say: bounds that are configured.
 */

import { VectordError } from '../lib/errors.ts'
import type { HttpLimits } from './limits.ts'
import { idProblem } from '../domain/row-values.ts'

/** @throws {VectordError} `bad_request` where no point can have this id. */
export function checkId(id: string, limits: HttpLimits): void {
  const problem = idProblem(id, limits.idBytesMax)
  if (problem !== null) throw new VectordError('bad_request', `The id ${problem.text}.`)
}

/** @throws {VectordError} `limit_exceeded`. */
export function checkPage(limit: number, { pageMax }: HttpLimits): void {
  if (limit <= pageMax) return
  throw new VectordError('limit_exceeded', `"limit" must be at most ${pageMax}.`, {
    details: { limit: 'limit', max: pageMax },
  })
}
