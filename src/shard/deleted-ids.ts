/**
 * The deletes that a checkpoint remembers: of each id the lsn of one or several.
 *
 * Where one version of an id is kept, its last delete says all; where several are, each may be the
 * end of a kept one. Lsn of an id ascend.
 */

import type { RowKeys } from '../codecs/parquet-part.ts'

/** Map entry and string of an id, or the place of a further lsn. */
const ENTRY_BYTES = 96

type Lsns = number | number[]

export class DeletedIds {
  readonly #lsns = new Map<string, Lsns>()
  #size = 0

  /** Deletes, not ids. */
  get size(): number {
    return this.#size
  }

  get memoryBytes(): number {
    return this.#size * ENTRY_BYTES
  }

  /**
   * Remembers one more delete. Those of an id mostly come in their order, from several parts in any.
   *
   * @param only forgets the earlier ones of the id.
   */
  note(id: string, lsn: number, { only }: { readonly only: boolean }): void {
    const known = this.#lsns.get(id)
    if (known === undefined) {
      this.#lsns.set(id, lsn)
      this.#size += 1
    } else if (only) this.#replace(id, known, lsn)
    else this.#insert(id, known, lsn)
  }

  /** The first delete of an id after `lsn`; Infinity where there is none. */
  firstAfter(id: string, lsn: number): number {
    const known = this.#lsns.get(id)
    if (known === undefined) return Infinity
    if (typeof known === 'number') return known > lsn ? known : Infinity
    return known.find((one) => one > lsn) ?? Infinity
  }

  /** The last delete of an id; 0 where there is none. */
  lastOf(id: string): number {
    const known = this.#lsns.get(id)
    return typeof known === 'number' ? known : (known?.at(-1) ?? 0)
  }

  ids(): IterableIterator<string> {
    return this.#lsns.keys()
  }

  *[Symbol.iterator](): Generator<readonly [string, number]> {
    for (const [id, lsns] of this.#lsns) {
      if (typeof lsns === 'number') yield [id, lsns]
      else for (const lsn of lsns) yield [id, lsn]
    }
  }

  #replace(id: string, known: Lsns, lsn: number): void {
    const last = Math.max(lsn, typeof known === 'number' ? known : (known.at(-1) ?? 0))
    this.#size -= typeof known === 'number' ? 0 : known.length - 1
    this.#lsns.set(id, last)
  }

  #insert(id: string, known: Lsns, lsn: number): void {
    const all = typeof known === 'number' ? [known] : known
    const isNext = (all.at(-1) ?? 0) < lsn
    if (!isNext && all.includes(lsn)) return
    all.push(lsn)
    if (!isNext) all.sort((a, b) => a - b)
    this.#lsns.set(id, all)
    this.#size += 1
  }
}

/** Both together. */
export function joinDeleted(
  left: DeletedIds,
  right: DeletedIds,
  kind: { readonly only: boolean },
): DeletedIds {
  const all = new DeletedIds()
  for (const part of [left, right]) for (const [id, lsn] of part) all.note(id, lsn, kind)
  return all
}

/** Ids of one batch of a deletes part. */
const DELETE_ROWS = 8192

/** In the batches that a deletes part is written from. */
export function* deleteRows(deletes: DeletedIds): Generator<RowKeys> {
  let ids: string[] = []
  let lsns: number[] = []
  for (const [id, lsn] of deletes) {
    ids.push(id)
    lsns.push(lsn)
    if (ids.length < DELETE_ROWS) continue
    yield { ids, lsns: Float64Array.from(lsns) }
    ids = []
    lsns = []
  }
  if (ids.length > 0) yield { ids, lsns: Float64Array.from(lsns) }
}
