/**
 * What the failures of LanceDB mean in vectord's terms.
 *
 * LanceDB throws errors without codes: their texts are all there is to tell them by. They name
 * paths and addresses, never credentials; what is not known here stays as it is, and is a bug.
 */

import { VectordError, type ErrorCode } from '../../lib/errors.ts'

/** In this order: the first that matches counts. */
const KNOWN: readonly (readonly [RegExp, ErrorCode])[] = [
  [
    /no space left|os error 28\b|quota exceeded|QuotaExceeded|os error 122\b|StorageFull|InsufficientStorage|507 /i,
    'storage_full',
  ],
  [
    /status: 4(0[0-7]|09|1\d)|\b(AccessDenied|InvalidAccessKeyId|SignatureDoesNotMatch|ExpiredToken|NoSuchBucket|PermissionDenied|Unauthenticated)\b|lacked the necessary privileges/,
    'storage_error',
  ],
  [/not enough rows to train|KMeans.*(fewer|less|cannot|can not)/i, 'lance_too_few_rows'],
  [
    /RetryError|TimedOut|error sending request|connection (refused|reset|closed)|connect error|timed out|operation timed ?out|dns error|error decoding response body|Server returned (5\d\d|429)|status: (5\d\d|429)|\b50[0234] (Internal|Bad|Service|Gateway)|SlowDown|Error after \d+ retries|Error performing/i,
    'bucket_unreachable',
  ],
  [/contains NaN values/, 'invalid_vector'],
  [/query timeout|timeout.*exceeded/i, 'deadline_exceeded'],
  [/os error 5\b|input\/output error|permission denied|os error (13|30)\b/i, 'storage_error'],
  [
    /corrupt|failed to decode|invalid protobuf|magic number|unexpected eof|unexpected end|not a lance file|footer|invalid range|outside of the file|file size is too small|range (start|end)/i,
    'object_corrupt',
  ],
]

const SAID: Partial<Record<ErrorCode, string>> = {
  storage_full: 'There is no space left for the Lance table.',
  lance_too_few_rows: 'The Lance table has too few rows for an index of this kind.',
  invalid_vector: 'A vector holds what is not a number.',
  bucket_unreachable: 'The bucket of the Lance table does not answer.',
  deadline_exceeded: 'The Lance table did not answer before the deadline.',
  storage_error: 'The files of the Lance table cannot be used.',
  object_corrupt: 'A file of the Lance table is damaged or missing.',
}

/** Runs `work`; its failures become errors of ours where they are known. */
export async function lanceCall<T>(index: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw lanceFault(error, index)
  }
}

function lanceFault(error: unknown, index: string): unknown {
  if (error instanceof VectordError || !(error instanceof Error)) return error
  if (saysNoTable(error)) return noTable(index)
  const code = codeOf(error.message)
  if (code === null) return error
  const details = { index }
  return new VectordError(code, SAID[code] ?? 'The Lance table failed.', {
    details,
    cause: error,
    ...(code === 'bucket_unreachable' && { retryAfterS: 1 }),
  })
}

function codeOf(message: string): ErrorCode | null {
  const known = KNOWN.find(([pattern]) => pattern.test(message))
  if (known !== undefined) return known[1]
  // A table that is there names a file that is not.
  return /not found: .*\/(data|_versions|_indices|_deletions|_transactions)\b/i.test(message)
    ? 'object_corrupt'
    : null
}

/** True where the failure says that there is no such table, or not this version of it. */
export function saysNoTable(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  return /^Table '.*' was not found/s.test(error.message)
}

/** True where a version was asked for that is not kept. */
export function saysNoVersion(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  return /_versions\/\d+\.manifest was not found|version \d+ .*(not found|does not exist)/i.test(
    error.message,
  )
}

export function noTable(index: string): VectordError {
  const text = `There is no Lance table of the index "${index}".`
  return new VectordError('index_not_found', text, { details: { index } })
}

export function noVersion(index: string, version: number): VectordError {
  const text = `Version ${version} of the index "${index}" is not kept.`
  return new VectordError('lance_version_gone', text, { details: { index, version } })
}
