/**
 * Spans by OpenTelemetry, sent to a collector by OTLP over HTTP. The one door to its packages; it is
 * loaded only where an endpoint is configured.
 *
 *     ended spans ─▶ queue, bounded ─▶ batch, one at a time ─▶ collector
 *           ╰─ full: dropped           ╰─ no answer in time: failed     both counted, told once
 *
 * A collector that is slow or gone costs spans, never a request: nothing here is awaited by one. Nothing
 * is registered globally, so other libraries that know OpenTelemetry send nothing through us.
 */

import { AsyncLocalStorage } from 'node:async_hooks'
import {
  defaultTextMapGetter,
  defaultTextMapSetter,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  trace,
  type Context,
  type Span as OtelSpan,
  type Tracer as OtelTracer,
} from '@opentelemetry/api'
import { ExportResultCode, W3CTraceContextPropagator, type ExportResult } from '@opentelemetry/core'
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto'
import { resourceFromAttributes } from '@opentelemetry/resources'
import {
  BatchSpanProcessor,
  ParentBasedSampler,
  TraceIdRatioBasedSampler,
  TracerProvider,
  type ReadableSpan,
  type SpanExporter,
  type SpanProcessor,
} from '@opentelemetry/sdk-trace'
import type { IncomingRequest, RequestSpan, Span, SpanOptions, Tracer } from './tracer.ts'

/** Some seconds of spans at full load. */
const QUEUE_SPANS_MAX = 4096
/** Made into bytes in one go, on the event loop: see docs/adr/0043. */
const BATCH_SPANS_MAX = 256
const BATCH_INTERVAL_MS = 1000
/** Of one batch, with what the exporter tries again. */
const EXPORT_TIMEOUT_MS = 5000
/** At the end of the process: what is not sent by then is lost. */
const CLOSE_MS = 2000
/** Names come from clients too. */
const ATTRIBUTE_CHARS_MAX = 256

export interface OtlpTracerOptions {
  /** Of the collector, with its path. */
  readonly url: string
  /** Of the requests whose caller has not decided; a decision of the caller holds. */
  readonly sampleRatio: number
  readonly serviceName: string
  readonly version: string
  /** Told when batches begin to fail, and when they arrive again. */
  readonly onChange: (change: CollectorChange) => void
}

export type CollectorChange =
  { readonly kind: 'lost'; readonly reason: string } | { readonly kind: 'back' }

/** Since the start. */
export interface SpanCounts {
  readonly exported: number
  readonly failed: number
  readonly dropped: number
}

/** What the current work belongs to. */
interface Place {
  readonly context: Context
  /** False once the request has ended. */
  readonly request: { isOpen: boolean }
}

export class OtlpTracer implements Tracer {
  readonly #places = new AsyncLocalStorage<Place>()
  readonly #propagator = new W3CTraceContextPropagator()
  readonly #outlet: Outlet
  readonly #provider: TracerProvider
  readonly #tracer: OtelTracer
  #closing: Promise<void> | null = null

  constructor(options: OtlpTracerOptions) {
    const { url, sampleRatio, serviceName, version, onChange } = options
    this.#outlet = new Outlet(
      new OTLPTraceExporter({ url, timeoutMillis: EXPORT_TIMEOUT_MS }),
      onChange,
    )
    this.#provider = new TracerProvider({
      resource: resourceFromAttributes({ 'service.name': serviceName, 'service.version': version }),
      sampler: new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(sampleRatio) }),
      spanLimits: { attributeValueLengthLimit: ATTRIBUTE_CHARS_MAX },
      spanProcessors: [this.#outlet],
    })
    this.#tracer = this.#provider.getTracer('vectord', version)
  }

  get counts(): SpanCounts {
    return this.#outlet.counts
  }

  openRequest({ method, route, attributes, headers }: IncomingRequest): RequestSpan {
    const above = this.#propagator.extract(ROOT_CONTEXT, headers, defaultTextMapGetter)
    const span = this.#tracer.startSpan(
      `${method} ${route}`,
      {
        kind: SpanKind.SERVER,
        attributes: { 'http.request.method': method, 'http.route': route, ...attributes },
      },
      above,
    )
    const place: Place = { context: trace.setSpan(above, span), request: { isOpen: true } }
    return new OpenRequestSpan(span, place, this.#places)
  }

  within<T>(
    { name, kind, attributes }: SpanOptions,
    work: (span: Span | null) => Promise<T>,
  ): Promise<T> {
    const place = this.#places.getStore()
    if (place?.request.isOpen !== true) return work(null)
    const { context, request } = place
    if (trace.getSpan(context)?.isRecording() !== true) return work(null)
    const span = this.#tracer.startSpan(
      name,
      {
        kind: kind === 'client' ? SpanKind.CLIENT : SpanKind.INTERNAL,
        ...(attributes !== undefined && { attributes }),
      },
      context,
    )
    const below = { context: trace.setSpan(context, span), request }
    return this.#places.run(below, () => run(span, work))
  }

  headers(): Readonly<Record<string, string>> {
    const place = this.#places.getStore()
    const carrier: Record<string, string> = {}
    if (place?.request.isOpen === true) {
      this.#propagator.inject(place.context, carrier, defaultTextMapSetter)
    }
    return carrier
  }

  /** Sends what waits, within bounds; what cannot be sent is lost. Never rejects. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    const { promise: late, resolve } = Promise.withResolvers<null>()
    const timer = setTimeout(resolve, CLOSE_MS, null)
    // A batch that fails has been counted and told of.
    await Promise.race([this.#provider.shutdown().catch(() => null), late])
    clearTimeout(timer)
  }
}

async function run<T>(span: OtelSpan, work: (span: Span) => Promise<T>): Promise<T> {
  try {
    return await work({ event: (name) => void span.addEvent(name) })
  } catch (error) {
    markFailed(span, codeOf(error) ?? 'internal')
    throw error
  } finally {
    span.end()
  }
}

/** By its code alone: a message may hold what no trace should. */
function markFailed(span: OtelSpan, code: string): void {
  span.setAttribute('error.type', code)
  span.setStatus({ code: SpanStatusCode.ERROR })
}

