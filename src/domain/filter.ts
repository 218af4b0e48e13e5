/**
 * The filter language over metadata, as users of Chroma and Pinecone know it.
 *
 *     {"year": {"$gte": 2020}, "$or": [{"lang": "en"}, {"lang": {"$exists": false}}]}
 *
 * Fields of one object are and-ed; a bare value means `$eq`. Values are strings, finite numbers and
 * booleans. On an array in the metadata a condition holds where it holds for one of its elements;
 * `$ne` and `$nin` hold where the equality does not. A field names a path with dots (`a.b`); an
 * own field with that literal name wins. Comparisons hold only between values of one type.
 */

import { VectordError } from '../lib/errors.ts'

export type Scalar = string | number | boolean

export type Filter =
  | { readonly kind: 'and' | 'or'; readonly of: readonly Filter[] }
  | { readonly kind: 'not'; readonly of: Filter }
  | { readonly kind: 'equals'; readonly field: string; readonly anyOf: readonly Scalar[] }
  | {
      readonly kind: 'range'
      readonly field: string
      readonly op: '$gt' | '$gte' | '$lt' | '$lte'
      readonly bound: string | number
    }
  | { readonly kind: 'exists'; readonly field: string }

/** Bounds of one filter: they keep its evaluation a bounded number of passes. */
const FILTER_DEPTH_MAX = 16
const FILTER_NODES_MAX = 1024
const FILTER_VALUES_MAX = 10_000

/**
 * Parses a filter from parsed JSON.
 *
 * @param json an object; `{}` matches everything.
 * @throws {VectordError} `invalid_filter`, whose details name the `path` and the `problem`.
 */
export function parseFilter(json: unknown): Filter {
  const budget = { nodes: FILTER_NODES_MAX, values: FILTER_VALUES_MAX }
  return parseObject(json, 'filter', 0, budget)
}

interface Budget {
  nodes: number
  values: number
}

function parseObject(json: unknown, path: string, depth: number, budget: Budget): Filter {
  if (depth > FILTER_DEPTH_MAX) throw fault(path, `nested deeper than ${FILTER_DEPTH_MAX}`)
  if (!isObject(json)) throw fault(path, 'must be an object')
  const all = Object.entries(json).map(([name, value]) => {
    spend(budget, 'nodes', 1, path)
    const at = `${path}.${name}`
    if (name === '$and' || name === '$or') {
      return parseList(name, value, { path: at, budget }, depth)
    }
    if (name === '$not') return not(parseObject(value, at, depth + 1, budget))
    if (name.startsWith('$')) throw fault(at, 'unknown operator')
    return parseField(name, value, at, budget)
  })
  return conjunction(all)
}

function parseList(name: '$and' | '$or', json: unknown, at: At, depth: number): Filter {
  const { path, budget } = at
  if (!Array.isArray(json) || json.length === 0) throw fault(path, 'must be a non-empty array')
  const of = json.map((entry, i) => parseObject(entry, `${path}[${i}]`, depth + 1, budget))
  return { kind: name === '$and' ? 'and' : 'or', of }
}

function parseField(field: string, json: unknown, path: string, budget: Budget): Filter {
  if (field === '') throw fault(path, 'a field needs a name')
  if (!isObject(json)) return equals(field, [scalar(json, path)])
  const conditions = Object.entries(json)
  if (conditions.length === 0) throw fault(path, 'names no operator')
  return conjunction(
    conditions.map(([op, value]) => {
      spend(budget, 'nodes', 1, path)
      return parseCondition(field, op, value, { path: `${path}.${op}`, budget })
    }),
  )
}

interface At {
  readonly path: string
  readonly budget: Budget
}

function parseCondition(field: string, op: string, value: unknown, at: At): Filter {
  switch (op) {
    case '$eq':
      return equals(field, [scalar(value, at.path)])
    case '$ne':
      return not(equals(field, [scalar(value, at.path)]))
    case '$in':
      return equals(field, scalars(value, at))
    case '$nin':
      return not(equals(field, scalars(value, at)))
    case '$gt':
    case '$gte':
    case '$lt':
    case '$lte': {
      const bound = scalar(value, at.path)
      if (typeof bound === 'boolean') throw fault(at.path, 'must be a number or a string')
      return { kind: 'range', field, op, bound }
    }
    case '$exists': {
      if (typeof value !== 'boolean') throw fault(at.path, 'must be true or false')
      const exists: Filter = { kind: 'exists', field }
      return value ? exists : not(exists)
    }
    default:
      throw fault(at.path, 'unknown operator')
  }
}

function scalars(json: unknown, at: At): Scalar[] {
  if (!Array.isArray(json)) throw fault(at.path, 'must be an array')
  spend(at.budget, 'values', json.length, at.path)
  return json.map((entry, i) => scalar(entry, `${at.path}[${i}]`))
}

function scalar(json: unknown, path: string): Scalar {
  if (typeof json === 'string' || typeof json === 'boolean') return json
  if (typeof json === 'number' && Number.isFinite(json)) return json
  throw fault(path, 'must be a string, a number or a boolean')
}

function equals(field: string, anyOf: readonly Scalar[]): Filter {
  return { kind: 'equals', field, anyOf }
}

function not(of: Filter): Filter {
  return { kind: 'not', of }
}

function conjunction(all: readonly Filter[]): Filter {
  const [only] = all
  return all.length === 1 && only !== undefined ? only : { kind: 'and', of: all }
}

function isObject(json: unknown): json is Record<string, unknown> {
  return typeof json === 'object' && json !== null && !Array.isArray(json)
}

function spend(budget: Budget, what: keyof Budget, amount: number, path: string): void {
  budget[what] -= amount
  if (budget[what] < 0) throw fault(path, `the filter has too many ${what}`)
}

function fault(path: string, problem: string): VectordError {
  return new VectordError('invalid_filter', `${path}: ${problem}.`, { details: { path, problem } })
}
