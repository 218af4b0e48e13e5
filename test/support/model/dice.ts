/**
 * Seeded random values for the model test: ids, vectors, metadata, filters.
 *
 * Few ids, few values: what is drawn meets again, and rarely stands alone. Every operation has dice
 * of its own, so that what one draws changes nothing of those after it.
 */

import { splitmix32 } from '../../../src/lib/splitmix32.ts'
import type { Json, JsonObject, Scalar, WrittenPoint } from './model-point.ts'
import type { PlainMetric } from './plain-distance.ts'

/** Ids of an index; with a graph from 20 points on. */
const IDS = 90
const LANGS = ['en', 'de', 'fr', 'ja']
const TAGS = ['red', 'green', 'blue', '']
const TEXTS = ['', 'a', 'two words', 'naïve café', '日本語 🙂', '"quoted" \\ and\nlines']
const ODD_IDS = ['a/b', 'with space', 'ünïcode', '日本', '%41', 'q?x=1#y', '__proto__']
const FIELDS = ['year', 'lang', 'tags', 'score', 'flag', 'deep.a.b', 'deep', 'dot.ted', 'none']
const STRANGE_FIELDS = ['absent', 'constructor', 'deep.a', 'deep.x', 'toString', 'year.x']
const DEPTH_MAX = 3

export class Dice {
  readonly #random: () => number

  constructor(seed: number, salt: number) {
    this.#random = splitmix32(seed, salt)
  }

  /** From 0 to 1 (exclusive). */
  share(): number {
    return this.#random()
  }

  /** From `low` to `high`, both included. */
  int(low: number, high: number): number {
    return low + Math.floor(this.#random() * (high - low + 1))
  }

  chance(share: number): boolean {
    return this.#random() < share
  }

  pick<T>(items: readonly T[]): T {
    const item = items[Math.floor(this.#random() * items.length)]
    if (item === undefined) throw new Error('nothing to pick from')
    return item
  }

  /** `count` different items, or all. */
  some<T>(items: readonly T[], count: number): T[] {
    const rest = [...items]
    const chosen: T[] = []
    while (chosen.length < count && rest.length > 0) {
      chosen.push(...rest.splice(Math.floor(this.#random() * rest.length), 1))
    }
    return chosen
  }

  /** The id of a point that may be there. */
  id(): string {
    return this.chance(0.05) ? this.pick(ODD_IDS) : `p${this.int(0, IDS - 1)}`
  }

  /** Different ids, at most `count`. */
  ids(count: number): string[] {
    return [...new Set(Array.from({ length: count }, () => this.id()))]
  }

  /** Now and then on a coarse grid, where many distances are equal; never of length zero. */
  vector(dimension: number): Float32Array {
    const isCoarse = this.chance(0.3)
    const vector = Float32Array.from({ length: dimension }, () =>
      isCoarse ? this.int(-2, 2) : 2 * this.#random() - 1,
    )
    if (vector.every((value) => value === 0)) vector[0] = 1
    return vector
  }

  points(count: number, dimension: number): WrittenPoint[] {
    return this.ids(count).map((id) => ({
      id,
      vector: this.vector(dimension),
      text: this.chance(0.3) ? this.pick(TEXTS) : null,
      metadata: this.chance(0.9) ? this.metadata() : null,
    }))
  }

  metadata(): JsonObject {
    return {
      year: this.chance(0.9) ? this.int(2000, 2009) : String(this.int(2000, 2009)),
      ...(this.chance(0.9) && { lang: this.pick(LANGS) }),
      ...(this.chance(0.6) && { tags: this.some(TAGS, this.int(0, 3)) }),
      ...(this.chance(0.5) && { score: this.int(-8, 8) / 4 }),
      ...(this.chance(0.5) && { flag: this.chance(0.5) }),
      ...(this.chance(0.4) && { deep: this.#deep() }),
      ...(this.chance(0.2) && { 'dot.ted': this.int(0, 3) }),
      ...(this.chance(0.2) && { none: null }),
    }
  }

  /** A valid filter; most match some points and not others. */
  filter(depth = 0): JsonObject {
    if (this.chance(0.03)) return {}
    if (depth < DEPTH_MAX && this.chance(0.3)) {
      const of = Array.from({ length: this.int(1, 3) }, () => this.filter(depth + 1))
      const [first] = of
      const word = this.pick(['$and', '$or', '$not'])
      return { [word]: word === '$not' ? (first ?? {}) : of }
    }
    const fields = this.some(this.chance(0.1) ? STRANGE_FIELDS : FIELDS, this.chance(0.7) ? 1 : 2)
    // Assignment would set the prototype for one of the names.
    return Object.fromEntries(fields.map((field) => [field, this.#condition(field)]))
  }

  metric(): PlainMetric {
    return this.pick(['cosine', 'l2', 'ip'] as const)
  }

  #deep(): JsonObject {
    if (this.chance(0.2)) return { a: this.int(0, 3) }
    return { a: { b: this.chance(0.5) ? this.int(0, 3) : [this.int(0, 3), 'x', null] } }
  }

  #condition(field: string): Json {
    const value = this.#valueOf(field)
    if (this.chance(0.2)) return value
    const op = this.pick(['$eq', '$ne', '$gt', '$gte', '$lt', '$lte', '$in', '$nin', '$exists'])
    if (op === '$exists') return { $exists: this.chance(0.6) }
    if (op === '$in' || op === '$nin') {
      return { [op]: Array.from({ length: this.int(0, 3) }, () => this.#valueOf(field)) }
    }
    if (op === '$eq' || op === '$ne') return { [op]: value }
    const low = typeof value === 'boolean' ? this.int(0, 1) : value
    return this.chance(0.3) && typeof low === 'number'
      ? { $gte: low, $lte: low + 3 }
      : { [op]: low }
  }

  #valueOf(field: string): Scalar {
    switch (field) {
      case 'year':
        return this.chance(0.9) ? this.int(1999, 2010) : '2005'
      case 'lang':
        return this.pick(LANGS)
      case 'tags':
        return this.pick(TAGS)
      case 'score':
        return this.int(-8, 8) / 4
      case 'flag':
        return this.chance(0.5)
      default:
        return this.pick([0, 1, 2, 3, 'x', true])
    }
  }
}
