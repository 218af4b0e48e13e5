/**
 * The inverted index over metadata: from a filter to the slots that match it.
 *
 * It knows nothing of dead slots: an evaluation is cut to the live ones at its end.
 */

import { parseFilter, type Filter } from '../domain/filter.ts'
import { VectordError } from '../lib/errors.ts'
import { Bitmap } from '../engines/bitmap.ts'
import { FieldPostings } from './field-postings.ts'
import { fieldsOf, type FieldValue } from '../domain/metadata-fields.ts'

/** Filters whose matches are kept until the next write. */
const CACHED_FILTERS_MAX = 16

const FIELD_BYTES = 100

export interface Matches {
  /** Slots that match. Not to be changed. */
  readonly slots: Bitmap
  readonly count: number
}

export class MetadataIndex {
  readonly #fields = new Map<string, FieldPostings>()
  readonly #cache = new Map<string, Matches>()
  #postingBytes = 0

  get memoryBytes(): number {
    let cached = 0
    for (const { slots } of this.#cache.values()) cached += slots.words.byteLength
    return this.#postingBytes + cached
  }

  /** Indexes what `parseMetadata` answered; `slot` is larger than any before. */
  add(slot: number, fields: readonly FieldValue[]): void {
    for (const { field, values } of fields) {
      let postings = this.#fields.get(field)
      if (postings === undefined) {
        postings = new FieldPostings()
        this.#fields.set(field, postings)
        this.#postingBytes += FIELD_BYTES + field.length
      }
      const before = postings.memoryBytes
      postings.add(slot, values)
      this.#postingBytes += postings.memoryBytes - before
    }
  }

  /** Forgets kept matches: after every write. */
  changed(): void {
    if (this.#cache.size > 0) this.#cache.clear()
  }

  /**
   * The slots of `among` that match a filter.
   *
   * @param json the filter as JSON text.
   * @param name tells apart what is matched among, for matches that are kept.
   * @throws {VectordError} `invalid_filter`.
   */
  match(json: string, among: Bitmap, name: 'live' | 'searchable' = 'live'): Matches {
    const key = `${name} ${json}`
    const kept = this.#cache.get(key)
    if (kept !== undefined) return kept
    const matches = this.matchAmong(json, among)
    if (this.#cache.size >= CACHED_FILTERS_MAX) {
      const [oldest] = this.#cache.keys()
      if (oldest !== undefined) this.#cache.delete(oldest)
    }
    this.#cache.set(key, matches)
    return matches
  }

  /** As `match`, of any slots; nothing is remembered. */
  matchAmong(json: string, among: Bitmap): Matches {
    const slots = this.evaluate(parseFilterText(json), among.words.length * 32)
    slots.intersect(among)
    return { slots, count: slots.count() }
  }

  /** Slots below `capacity` that match, dead ones included. */
  evaluate(filter: Filter, capacity: number): Bitmap {
    switch (filter.kind) {
      case 'and':
        return this.#combine(filter.of, capacity, (all, one) => {
          all.intersect(one)
        })
      case 'or':
        return this.#combine(filter.of, capacity, (all, one) => {
          all.unite(one)
        })
      case 'not': {
        const slots = this.evaluate(filter.of, capacity)
        slots.invert()
        return slots
      }
      default:
        return this.#condition(filter, capacity)
    }
  }

  /** True where `slot` is found by each of its fields. */
  agrees(slot: number, fields: readonly FieldValue[]): boolean {
    return fields.every(
      ({ field, values }) => this.#fields.get(field)?.agrees(slot, values) ?? false,
    )
  }

  #combine(
    of: readonly Filter[],
    capacity: number,
    join: (all: Bitmap, one: Bitmap) => void,
  ): Bitmap {
    const [first, ...rest] = of
    if (first === undefined) {
      // `{}` is an empty conjunction: it matches everything.
      const everything = new Bitmap(capacity)
      everything.invert()
      return everything
    }
    const all = this.evaluate(first, capacity)
    for (const one of rest) join(all, this.evaluate(one, capacity))
    return all
  }

  #condition(
    filter: Extract<Filter, { kind: 'equals' | 'range' | 'exists' }>,
    capacity: number,
  ): Bitmap {
    const slots = new Bitmap(capacity)
    const postings = this.#fields.get(filter.field)
    if (postings === undefined) return slots
    if (filter.kind === 'equals') {
      for (const value of filter.anyOf) postings.markEqual(value, slots)
    } else if (filter.kind === 'range') {
      postings.markRange(filter, slots)
    } else {
      postings.markPresent(slots)
    }
    return slots
  }
}

/** @throws {VectordError} `invalid_filter`. */
function parseFilterText(json: string): Filter {
  let parsed: unknown
  try {
    parsed = JSON.parse(json)
  } catch (cause) {
    throw new VectordError('invalid_filter', 'The filter is not JSON.', { cause })
  }
  return parseFilter(parsed)
}

/**
 * The fields of a point's metadata.
 *
 * @throws {VectordError} `invalid_points` where it is not the JSON text of an object.
 */
export function parseMetadata(json: string | null): readonly FieldValue[] {
  if (json === null) return []
  let parsed: unknown
  try {
    parsed = JSON.parse(json)
  } catch (cause) {
    throw new VectordError('invalid_points', 'Metadata is not JSON.', { cause })
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) {
    throw new VectordError('invalid_points', 'Metadata is not an object.')
  }
  return fieldsOf({ ...parsed })
}
