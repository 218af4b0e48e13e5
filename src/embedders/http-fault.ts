/**
 * How a request to a server of models failed, before anybody says what that means for whom.
 */

export type HttpFaultReason =
  /** No connection, or it broke before the whole answer was here. */
  | 'unreachable'
  | 'timeout'
  /** Another status than 2xx. */
  | 'status'
  | 'not_json'
  | 'too_large'
  /** Valid JSON without what was asked for. */
  | 'odd_answer'
  /** The client was closed. */
  | 'closed'

interface HttpFaultOptions {
  readonly status?: number
  /** What the server said, shortened. */
  readonly told?: string
  readonly retryAfterS?: number
  readonly cause?: unknown
}

export class HttpFault extends Error {
  override readonly name = 'HttpFault'
  readonly reason: HttpFaultReason
  /** 0 where no status came. */
  readonly status: number
  readonly told: string
  readonly retryAfterS: number | null

  constructor(reason: HttpFaultReason, options: HttpFaultOptions = {}) {
    const { status = 0, told = '', retryAfterS = null, cause } = options
    super(reason === 'status' ? `status ${status}` : reason, { cause })
    this.reason = reason
    this.status = status
    this.told = told
    this.retryAfterS = retryAfterS
  }

  /** As `details` name it: `timeout`, `status_429`. */
  get code(): string {
    return this.reason === 'status' ? `status_${this.status}` : this.reason
  }

  /** The same request may succeed in a moment. */
  get mayPass(): boolean {
    if (this.reason === 'status') return this.status === 429 || this.status >= 500
    return this.reason === 'unreachable'
  }
}
