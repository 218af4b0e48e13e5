/**
 * What PromQL asks for, and what a server prints for it.
 */

import { parser } from '@prometheus-io/lezer-promql'

export interface Selector {
  readonly metric: string
  readonly matchers: readonly {
    readonly label: string
    readonly op: string
    readonly value: string
  }[]
}

export interface Query {
  readonly selectors: readonly Selector[]
  /** Of `by (…)`, `without (…)` and `on (…)`. */
  readonly grouping: readonly string[]
}

/** @throws where the expression is none. */
export function readPromQl(expression: string): Query {
  const selectors: Selector[] = []
  const grouping: string[] = []
  const cursor = parser.parse(expression).cursor()
  do {
    const text = expression.slice(cursor.from, cursor.to)
    if (cursor.type.isError) throw new Error(`no PromQL at ${cursor.from}: ${expression}`)
    if (cursor.name === 'VectorSelector') selectors.push(readSelector(text))
    if (cursor.name === 'GroupingLabels') grouping.push(...(text.match(/\w+/g) ?? []))
  } while (cursor.next())
  return { selectors, grouping }
}

/** Of a text that the parser calls one. */
function readSelector(text: string): Selector {
  const [, metric = '', inner = ''] = /^([\w:]+)\s*(?:\{(.*)\})?$/s.exec(text) ?? []
  const matchers = [...inner.matchAll(/(\w+)\s*(=~|!~|!=|=)\s*"((?:[^"\\]|\\.)*)"/g)]
  return {
    metric,
    matchers: matchers.map(([, label = '', op = '', value = '']) => ({ label, op, value })),
  }
}

/** By metric and label: the values that were printed. */
export type Exposition = ReadonlyMap<string, ReadonlyMap<string, ReadonlySet<string>>>

/** Reads the text form of Prometheus. */
export function readExposition(text: string): Exposition {
  const metrics = new Map<string, Map<string, Set<string>>>()
  for (const line of text.split('\n')) {
    const [, name, labels] = /^([a-z_:][\w:]*)(?:\{(.*)\})? \S+$/i.exec(line) ?? []
    if (name === undefined) continue
    const known = metrics.get(name) ?? new Map<string, Set<string>>()
    metrics.set(name, known)
    for (const [, label = '', value = ''] of (labels ?? '').matchAll(
      /(\w+)="((?:[^"\\]|\\.)*)"/g,
    )) {
      known.set(label, (known.get(label) ?? new Set()).add(value))
    }
  }
  return metrics
}
