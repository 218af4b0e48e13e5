/**
 * The keys of `[tracing]`: spans of requests for an OpenTelemetry collector. A part of the table in
 * `schema.ts`.
 */

import { number, text } from './key-kinds.ts'

export const TRACING_KEYS = {
  endpoint: text('', {
    // Credentials in an address would end up in messages and logs.
    pattern: /^(https?:\/\/[^\s?#@]+)?$/,
    form: 'an http or https address without credentials and query, or empty',
    effect:
      'Where spans go by OTLP over HTTP, such as http://127.0.0.1:4318; empty: none are made. Headers' +
      ' and certificates come from the variables OTEL_EXPORTER_OTLP_HEADERS and so on.',
  }),
  sample_ratio: number(
    0.01,
    [0, 1],
    'share of the requests',
    'Requests that are traced where their caller has not decided; its traceparent goes first.',
  ),
  service_name: text('vectord', {
    pattern: /^[A-Za-z0-9._/-]{1,128}$/,
    form: 'up to 128 letters, digits and ._/-',
    effect: 'What the service is called in traces.',
  }),
} as const
