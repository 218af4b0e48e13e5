/**
 * What components tell of a request while somebody traces it.
 *
 *     request ─▶ openRequest ─▶ enter: handlers run inside ─▶ within … within ─▶ end
 *
 * Off, there is no tracer, and a component that asks for one has asked for a null: it then does its
 * work as if nothing of this existed. Which span is the current one follows the work through its
 * awaits. Work that goes on after its request has ended is not told of: it belongs to nobody any more.
 *
 * Attributes are names, counts and codes. Never vectors, texts, keys, headers or messages of errors.
 */

export type Attributes = Readonly<Record<string, string | number | boolean>>

export interface SpanOptions {
  /** Few different ones: no ids, no names of indexes. */
  readonly name: string
  /** `client` where another server is asked. */
  readonly kind?: 'internal' | 'client'
  readonly attributes?: Attributes
}

/** A piece of work under way. */
export interface Span {
  /** Marks this moment. */
  event(name: string): void
}

export interface IncomingRequest {
  readonly method: string
  /** As it was mounted: `/vectors/indexes/:index/search`. */
  readonly route: string
  readonly attributes: Attributes
  /** `traceparent` and `tracestate` are read of them. */
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
}

export interface RequestSpan {
  /** Runs `work`, and what it starts, inside the span. */
  enter(work: () => void): void
  /** The error that is answered. */
  failed(code: string): void
  /** Once; later calls change nothing. Null where the client went away before it was answered. */
  end(status: number | null): void
}

export interface Tracer {
  openRequest(request: IncomingRequest): RequestSpan
  /** Runs `work` as a part of what is under way; just runs it where nothing is, or not recorded. */
  within<T>(options: SpanOptions, work: (span: Span | null) => Promise<T>): Promise<T>
  /** What another server is sent, so that its spans join ours: `traceparent`, `tracestate`. */
  headers(): Readonly<Record<string, string>>
}

let active: Tracer | null = null

/** Null while nothing is traced. */
export function activeTracer(): Tracer | null {
  return active
}

/** `within` the tracer; without one, the work alone. */
export function traced<T>(options: SpanOptions, work: () => Promise<T>): Promise<T> {
  return active === null ? work() : active.within(options, work)
}

/** For the composition root alone. */
export function useTracer(tracer: Tracer | null): void {
  active = tracer
}
