/**
 * One record batch of a part, its columns read by place, name and type.
 */

import type { ArrowColumn } from './arrow-columns.ts'
import { ArrowFault, type ArrowType } from './arrow-schema.ts'
import { firstNull, float32View, float64View, hasValue, stringsOf } from './arrow-values.ts'
import type { ParquetBatch } from './parquet-file.ts'

/** Where the vectors of rows come from. */
export interface RowOriginColumns {
  /** The lsn of the client's write; that of the row is of the vector, where an embedder made it. */
  readonly versions: Float64Array
  /** The tag of the embedder; null where there is no vector, or the client's. */
  readonly embedders: readonly (string | null)[]
  /** False where the numbers in `vectors` are zeros that stand for none. */
  readonly hasVector: readonly boolean[]
}

export class PartBatch {
  readonly #columns: readonly ArrowColumn[]
  readonly #names: readonly string[]
  readonly #rows: number

  constructor({ schema, batch }: ParquetBatch, names: readonly string[]) {
    const found = schema.fields.map(({ name }) => name)
    if (found.join() !== names.join()) {
      throw new ArrowFault(`its columns are ${found.join()} instead of ${names.join()}`)
    }
    this.#columns = batch.columns
    this.#names = names
    this.#rows = batch.rows
  }

  has(name: string): boolean {
    return this.#names.includes(name)
  }

  ids(at: number): string[] {
    const ids = this.strings(at)
    if (ids.includes(null)) throw new ArrowFault('an id is null')
    return ids as string[]
  }

  strings(at: number): (string | null)[] {
    return stringsOf(this.#column(at, { kind: 'utf8' }))
  }

  lsns(at: number): Float64Array {
    return float64View(this.#filled(at, { kind: 'float', bits: 64 }).data, this.#rows)
  }

  unsigned(at: number): Uint32Array {
    const { data } = this.#filled(at, { kind: 'int', bits: 32, signed: false })
    if (data.length < 4 * this.#rows) throw new ArrowFault('a buffer of integers is too short')
    return new Uint32Array(data.slice(0, 4 * this.#rows).buffer)
  }

  /** @param filled whether every row has one; the numbers of one that has none mean nothing. */
  vectors(at: number, filled: 'all' | 'some'): Float32Array {
    const type = { kind: 'fixed_size_list' } as const
    const { child } = filled === 'all' ? this.#filled(at, type) : this.#column(at, type)
    if (child === null) throw new ArrowFault('a list of floats has none')
    expectType(child, { kind: 'float', bits: 32 })
    if (filled === 'all' && firstNull(child) >= 0) {
      throw new ArrowFault('a number of a vector is null')
    }
    return float32View(child.data, child.length)
  }

  origins(vectorAt: number): RowOriginColumns {
    const vectors = this.#column(vectorAt, { kind: 'fixed_size_list' })
    return {
      versions: this.lsns(6),
      embedders: this.strings(7),
      hasVector: Array.from({ length: this.#rows }, (_, row) => hasValue(vectors, row)),
    }
  }

  #filled(at: number, type: Partial<ArrowType>): ArrowColumn {
    const column = this.#column(at, type)
    if (firstNull(column) >= 0) throw new ArrowFault(`column "${column.field.name}" has nulls`)
    return column
  }

  #column(at: number, type: Partial<ArrowType>): ArrowColumn {
    const column = this.#columns[at]
    if (column === undefined) throw new ArrowFault(`there is no column ${at}`)
    expectType(column, type)
    return column
  }
}

function expectType({ field, dictionary }: ArrowColumn, type: Partial<ArrowType>): void {
  const found = field.type as Partial<Record<string, unknown>>
  const fits = Object.entries(type).every(([key, value]) => found[key] === value)
  if (!fits || dictionary !== null) {
    throw new ArrowFault(`column "${field.name}" is not ${Object.values(type).join(' ')}`)
  }
}
