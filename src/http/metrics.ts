/**
 * What an operator can watch, in Prometheus' text form.
 *
 * Routes, codes and buckets are bounded sets, so they are labels; names of clients are not, and names of
 * indexes only where a value means nothing but of one index (live recall), of those that are searched.
 * Gauges of other components are read at scrape time through callbacks (`gauge`).
 */

import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from 'prom-client'
import { SEARCH_PATHS, type SearchPath } from '../domain/search.ts'
import type { ErrorCode } from '../lib/errors.ts'

/** From a quarter of a millisecond to ten seconds. */
const SECONDS = [
  0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
]

type Observe = (seconds: number) => void

export interface GaugeSample {
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

export interface GaugeOptions {
  /** Without the prefix `vectord_`. */
  readonly name: string
  readonly help: string
  readonly labels?: readonly string[]
  /** Called at each scrape; must be cheap and must not throw. */
  readonly read: () => readonly GaugeSample[]
}

export class Metrics {
  readonly #registry = new Registry()
  readonly #requests: Histogram
  readonly #written: Counter
  readonly #errors: Counter
  readonly #searches: Readonly<Record<SearchPath, Observe>>

  constructor() {
    const registers = [this.#registry]
    collectDefaultMetrics({ register: this.#registry })
    this.#requests = new Histogram({
      name: 'vectord_http_request_duration_seconds',
      help: 'Time from the head of a request to the end of its reply.',
      labelNames: ['method', 'route', 'status'],
      buckets: SECONDS,
      registers,
    })
    const searches = new Histogram({
      name: 'vectord_search_duration_seconds',
      help: 'Time of a search without HTTP, by the path that it took.',
      labelNames: ['path'],
      buckets: SECONDS,
      registers,
    })
    const observers = SEARCH_PATHS.map((path) => [path, bound(searches.labels({ path }))] as const)
    this.#searches = Object.fromEntries(observers) as Record<SearchPath, Observe>
    this.#written = new Counter({
      name: 'vectord_written_rows_total',
      help: 'Rows of acknowledged writes.',
      labelNames: ['kind'],
      registers,
    })
    this.#errors = new Counter({
      name: 'vectord_errors_total',
      help: 'Error replies by code.',
      labelNames: ['code'],
      registers,
    })
  }

  searched(path: SearchPath, seconds: number): void {
    this.#searches[path](seconds)
  }

  wrote(kind: 'upsert' | 'delete', rows: number): void {
    this.#written.inc({ kind }, rows)
  }

  failed(code: ErrorCode): void {
    this.#errors.inc({ code })
  }

  /** The observer of one route and status: bound once, since looking labels up costs more. */
  requests(method: string, route: string, status: number): Observe {
    return bound(this.#requests.labels({ method, route, status: String(status) }))
  }

  /** Adds a gauge that is read at each scrape; one that only counts up, `…_total`, is a counter. */
  gauge(options: GaugeOptions): void {
    const { name, help, labels = [], read } = options
    const shared = {
      ...{ name: `vectord_${name}`, help, labelNames: [...labels] },
      registers: [this.#registry],
    }
    if (name.endsWith('_total')) {
      new Counter({
        ...shared,
        collect() {
          this.reset()
          for (const sample of read()) this.inc(sample.labels, sample.value)
        },
      })
      return
    }
    new Gauge({
      ...shared,
      collect() {
        this.reset()
        for (const sample of read()) this.set(sample.labels, sample.value)
      },
    })
  }

  get contentType(): string {
    return this.#registry.contentType
  }

  /** The whole exposition. */
  text(): Promise<string> {
    return this.#registry.metrics()
  }
}

function bound(histogram: Histogram.Internal<string>): Observe {
  return (seconds) => {
    histogram.observe(seconds)
  }
}

/** A request that took longer is logged as a warning: it says more than a histogram. */
const SLOW_MS = 1000

/** Counts and times every request; logs them at debug, slow ones as warnings. */
export function installRequestMetrics(app: FastifyInstance, metrics: Metrics): void {
  const observers = new RouteObservers(metrics)
  const isVerbose = app.log.level === 'debug' || app.log.level === 'trace'
  app.addHook('onResponse', (request, reply, done) => {
    const ms = reply.elapsedTime
    observers.of(request, reply.statusCode)(ms / 1000)
    if (ms > SLOW_MS) request.log.warn(describe(request, reply, ms), 'slow request')
    else if (isVerbose) request.log.debug(describe(request, reply, ms), 'request done')
    done()
  })
}

/** The bound observer of each route and status. */
class RouteObservers {
  readonly #metrics: Metrics
  readonly #known = new WeakMap<object, Map<number, Observe>>()

  constructor(metrics: Metrics) {
    this.#metrics = metrics
  }

  of(request: FastifyRequest, status: number): Observe {
    // The config object is the one identity of a route that Fastify hands out.
    const { config } = request.routeOptions
    const byStatus = this.#known.get(config) ?? new Map<number, Observe>()
    if (byStatus.size === 0) this.#known.set(config, byStatus)
    const known = byStatus.get(status)
    if (known !== undefined) return known
    const { url, method } = request.routeOptions
    const isKnown = !request.is404 && url !== undefined
    const observe = isKnown
      ? this.#metrics.requests(String(method), url, status)
      : this.#metrics.requests('any', 'unknown', status)
    byStatus.set(status, observe)
    return observe
  }
}

function describe(request: FastifyRequest, reply: FastifyReply, ms: number): object {
  const { id, method, routeOptions } = request
  return { requestId: id, method, route: routeOptions.url, status: reply.statusCode, ms }
}
