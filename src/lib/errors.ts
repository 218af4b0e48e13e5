/**
 * Every operating error that vectord can report, in one table.
 *
 * The table is the contract with clients: a code never changes its meaning or its status.
 * `docs/errors.md` has one row for each code; a test fails when the two differ.
 */

interface ErrorKind {
  /** HTTP status that the error reply sends. */
  readonly status: number
  /** True where the same request may succeed later without a change. */
  readonly retryable: boolean
}

export const ERROR_KINDS = {
  // The request itself.
  bad_request: { status: 400, retryable: false },
  malformed_body: { status: 400, retryable: false },
  invalid_name: { status: 400, retryable: false },
  invalid_points: { status: 400, retryable: false },
  invalid_vector: { status: 400, retryable: false },
  vector_dimension_mismatch: { status: 400, retryable: false },
  invalid_value: { status: 400, retryable: false },
  file_corrupt: { status: 400, retryable: false },
  invalid_filter: { status: 400, retryable: false },
  invalid_cursor: { status: 400, retryable: false },
  limit_exceeded: { status: 400, retryable: false },
  body_too_large: { status: 413, retryable: false },
  unsupported_media_type: { status: 415, retryable: false },
  revision_mismatch: { status: 412, retryable: true },
  idempotency_key_reused: { status: 422, retryable: false },
  request_quarantined: { status: 422, retryable: false },
  embedder_failed: { status: 422, retryable: false },
  source_auth_failed: { status: 422, retryable: false },
  source_tls_failed: { status: 422, retryable: false },
  source_failed: { status: 422, retryable: false },
  source_value_refused: { status: 422, retryable: false },

  // Who asks.
  unauthenticated: { status: 401, retryable: false },
  forbidden: { status: 403, retryable: false },
  bucket_protected: { status: 403, retryable: false },
  out_of_scope: { status: 403, retryable: false },
  rate_limited: { status: 429, retryable: true },

  // What is asked for.
  route_not_found: { status: 404, retryable: false },
  index_not_found: { status: 404, retryable: false },
  point_not_found: { status: 404, retryable: false },
  point_not_embedded: { status: 409, retryable: true },
  bucket_not_found: { status: 404, retryable: false },
  object_not_found: { status: 404, retryable: false },
  operation_not_found: { status: 404, retryable: false },
  generation_not_found: { status: 404, retryable: false },
  generation_exists: { status: 409, retryable: false },
  trial_not_found: { status: 404, retryable: false },
  eval_not_found: { status: 404, retryable: false },
  dead_letter_not_found: { status: 404, retryable: false },
  profile_not_found: { status: 404, retryable: false },
  profile_active: { status: 409, retryable: false },
  profile_not_active: { status: 409, retryable: false },
  dataset_not_found: { status: 404, retryable: false },
  dataset_schema_mismatch: { status: 409, retryable: false },
  document_not_found: { status: 404, retryable: false },
  watch_not_found: { status: 404, retryable: false },
  ingest_under_way: { status: 409, retryable: true },
  snapshot_not_found: { status: 404, retryable: false },
  snapshot_in_use: { status: 409, retryable: true },
  document_conflict: { status: 409, retryable: false },
  source_not_found: { status: 404, retryable: false },
  index_exists: { status: 409, retryable: false },
  bucket_exists: { status: 409, retryable: false },
  bucket_in_use: { status: 409, retryable: false },
  object_exists: { status: 409, retryable: false },
  operation_cancelled: { status: 409, retryable: true },
  not_configured: { status: 409, retryable: false },
  stream_not_enabled: { status: 409, retryable: false },
  no_promotion_to_roll_back: { status: 409, retryable: false },
  nothing_to_roll_forward: { status: 409, retryable: false },
  nothing_to_pin: { status: 409, retryable: false },
  promotion_pinned: { status: 409, retryable: false },
  acknowledgement_needed: { status: 409, retryable: false },
  agent_held: { status: 409, retryable: true },
  model_not_found: { status: 404, retryable: false },
  embedder_mismatch: { status: 409, retryable: false },
  lance_version_gone: { status: 404, retryable: false },
  lance_too_few_rows: { status: 409, retryable: false },
  wrong_backend: { status: 409, retryable: false },
  points_exist: { status: 409, retryable: false },

  // The service is not ready for it now.
  delta_full: { status: 429, retryable: true },
  stream_buffer_full: { status: 429, retryable: true },
  too_many_exports: { status: 429, retryable: true },
  core_suspended: { status: 429, retryable: true },
  core_degraded: { status: 503, retryable: true },
  builder_failed: { status: 503, retryable: true },
  ingest_failed: { status: 503, retryable: true },
  core_unavailable: { status: 503, retryable: true },
  index_loading: { status: 503, retryable: true },
  index_unavailable: { status: 503, retryable: true },
  index_moving: { status: 503, retryable: true },
  keywords_loading: { status: 503, retryable: true },
  not_owner: { status: 503, retryable: true },
  bucket_unreachable: { status: 503, retryable: true },
  embedder_unavailable: { status: 503, retryable: true },
  model_server_unavailable: { status: 503, retryable: true },
  source_unreachable: { status: 503, retryable: true },
  overloaded: { status: 503, retryable: true },
  journal_full: { status: 503, retryable: true },
  stream_draining: { status: 503, retryable: true },
  stream_stopped: { status: 503, retryable: true },
  dead_letters_full: { status: 503, retryable: true },
  shutting_down: { status: 503, retryable: true },
  deadline_exceeded: { status: 504, retryable: true },
  storage_full: { status: 507, retryable: true },
  memory_full: { status: 507, retryable: true },

  // Something that was stored is not what was stored, or vectord itself is at fault.
  log_fenced: { status: 503, retryable: true },
  log_corrupt: { status: 500, retryable: false },
  object_corrupt: { status: 500, retryable: false },
  format_too_new: { status: 500, retryable: false },
  storage_error: { status: 500, retryable: true },
  internal: { status: 500, retryable: false },

  // At start-up: the process says so and ends.
  invalid_config: { status: 500, retryable: false },
  root_locked: { status: 500, retryable: true },
} as const satisfies Record<string, ErrorKind>

export type ErrorCode = keyof typeof ERROR_KINDS

export type ErrorDetail = string | number | boolean | null | readonly ErrorDetail[] | ErrorDetails

/** Facts that a client or an operator can act on. Never secrets, never vectors. */
export interface ErrorDetails {
  readonly [name: string]: ErrorDetail
}

export interface VectordErrorOptions {
  readonly details?: ErrorDetails
  readonly cause?: unknown
  /** Seconds after which a retry is worth it; becomes `Retry-After`, rounded up to whole seconds. */
  readonly retryAfterS?: number
}

export class VectordError extends Error {
  override readonly name = 'VectordError'
  readonly code: ErrorCode
  readonly details: ErrorDetails
  readonly retryAfterS: number | null

  /** `message` is one sentence for a person; `details` holds the same facts for a program. */
  constructor(code: ErrorCode, message: string, options: VectordErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.details = options.details ?? {}
    this.retryAfterS = options.retryAfterS ?? null
  }

  get status(): number {
    return ERROR_KINDS[this.code].status
  }

  get retryable(): boolean {
    return ERROR_KINDS[this.code].retryable
  }
}

/** True where `error` is a `VectordError` with one of `codes`. */
export function hasCode(error: unknown, ...codes: readonly ErrorCode[]): error is VectordError {
  return error instanceof VectordError && codes.includes(error.code)
}
