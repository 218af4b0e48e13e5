/**
 * Errors between core and front, as JSON: code, message and details travel, causes do not.
 *
 * What is not a `VectordError` is a bug. Its text is for our log (`report`), never for a client.
 */

import { ERROR_KINDS, VectordError, type ErrorCode, type ErrorDetails } from '../lib/errors.ts'

export interface WireError {
  readonly code: ErrorCode
  readonly message: string
  readonly details: ErrorDetails
  readonly retry_after_s: number | null
  /** The stack of a bug, for the log of the front; null for operating errors. */
  readonly report: string | null
}

/** @param requestId names the request in the error of a bug, so that log and client can meet. */
export function toWireError(error: unknown, requestId: string): WireError {
  if (error instanceof VectordError) {
    return {
      code: error.code,
      message: error.message,
      details: error.details,
      retry_after_s: error.retryAfterS,
      report: error.code === 'internal' ? (error.stack ?? null) : null,
    }
  }
  return {
    code: 'internal',
    message: 'The request failed inside its core.',
    details: { request_id: requestId },
    retry_after_s: null,
    report: error instanceof Error ? (error.stack ?? error.message) : String(error),
  }
}

export function fromWireError(wire: WireError): VectordError {
  const known = Object.hasOwn(ERROR_KINDS, wire.code)
  return new VectordError(known ? wire.code : 'internal', wire.message, {
    details: wire.details,
    ...(wire.retry_after_s === null ? {} : { retryAfterS: wire.retry_after_s }),
  })
}

/** An error as fields of a log entry: an `Error` itself would lose its message there. */
export function errorFields(error: unknown): Readonly<Record<string, unknown>> {
  const { code, message, details, report } = toWireError(error, '')
  const cause = error instanceof VectordError ? error.cause : undefined
  const causedBy = cause instanceof Error ? (cause.stack ?? cause.message) : undefined
  return { code, message, details, ...(report !== null && { report }), causedBy }
}