class OpenRequestSpan implements RequestSpan {
  readonly #span: OtelSpan
  readonly #place: Place
  readonly #places: AsyncLocalStorage<Place>

  constructor(span: OtelSpan, place: Place, places: AsyncLocalStorage<Place>) {
    this.#span = span
    this.#place = place
    this.#places = places
  }

  enter(work: () => void): void {
    this.#places.run(this.#place, work)
  }

  failed(code: string): void {
    this.#span.setAttribute('error.type', code)
  }

  end(status: number | null): void {
    if (!this.#place.request.isOpen) return
    this.#place.request.isOpen = false
    if (status === null) markFailed(this.#span, 'client_gone')
    else {
      this.#span.setAttribute('http.response.status_code', status)
      // What a client did wrong is no error of the server.
      if (status >= 500) this.#span.setStatus({ code: SpanStatusCode.ERROR })
    }
    this.#span.end()
  }
}

/** The way out: a batching processor with a bound that is counted, and an exporter that is watched. */
class Outlet implements SpanProcessor {
  readonly #exporter: SpanExporter
  readonly #batches: SpanProcessor
  readonly #onChange: OtlpTracerOptions['onChange']
  readonly #counts = { exported: 0, failed: 0, dropped: 0 }
  #waiting = 0
  #isLost = false

  constructor(exporter: SpanExporter, onChange: OtlpTracerOptions['onChange']) {
    this.#exporter = exporter
    this.#onChange = onChange
    this.#batches = new BatchSpanProcessor({
      // Closing ends the exporter through the processor.
      exporter: {
        export: (spans, done) => {
          this.#send(spans, done)
        },
        shutdown: () => exporter.shutdown(),
      },
      maxQueueSize: QUEUE_SPANS_MAX,
      maxExportBatchSize: BATCH_SPANS_MAX,
      scheduledDelayMillis: BATCH_INTERVAL_MS,
      exportTimeoutMillis: 2 * EXPORT_TIMEOUT_MS,
    })
  }

  get counts(): SpanCounts {
    return { ...this.#counts }
  }

  onStart(): void {
    // Spans are looked at when they have ended.
  }

  onEnd(span: ReadableSpan): void {
    if (this.#waiting >= QUEUE_SPANS_MAX) {
      this.#counts.dropped += 1
      return
    }
    this.#waiting += 1
    this.#batches.onEnd(span)
  }

  forceFlush(): Promise<void> {
    return this.#batches.forceFlush()
  }

  shutdown(): Promise<void> {
    return this.#batches.shutdown()
  }

  #send(spans: ReadableSpan[], done: (result: ExportResult) => void): void {
    this.#waiting -= spans.length
    this.#exporter.export(spans, (result) => {
      const isSent = result.code === ExportResultCode.SUCCESS
      this.#counts[isSent ? 'exported' : 'failed'] += spans.length
      if (isSent === this.#isLost) {
        this.#isLost = !isSent
        this.#onChange(
          isSent ? { kind: 'back' } : { kind: 'lost', reason: codeOf(result.error) ?? 'no answer' },
        )
      }
      done(result)
    })
  }
}

/** A code of ours, of the system, or the status of an answer; null where the error has none. */
function codeOf(error: unknown): string | null {
  if (!(error instanceof Error) || !('code' in error)) return null
  const code = String(error.code)
  return /^[A-Za-z0-9_]{1,64}$/.test(code) ? code : null
}
