/**
 * What a call of the client can fail with: an answer that says so, no answer, or work that failed.
 */

import type { components } from './api-types.ts'
import type { Operation } from './types.ts'

/** The codes of docs/errors.md. */
export type ErrorCode = components['schemas']['ErrorReply']['error']['code']

export type ErrorDetails = Readonly<Record<string, unknown>>

interface ApiFault {
  /** `unknown` where the answer is not one of vectord's, such as that of a proxy. */
  readonly code: ErrorCode | 'unknown'
  readonly status: number
  readonly retryable: boolean
  readonly details: ErrorDetails
  /** Of the service, for its log; null where there is none. */
  readonly requestId: string | null
  /** What `Retry-After` said; null without it. */
  readonly retryAfterS: number | null
}

/** The service answered, and refused. */
export class VectordApiError extends Error implements ApiFault {
  override readonly name = 'VectordApiError'
  readonly code: ErrorCode | 'unknown'
  readonly status: number
  readonly retryable: boolean
  readonly details: ErrorDetails
  readonly requestId: string | null
  readonly retryAfterS: number | null

  constructor(message: string, fault: ApiFault) {
    super(message)
    this.code = fault.code
    this.status = fault.status
    this.retryable = fault.retryable
    this.details = fault.details
    this.requestId = fault.requestId
    this.retryAfterS = fault.retryAfterS
  }
}

/**
 * There was no answer, or not the whole of it: whether the service did what was asked is unknown.
 */
export class VectordConnectionError extends Error {
  override readonly name = 'VectordConnectionError'
  /** True where the time of the call ran out. */
  readonly isTimeout: boolean

  constructor(message: string, options: { readonly isTimeout: boolean; readonly cause?: unknown }) {
    super(message, { cause: options.cause })
    this.isTimeout = options.isTimeout
  }
}

/** Long work that was waited for has failed, or somebody cancelled it. */
export class OperationFailedError extends Error {
  override readonly name = 'OperationFailedError'
  readonly operation: Operation

  constructor(operation: Operation) {
    super(operation.error?.message ?? `The operation was ${operation.state}.`)
    this.operation = operation
  }
}

/**
 * An import stopped. Everything before `resumeAt` is durable; what comes from there on may be too,
 * and sending it again does no harm.
 */
export class ImportError extends Error {
  override readonly name = 'ImportError'
  /** Place in the source, from 0, of the first point that was not acknowledged. */
  readonly resumeAt: number
  /** Points that were acknowledged, also behind `resumeAt`. */
  readonly accepted: number

  /** @param cause what a batch, or the source, failed with. */
  constructor(cause: unknown, at: { readonly resumeAt: number; readonly accepted: number }) {
    const why = cause instanceof Error ? cause.message : String(cause)
    super(`The import stopped at point ${at.resumeAt}: ${why}`, { cause })
    this.resumeAt = at.resumeAt
    this.accepted = at.accepted
  }
}
