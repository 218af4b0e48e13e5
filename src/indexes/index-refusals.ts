/**
 * What requests are told by an index that cannot answer them now.
 */

import { VectordError } from '../lib/errors.ts'
import type { IndexBackend, IndexState } from './index-api.ts'

/** Ids that an error names. */
const NAMED_MAX = 20

interface Unready {
  readonly index: string
  readonly state: IndexState
  readonly progress: number
}

/** The answer to a request while the index is not ready; `fault` is why, where that is known. */
export function refusal(unready: Unready, fault: VectordError | null): VectordError {
  const { index, state } = unready
  if (state === 'loading') {
    const progress = Math.round(unready.progress * 100) / 100
    return new VectordError('index_loading', `Index "${index}" is loading.`, {
      details: { index, progress },
      retryAfterS: 1,
    })
  }
  if (fault?.code === 'not_owner') return fault
  return new VectordError(
    'index_unavailable',
    `Index "${index}" cannot serve: ${reasonOf(fault)}`,
    {
      details: { index, reason: fault?.code ?? state },
      retryAfterS: 5,
      cause: fault,
    },
  )
}

/** An error of a write that is durable all the same. */
export function afterLogging(error: unknown, lsn: number): unknown {
  if (!(error instanceof VectordError)) return error
  return new VectordError(error.code, `${error.message} The write is durable as lsn ${lsn}.`, {
    details: { ...error.details, lsn, durable: true },
    cause: error,
    ...(error.retryAfterS !== null && { retryAfterS: error.retryAfterS }),
  })
}

function reasonOf(fault: VectordError | null): string {
  return fault === null ? 'it is being deleted.' : `${fault.code}: ${fault.message}`
}

export function otherDimension(
  { name, dimension }: { readonly name: string; readonly dimension: number },
  batch: { readonly dimension: number },
): VectordError {
  return new VectordError(
    'vector_dimension_mismatch',
    `Index "${name}" holds vectors of ${dimension} numbers, not ${batch.dimension}.`,
    { details: { expected: dimension, actual: batch.dimension } },
  )
}

export function takesNoTexts(index: string): VectordError {
  return new VectordError(
    'invalid_points',
    `Index "${index}" has no embedder: each of its points needs a vector.`,
    { details: { index } },
  )
}

/** Of a read as of a write: what it will hold cannot be told before. */
export function notWrittenYet(asOf: number, lsn: number): VectordError {
  return new VectordError('bad_request', `"as_of" is ${asOf}; the last write is ${lsn}.`, {
    details: { part: 'body', field: 'as_of', problem: 'is after the last write', as_of: asOf, lsn },
  })
}

/** Of a page that starts where pages of this index never end. */
export function invalidCursor(): VectordError {
  return new VectordError('invalid_cursor', 'The cursor is not one of ours: start from none.')
}

/** What is for indexes of another backend, and where to look instead. */
export function wrongBackend(
  { index, backend }: { readonly index: string; readonly backend: IndexBackend },
  instead: string,
): VectordError {
  const message = `Index "${index}" has the backend "${backend}", which this is not for: ${instead}.`
  return new VectordError('wrong_backend', message, { details: { index, backend, instead } })
}

/** The hint for whoever asks a Lance index about its graph, generations, promotions, trials, exports. */
export const LANCE_INSTEAD =
  'a table has no graph, log or checkpoint. POST /vectors/lance/index/{index} builds its index, ' +
  'POST /vectors/lance/recall/{index} solves its settings, POST /vectors/lance/migrate/{index} ' +
  'copies it to the other backend'

/** Of an append, which takes new points alone; nothing of it was written. */
export function pointsExist(index: string, ids: readonly string[]): VectordError {
  const message = `Nothing was appended: the point "${ids[0] ?? ''}" is there already.`
  return new VectordError('points_exist', message, {
    details: { index, ids: ids.slice(0, NAMED_MAX), ids_total: ids.length },
  })
}

export function indexExists(name: string): VectordError {
  return new VectordError('index_exists', `There is an index "${name}" already.`, {
    details: { index: name },
  })
}

export function indexNotFound(name: string): VectordError {
  return new VectordError('index_not_found', `There is no index "${name}".`, {
    details: { index: name },
  })
}

/** Whether it exists is not known: a bucket could not be listed yet. */
export function notListedYet(name: string, bucket: string, cause: unknown): VectordError {
  return new VectordError(
    'bucket_unreachable',
    `Whether index "${name}" exists is not known: bucket "${bucket}" could not be listed yet.`,
    { details: { index: name, bucket }, retryAfterS: 2, cause },
  )
}

/** @throws {VectordError} `revision_mismatch` where `ifRevision` is another one; null takes any. */
export function checkRevision(name: string, revision: number, ifRevision: number | null): void {
  if (ifRevision === null || ifRevision === revision) return
  throw new VectordError(
    'revision_mismatch',
    `Index "${name}" is at revision ${revision}, not ${ifRevision}.`,
    { details: { index: name, revision } },
  )
}
