/**
 * Puts tracing into use where an endpoint is configured; else nothing of it is loaded.
 */

import type { CollectorChange, OtlpTracer } from './otlp-tracer.ts'
import { useTracer } from './tracer.ts'

const PATH = '/v1/traces'

export interface TracingSettings {
  /** Empty: off. */
  readonly endpoint: string
  readonly sampleRatio: number
  readonly serviceName: string
}

export interface TracingOptions {
  readonly settings: TracingSettings
  readonly version: string
  readonly onChange: (change: CollectorChange) => void
}

export interface Tracing {
  /** Null where it is off. */
  readonly tracer: OtlpTracer | null
  /** Sends what waits, within bounds. */
  readonly close: () => Promise<void>
}

export async function openTracing(options: TracingOptions): Promise<Tracing> {
  const { settings, version, onChange } = options
  if (settings.endpoint === '') return { tracer: null, close: () => Promise.resolve() }
  const { OtlpTracer } = await import('./otlp-tracer.ts')
  const { sampleRatio, serviceName } = settings
  const url = tracesUrl(settings.endpoint)
  const tracer = new OtlpTracer({ url, sampleRatio, serviceName, version, onChange })
  useTracer(tracer)
  const close = (): Promise<void> => {
    useTracer(null)
    return tracer.close()
  }
  return { tracer, close }
}

/** Collectors are named by their base address, as other programs take it, or with the path. */
function tracesUrl(endpoint: string): string {
  const base = endpoint.replace(/\/+$/, '')
  return base.endsWith(PATH) ? base : base + PATH
}
