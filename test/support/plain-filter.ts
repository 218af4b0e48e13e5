/**
 * Filters evaluated over one metadata object: right by plainness.
 */

import type { Filter, Scalar } from '../../src/domain/filter.ts'

export function matches(filter: Filter, metadata: unknown): boolean {
  switch (filter.kind) {
    case 'and':
      return filter.of.every((part) => matches(part, metadata))
    case 'or':
      return filter.of.some((part) => matches(part, metadata))
    case 'not':
      return !matches(filter.of, metadata)
    case 'exists':
      return valuesAt(metadata, filter.field).length > 0
    case 'equals':
      return valuesAt(metadata, filter.field).some((value) => filter.anyOf.includes(value))
    case 'range':
      return valuesAt(metadata, filter.field).some((value) => inRange(value, filter))
  }
}

function inRange(value: Scalar, { op, bound }: Filter & { kind: 'range' }): boolean {
  if (typeof value !== typeof bound) return false
  if (op === '$gt') return value > bound
  if (op === '$gte') return value >= bound
  return op === '$lt' ? value < bound : value <= bound
}

function valuesAt(metadata: unknown, field: string): Scalar[] {
  const value = (metadata as Record<string, Scalar | Scalar[] | null | undefined>)[field]
  if (value === undefined || value === null) return []
  return Array.isArray(value) ? value : [value]
}
