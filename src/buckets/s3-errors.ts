/**
 * What the failures of an S3 request mean in vectord's terms.
 *
 * The messages of S3 servers are not passed on: those about signatures repeat what was signed. Only
 * the name and the status of a failure leave this file, so no answer and no log holds a secret.
 */

import { VectordError } from '../lib/errors.ts'

const FULL = new Set(['QuotaExceeded', 'XMinioStorageFull', 'InsufficientStorage'])

const UNREACHABLE = new Set([
  'TimeoutError',
  'RequestTimeout',
  'AbortError',
  'SlowDown',
  'ServiceUnavailable',
  'InternalError',
  'ECONNREFUSED',
  'ECONNRESET',
  'ECONNABORTED',
  'EPIPE',
  'ETIMEDOUT',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'EHOSTDOWN',
  'ENETUNREACH',
  'ERR_STREAM_PREMATURE_CLOSE',
])

export interface S3Failure {
  /** Such as `NoSuchKey`; the class of a failure that is not S3's own. */
  readonly name: string
  /** The HTTP status, or null where there was no answer. */
  readonly status: number | null
  /** Such as `ECONNRESET`, or null. */
  readonly errno: string | null
}

export function s3Failure(error: unknown): S3Failure {
  if (!(error instanceof Error)) return { name: 'unknown', status: null, errno: null }
  const metadata: unknown = '$metadata' in error ? error.$metadata : null
  const hasStatus =
    typeof metadata === 'object' && metadata !== null && 'httpStatusCode' in metadata
  const status = hasStatus ? metadata.httpStatusCode : null
  return {
    name: error.message.startsWith('Checksum mismatch') ? 'ChecksumMismatch' : error.name,
    status: typeof status === 'number' ? status : null,
    errno: 'code' in error && typeof error.code === 'string' ? error.code : null,
  }
}

/** True where the failure says that no object has the key: nothing else does, no bare 404. */
export function saysNoSuchKey(failure: S3Failure): boolean {
  return failure.name === 'NoSuchKey' && failure.status === 404
}

/** True where the failure says that a condition of the request did not hold. */
export function saysPreconditionFailed(failure: S3Failure): boolean {
  return failure.status === 412
}

/** True where another conditional request on the key was under way: try again. */
export function saysConflict(failure: S3Failure): boolean {
  return failure.status === 409
}

/** The `VectordError` of a failed request; those of ours pass unchanged. */
export function s3Fault(error: unknown, doing: string, key: string): VectordError {
  if (error instanceof VectordError) return error
  const failure = s3Failure(error)
  const { name, status, errno } = failure
  const shown = errno ?? name
  const message = `The S3 bucket could not ${doing} "${key}": ${shown}${statusText(status)}.`
  const details = { key, failure: shown, http_status: status }
  return new VectordError(codeOf(failure), message, { details, cause: new Error(`S3: ${shown}`) })
}

function codeOf(failure: S3Failure): 'storage_full' | 'bucket_unreachable' | 'storage_error' {
  const status = failure.status ?? 0
  if (status === 507 || FULL.has(failure.name)) return 'storage_full'
  if (status >= 500 || status === 429 || status === 408) return 'bucket_unreachable'
  const names = [failure.name, failure.errno ?? '']
  // HPE: what came back is not HTTP.
  const isLost = names.some((name) => UNREACHABLE.has(name) || name.startsWith('HPE_'))
  return isLost ? 'bucket_unreachable' : 'storage_error'
}

function statusText(status: number | null): string {
  return status === null ? '' : ` (HTTP ${status})`
}
