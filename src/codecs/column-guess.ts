/**
 * The type of a column of a text format, guessed from all of its values.
 *
 *     boolean ─┐
 *     int32 ─▶ int64 ─▶ float64 ─▶ utf8      a later value may ask for a wider type
 *     timestamp, vector ─────────▶ utf8      of two kinds there is text alone
 *
 * Arrays of numbers are vectors where all have one length; arrays of integers of several lengths are
 * lists, which are told as JSON text. Columns without a value are utf8.
 */

import type { Column, ColumnType } from '../domain/table.ts'

/** What one value is; integers and vectors are looked at more closely. */
type Kind = 'boolean' | 'integer' | 'float' | 'timestamp' | 'vector' | 'text'

const INT32_MAX = 2 ** 31 - 1
const INT64_MAX = 2n ** 63n - 1n

export class ColumnGuess {
  readonly #kinds = new Set<Kind>()
  /** The narrowest type that holds all integers that were seen. */
  #integers: 'int32' | 'int64' | 'float64' = 'int32'
  #dimension = 0
  #hasOtherLengths = false
  #hasFractions = false

  see(kind: Exclude<Kind, 'integer' | 'vector'>): void {
    this.#kinds.add(kind)
  }

  seeInteger(value: number | bigint): void {
    this.#kinds.add('integer')
    if (typeof value === 'number' && value >= -INT32_MAX - 1 && value <= INT32_MAX) return
    const big = BigInt(value)
    const isHeld = big >= -INT64_MAX - 1n && big <= INT64_MAX
    if (!isHeld) this.#integers = 'float64'
    else if (this.#integers === 'int32') this.#integers = 'int64'
  }

  /**
   * @param vector at least one number.
   * @returns false where vectors of fractions have other lengths: then something is wrong with one.
   */
  seeVector(vector: readonly number[]): boolean {
    this.#kinds.add('vector')
    if (this.#dimension === 0) this.#dimension = vector.length
    this.#hasOtherLengths ||= vector.length !== this.#dimension
    this.#hasFractions ||= !vector.every(Number.isInteger)
    return !(this.#hasOtherLengths && this.#hasFractions)
  }

  /** Of the vectors that were seen first. */
  get dimension(): number {
    return this.#dimension
  }

  column(name: string): Column {
    const type = this.#type()
    const shared = { name, type, nullable: true }
    return type === 'vector' ? { ...shared, dimension: this.#dimension } : shared
  }

  #type(): ColumnType {
    const [kind, ...others] = this.#kinds
    if (others.length > 0) {
      const isNumeric = [...this.#kinds].every((one) => one === 'integer' || one === 'float')
      return isNumeric ? 'float64' : 'utf8'
    }
    switch (kind) {
      case 'boolean':
      case 'timestamp':
        return kind
      case 'integer':
        return this.#integers
      case 'float':
        return 'float64'
      case 'vector':
        return this.#hasOtherLengths ? 'utf8' : 'vector'
      default:
        return 'utf8'
    }
  }
}
